# Completion of mbtrain for bash, printed by `mbtrain completion bash`. Needs bash 4; bash-completion is not needed.
# Rows of scope, word and values: apps/mbtrain/completion_table.h explains them.
_mbtrain_table=@TABLE@

# _mbtrain_find SCOPE WORD: sets `found` to the values of the row, in the scope or in one that it includes; fails where there is none.
_mbtrain_find() {
  local scopes=$'\n'"$1"$'\n' scope word values
  while IFS=$'\t' read -r scope word values; do
    [[ $scopes == *$'\n'"$scope"$'\n'* ]] || continue
    if [[ $word == "$2" ]]; then
      found=$values
      return 0
    elif [[ $word == +* ]]; then
      scopes+=${word:1}$'\n'
    fi
  done <<<"$_mbtrain_table"
  return 1
}

# _mbtrain_words SCOPE KIND: the words of a scope and of those that it includes. KIND: verbs, options (without the fields' dotted names,
# unless the scope is theirs) or names.
_mbtrain_words() {
  local scopes=$'\n'"$1"$'\n' scope word values
  while IFS=$'\t' read -r scope word values; do
    [[ $scopes == *$'\n'"$scope"$'\n'* ]] || continue
    if [[ $word == +* ]]; then
      scopes+=${word:1}$'\n'
    elif [[ $2 == verbs && $values == @verb || $2 == options && $word == -* && ($scope != field || $1 == field) || $2 == names ]]; then
      printf '%s\n' "$word"
    fi
  done <<<"$_mbtrain_table"
}

# _mbtrain_add PREFIX WORDS: those that begin with $1.
_mbtrain_add() {
  local word
  while IFS= read -r word; do
    [[ -n $word && $word == "$1"* ]] && COMPREPLY+=("$word")
  done <<<"$2"
}

# _mbtrain_values VALUES PREFIX: proposes what a row's values allow.
_mbtrain_values() {
  local value IFS=,
  for value in $1; do
    case $value in
      @file) compopt -o filenames 2>/dev/null; _mbtrain_add '' "$(compgen -f -- "$2")" ;;
      @folder) compopt -o filenames 2>/dev/null; _mbtrain_add '' "$(compgen -d -- "$2")" ;;
      @recipe) _mbtrain_add "$2" "$(_mbtrain_words recipe names)" ;;
      @config) _mbtrain_add "$2" "$(_mbtrain_words shipped names)" ;;
      @*) ;;
      *) _mbtrain_add "$2" "$value" ;;
    esac
  done
}

# Names with a dot are proposed by section first: --model., then --model.num_layers.
# _mbtrain_dotted PREFIX LEAD TAIL: LEAD is -- or nothing, TAIL what follows a name.
_mbtrain_dotted() {
  local name sections=' ' names=
  while IFS= read -r name; do
    name=$2${name#--}
    if [[ $1 == *.* ]]; then
      names+=$name$3$'\n'
    elif [[ $sections != *" ${name%%.*} "* ]]; then
      sections+="${name%%.*} "
      names+=${name%%.*}.$'\n'
    fi
  done < <(_mbtrain_words field options)
  _mbtrain_add "$1" "$names"
}

_mbtrain() {
  COMPREPLY=()
  # Readline splits at '='; --lr=1e-3 is one word to mbtrain.
  local words=() at glue=0
  for ((at = 0; at <= COMP_CWORD; ++at)); do
    local piece=${COMP_WORDS[at]}
    if [[ $piece == = && at -gt 1 ]]; then
      words[${#words[@]}-1]+==
      glue=1
    elif ((glue)); then
      words[${#words[@]}-1]+=$piece
      glue=0
    else
      words+=("$piece")
    fi
  done
  local count=${#words[@]} cur=${words[${#words[@]}-1]} found

  # `mbtrain help VERB` completes verbs.
  local first=1 is_help=0
  if ((count > 2)) && [[ ${words[1]} == help ]]; then first=2 is_help=1; fi
  local scope=mbtrain depth=$first
  while ((depth < count - 1)) && _mbtrain_find "$scope" "${words[depth]}" && [[ $found == @verb ]]; do
    scope+=" ${words[depth]}"
    depth=$((depth + 1))
  done
  if ((depth == count - 1)); then _mbtrain_add "$cur" "$(_mbtrain_words "$scope" verbs)"; fi
  if ((is_help)); then
    [[ $scope == mbtrain ]] || return
    scope='mbtrain help'
  fi
  if [[ $scope == mbtrain ]]; then
    [[ $cur == -* && $depth -eq $((count - 1)) ]] && _mbtrain_add "$cur" "$(_mbtrain_words mbtrain options)"
    scope='mbtrain train'
  fi

  # NAME=VALUE
  if [[ $cur == *=* ]]; then
    local name=${cur%%=*} value=${cur#*=} reply=()
    if _mbtrain_find "$scope" "--${name#--}"; then _mbtrain_values "$found" "$value"; fi
    if [[ $COMP_WORDBREAKS != *=* ]]; then
      for value in "${COMPREPLY[@]}"; do reply+=("$name=$value"); done
      COMPREPLY=("${reply[@]}")
    fi
    return
  fi

  # --name VALUE: of the nearest option before, unless its values have been given
  for ((at = count - 2; at >= depth; --at)); do
    [[ ${words[at]} == -* ]] || continue
    if [[ ${words[at]} != *=* ]] && _mbtrain_find "$scope" "${words[at]}" && [[ $found != @none && $found != @optional* ]] &&
      { ((at == count - 2)) || [[ $found == *,@many ]]; } && [[ $cur != --* ]]; then
      _mbtrain_values "$found" "$cur"
      return
    fi
    break
  done

  if [[ $cur == -* ]]; then
    _mbtrain_add "$cur" "$(_mbtrain_words "$scope" options)"
    if _mbtrain_find "$scope" +field; then _mbtrain_dotted "$cur" -- ''; fi
  else
    if _mbtrain_find "$scope" '*'; then _mbtrain_values "$found" "$cur"; fi
    if _mbtrain_find "$scope" +field; then _mbtrain_dotted "$cur" '' =; fi
  fi
  # No blank behind what is continued.
  if ((${#COMPREPLY[@]} == 1)) && [[ ${COMPREPLY[0]} == *[.=] ]]; then compopt -o nospace 2>/dev/null; fi
}

complete -F _mbtrain mbtrain
