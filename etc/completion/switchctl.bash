# Completes switchctl in bash: commands, options, tables, columns and their values, and the names of bridges, ports and
# other records. What there is comes from switchctl itself and from the database, so nothing here has to be kept up to
# date.

_switchctl() {
  local line=${COMP_LINE:0:COMP_POINT} word lead candidate rest
  COMPREPLY=()
  # What bash completes begins after the last of : and = in the word, as far as it breaks words there.
  word=${line##*[[:space:]]} lead=''
  [[ $COMP_WORDBREAKS != *=* || $word != *=* ]] || lead=${word%"${word##*=}"}
  rest=${word#"$lead"}
  [[ $COMP_WORDBREAKS != *:* || $rest != *:* ]] || lead+=${rest%"${rest##*:}"}
  while IFS=$'\t' read -r candidate _; do
    if [[ $candidate == :files ]]; then
      compopt -o filenames 2>/dev/null
      mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "${word#"$lead"}")
      continue
    fi
    [[ $candidate != *[=:] ]] || compopt -o nospace 2>/dev/null
    [[ $candidate != *[[:space:]\"\'\\]* ]] || printf -v candidate %q "$candidate"
    # As long as it was typed: names of columns match in any case, with - for _.
    COMPREPLY+=("${candidate:${#lead}}")
  done < <("${COMP_WORDS[0]}" --complete "$line" 2>/dev/null)
}
complete -F _switchctl switchctl
