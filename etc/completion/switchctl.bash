# Completes switchctl's commands, options, bridges, ports, tables and columns in bash. What there is comes from
# switchctl itself, and names of bridges and ports from the database, so nothing here has to be kept up to date.

_switchctl_options() { switchctl --help 2>/dev/null | grep -oE '^ +(-., )?--[a-z-]+=?' | grep -oE -- '--[a-z-]+=?'; }
_switchctl_commands() { switchctl --help 2>/dev/null | sed -nE 's/^  ([a-z][a-z-]+)( .*)?$/\1/p'; }
_switchctl_ask() { switchctl --timeout=2 "$@" 2>/dev/null; }

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

  local words=''
  if [[ $word == -* ]]; then
    words=$(_switchctl_options)
  elif [[ -z $command ]]; then
    words=$(_switchctl_commands)
  else
    case $command:${#arguments[@]} in
    help:0) words=$(_switchctl_commands) ;;
    *-port:0 | port-to-br:0 | del-port:1 | stats:0)
      words=$(_switchctl_ask list-br)
      if [[ $command != add-port ]]; then
        local bridge
        for bridge in $words; do words+=" $(_switchctl_ask list-ports "$bridge")"; done
      fi ;;
    add-port:1) words=$(command ls /sys/class/net) ;;
    add-br:* | br-exists:*) ;;
    *-br:0 | list-*:0 | fdb*:0 | ports:0) words=$(_switchctl_ask list-br) ;;&
    get:0 | set:0 | list:0 | find:0 | add:0 | remove:0 | clear:0 | create:0 | destroy:0 | wait-until:0)
      words='Bridge Port Interface Open_vSwitch' ;;
    get:1 | set:1 | list:1 | add:1 | remove:1 | clear:1 | destroy:1 | wait-until:1)
      words=$(_switchctl_ask --bare --columns=name list "${arguments[0]}") ;;
    esac
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
  [[ ${COMPREPLY[0]:-} != *= ]] || compopt -o nospace
}
complete -F _switchctl switchctl
