#compdef mbtrain
# Completion of mbtrain for zsh, printed by `mbtrain completion zsh`.
# Rows of scope, word, values and doc: apps/mbtrain/completion_table.h explains them.
typeset -g _mbtrain_table=@TABLE@

# Sets `rows` to the rows of a scope and of those that it includes, as word, values, doc.
_mbtrain_rows() {
  local row scopes=" <$1> "
  local -a parts
  rows=()
  for row in "${(@f)_mbtrain_table}"; do
    parts=("${(@s:	:)row}")
    [[ $scopes == *"<${parts[1]}>"* ]] || continue
    if [[ ${parts[2]} == +* ]]; then
      scopes+="<${parts[2][2,-1]}> "
    else
      rows+=("${parts[2]}	${parts[3]}	${parts[4]}")
    fi
  done
}

# Sets `found` to the values of a word of `rows`; fails where there is none.
_mbtrain_find() {
  local row
  for row in $rows; do
    if [[ ${row%%	*} == "$1" ]]; then
      found=${${row#*	}%%	*}
      return 0
    fi
  done
  return 1
}

# _mbtrain_describe TITLE ARRAY OPTIONS...: words with their docs; ARRAY holds word, tab, doc.
_mbtrain_describe() {
  local title=$1 row
  local -a words shown
  for row in "${(@P)2}"; do
    words+=("${row%%	*}")
    shown+=("${row%%	*}  -- ${row#*	}")
  done
  shift 2
  (( $#words )) && compadd -l -X "$title" "$@" -d shown -a words
}

_mbtrain_values() {
  local value
  local -a names rows
  for value in ${(s:,:)1}; do
    case $value in
      @file) _files ;;
      @folder) _files -/ ;;
      @recipe) _mbtrain_rows recipe; names=("${(@)rows/	-	/	}"); _mbtrain_describe recipe names ;;
      @config) _mbtrain_rows shipped; names=("${(@)rows/	-	/	}"); _mbtrain_describe 'shipped config' names ;;
      @*) ;;
      *) compadd -- "$value" ;;
    esac
  done
}

# Names with a dot are proposed by section first. _mbtrain_dotted LEAD TAIL
_mbtrain_dotted() {
  local row name
  local -a names
  local -A sections
  for row in $rows; do
    name=${row%%	*}
    [[ $name == --*.* ]] || continue
    name=${1}${name#--}
    if [[ $PREFIX == *.* ]]; then
      names+=("$name$2	${row##*	}")
    else
      sections[${name%%.*}.]=1
    fi
  done
  if (( $#sections )); then
    compadd -S '' -- ${(ok)sections}
  elif [[ -n $2 ]]; then
    _mbtrain_describe field names -S ''
  else
    _mbtrain_describe field names
  fi
}

_mbtrain() {
  local scope=mbtrain found row name
  local -i first=2 is_help=0 depth at
  local -a rows names
  if (( CURRENT > 3 )) && [[ ${words[2]} == help ]]; then first=3 is_help=1; fi
  depth=$first
  _mbtrain_rows $scope
  while (( depth < CURRENT )) && _mbtrain_find "${words[depth]}" && [[ $found == @verb ]]; do
    scope+=" ${words[depth]}"
    depth=$(( depth + 1 ))
    _mbtrain_rows $scope
  done
  if (( depth == CURRENT )); then
    names=()
    for row in $rows; do [[ $row == *"	@verb	"* ]] && names+=("${row%%	*}	${row##*	}"); done
    _mbtrain_describe verb names
  fi
  (( is_help )) && return 0
  if [[ $scope == mbtrain ]]; then
    if (( depth == CURRENT )) && [[ $PREFIX == -* ]]; then compadd -- --help --version; fi
    _mbtrain_rows 'mbtrain train'
  fi

  if [[ $PREFIX == *=* ]]; then
    name=${PREFIX%%=*}
    compset -P 1 '*='
    _mbtrain_find "--${name#--}" && _mbtrain_values $found
    return 0
  fi

  # --name VALUE: of the nearest option before, unless its values have been given
  for (( at = CURRENT - 1; at >= depth; --at )); do
    [[ ${words[at]} == -* ]] || continue
    if [[ ${words[at]} != *=* && $PREFIX != --* ]] && _mbtrain_find "${words[at]}" && [[ $found != @none && $found != @optional* ]] &&
      { (( at == CURRENT - 1 )) || [[ $found == *,@many ]] }; then
      _mbtrain_values $found
      return 0
    fi
    break
  done

  if [[ $PREFIX == -* ]]; then
    if [[ $PREFIX != *.* ]]; then
      names=()
      for row in $rows; do [[ ${row%%	*} == -* && ${row%%	*} != *.* ]] && names+=("${row%%	*}	${row##*	}"); done
      _mbtrain_describe option names
    fi
    _mbtrain_dotted -- ''
  else
    _mbtrain_find '*' && _mbtrain_values $found
    _mbtrain_dotted '' =
  fi
  return 0
}

if [[ ${funcstack[1]} == _mbtrain ]]; then
  _mbtrain "$@"
else
  compdef _mbtrain mbtrain
fi
