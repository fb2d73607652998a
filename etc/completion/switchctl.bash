# Completes switchctl's commands, options, bridges, ports, tables, records and columns in bash. What there is comes
# from switchctl itself, and names from the database, so nothing here has to be kept up to date.

_switchctl_ask() { switchctl --timeout=2 "$@" 2>/dev/null; }
# The synopses of all commands: "[--may-exist] add-br BRIDGE [PARENT VLAN]".
_switchctl_commands() { _switchctl_ask --commands | sed -E 's/\[--[^]]*\] //g; s/ .*//'; }
# Every option; one that takes an argument ends in "=".
_switchctl_options() {
  { _switchctl_ask --commands && _switchctl_ask --help; } | grep -oE -- '--[a-z][a-z-]*=?' | sort -u
}
_switchctl_ports() {
  local bridge
  for bridge in $(_switchctl_ask list-br); do _switchctl_ask list-ports "$bridge"; done
}
_switchctl_columns() { _switchctl_ask --format=csv list "$1" | head -n 1 | tr ',' '\n'; }
_switchctl_tables() { printf '%s\n' AutoAttach Bridge Controller Interface Manager Mirror Open_vSwitch Port QoS Queue SSL; }

# What can stand at place $2 (from 0) among the arguments of the command $1; $3… are the arguments before it.
_switchctl_arguments() {
  local command=$1 place=$2
  shift 2
  case $command:$place in
  help:0) _switchctl_commands ;;
  del-br:0 | br-*:0 | *-fail-mode:0 | *-controller:0 | list-ports:0 | list-ifaces:0 | fdb:0 | fdb-flush:0 | ports:0 | \
    add-port:0 | add-bond:0 | add-br:1)
    _switchctl_ask list-br ;;
  add-flows:1 | replace-flows:1 | add-groups:1 | parse-flows:0) compgen -f -- "${COMP_WORDS[COMP_CWORD]}" ;;
  diff-flows:*) _switchctl_ask list-br && compgen -f -- "${COMP_WORDS[COMP_CWORD]}" ;;
  *-flow:0 | *-flows:0 | *-group:0 | *-groups:0 | *-buckets:0 | *-meter:0 | *-meters:0 | dump-*:0 | meter-stats:0 | \
    trace:0)
    _switchctl_ask list-br ;;
  add-port:1) command ls /sys/class/net ;;
  del-port:0) _switchctl_ask list-br && _switchctl_ports ;;
  del-port:1) _switchctl_ask list-ports "$1" ;;
  port-to-br:0 | stats:0 | iface-to-br:0) _switchctl_ports ;;
  set-fail-mode:1) printf '%s\n' secure standalone ;;
  appctl:0) _switchctl_ask appctl list-commands | sed -nE 's/^  ([^ ]+).*/\1/p' ;;
  get:0 | set:0 | list:0 | find:0 | add:0 | remove:0 | clear:0 | create:0 | destroy:0 | wait-until:0)
    _switchctl_tables ;;
  get:1 | set:1 | list:* | add:1 | remove:1 | clear:1 | destroy:* | wait-until:1)
    if [[ $1 == Open_vSwitch ]]; then echo .; else _switchctl_ask --bare --columns=name list "$1" | grep .; fi ;;
  get:* | clear:* | add:2 | remove:2) _switchctl_columns "$1" ;;
  set:* | wait-until:* | find:* | create:*) _switchctl_columns "$1" | sed 's/$/=/' ;;
  esac
}

_switchctl() {
  local word=${COMP_WORDS[COMP_CWORD]} command='' arguments=() i
  # The command this word belongs to starts the line, or follows the last "--".
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in
    --) command='' arguments=() ;;
    -* | =) ;;
    *) if [[ $command ]]; then arguments+=("${COMP_WORDS[i]}"); else command=${COMP_WORDS[i]}; fi ;;
    esac
  done

  local words
  if [[ -n $command ]]; then
    words=$(_switchctl_arguments "$command" "${#arguments[@]}" "${arguments[@]}")
  elif [[ $word == -* ]]; then
    words=$(_switchctl_options)
  else
    words=$(_switchctl_commands)
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
  [[ ${COMPREPLY[0]:-} != *= ]] || compopt -o nospace
}
complete -F _switchctl switchctl
