#!/usr/bin/env bash
# Compares what two builds of the program compute, bit for bit: losses of every recipe (30 steps on the CPU, 5 on the emulated device),
# codes of `mbtrain quantize`, tokens of the golden tokenizers, `plan --json` of every file in configs/. One line per comparison.
# usage: scripts/compare_builds.sh [--only PART,...] [--recipes NAME,...] OLD NEW
#        OLD, NEW: build folders with mbtrain in them, or two mbtrain binaries (then the emulated device is left out)
#        PART: recipes, plans, tokens, codes, losses, emulated; NAME: a recipe, for the last three
# exit codes: 0 no difference, 1 a difference, 2 bad usage
# Takes about 3 minutes alone on two cores, half a minute more with the emulated device.
set -uo pipefail
start=$PWD
cd "$(dirname "$0")/.." || exit 2

bad_usage() {
  printf 'compare_builds: %s\n' "$*" >&2
  sed -n '/^# usage: /,/^# exit codes: /s/^# //p' scripts/compare_builds.sh >&2
  exit 2
}
parts=(recipes plans tokens codes losses emulated)
only=$(IFS=,; echo "${parts[*]}")
only_recipes=
while [ $# -gt 0 ] && [[ $1 == --* ]]; do
  case $1 in
    --only) only=${2:-} ;;
    --recipes) only_recipes=${2:-} ;;
    *) bad_usage "unknown argument '$1'" ;;
  esac
  if [ -z "${2:-}" ]; then bad_usage "$1 needs a value"; fi
  shift 2
done
for part in ${only//,/ }; do
  if [[ " ${parts[*]} " != *" $part "* ]]; then bad_usage "--only: there is no part '$part', expected ${parts[*]}"; fi
done
wanted() { [[ ,$only, == *,$1,* ]]; }
if [ $# -ne 2 ]; then bad_usage "got $# builds, expected 2"; fi
absolute() { if [[ $1 == /* ]]; then printf '%s' "$1"; else printf '%s' "$start/$1"; fi; }
declare -A program parity
for side in old new; do
  path=$(absolute "$1")
  shift
  if [ -d "$path" ]; then
    program[$side]=$path/mbtrain
    parity[$side]=$path/tests/parity/test_parity
  else
    program[$side]=$path
    parity[$side]=
  fi
  if [ ! -f "${program[$side]}" ] || [ ! -x "${program[$side]}" ]; then bad_usage "${program[$side]} is not a program"; fi
done
command -v python3 >/dev/null || bad_usage "python3 is missing; it reads the results (no packages needed)"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/old" "$work/new"
differences=0
comparisons=0
files() { python3 scripts/compare_builds_files.py "$@"; }

# verdict NAME KIND FILE: one line about the file of this name in work/old and work/new.
verdict() {
  local what
  comparisons=$((comparisons + 1))
  if what=$(files "$2" "$work/old/$3" "$work/new/$3" 2>&1); then
    printf 'same       %s%s\n' "$1" "${what:+ ($what)}"
  else
    differences=$((differences + 1))
    printf 'DIFFERENT  %s: %s\n' "$1" "$what"
  fi
}

# both FILE ARGUMENT...: runs mbtrain of both builds in work/SIDE; stdout and the exit code go to work/SIDE/FILE.
both() {
  local side file=$1
  shift
  for side in old new; do
    (cd "$work/$side" && "${program[$side]}" "$@" >"$file" 2>"$file.err"; printf '\nexit code %d\n' $? >>"$file")
  done
}

begin() { printf '== %s\n' "$*"; }

# -- recipes -------------------------------------------------------------------------------------------------------------------------------
for side in old new; do "${program[$side]}" recipes --json >"$work/$side/recipes.json" 2>"$work/$side/recipes.err"; done
compare_recipes() {
  begin "values of the recipes, a second"
  verdict recipes json recipes.json
}
recipes=()
declare -A kept  # layers that a recipe leaves in 16 bits
while read -r recipe layers; do
  recipes+=("$recipe")
  kept[$recipe]=$layers
done < <(files recipes "$work/new/recipes.json")
if [ ${#recipes[@]} -eq 0 ]; then
  echo "DIFFERENT  mbtrain recipes --json of NEW lists none"
  exit 1
fi
if [ -n "$only_recipes" ]; then
  for recipe in ${only_recipes//,/ }; do
    if [ -z "${kept[$recipe]-}" ]; then bad_usage "--recipes: NEW has no recipe '$recipe'"; fi
  done
  IFS=, read -ra recipes <<<"$only_recipes"
fi

# -- plans ---------------------------------------------------------------------------------------------------------------------------------
compare_plans() {
  begin "plan --json of the files in configs/, some seconds"
  for config in configs/*.json; do
    name=$(basename "$config" .json)
    if [ "$name" = schema ]; then continue; fi
    for side in old new; do
      "${program[$side]}" plan --config "$config" --train.device cpu --json >"$work/$side/plan.json" 2>"$work/$side/plan.err" ||
        printf '{"exit code": %d}' $? >"$work/$side/plan.json"
    done
    verdict "plan $name" json plan.json
  done
}

# -- tokens --------------------------------------------------------------------------------------------------------------------------------
compare_tokens() {
  begin "tokens of the golden tokenizers, some seconds"
  for folder in tests/golden/tokenizers/*/; do
    name=$(basename "$folder")
    both ids tokenize --tokenizer "$PWD/$folder" --input "$PWD"/tests/golden/tokenizers/*/cases.jsonl "$PWD/docs" --print-ids
    verdict "tokens $name" text ids
    both special tokenize --tokenizer "$PWD/$folder" --input "$PWD/$folder/cases.jsonl" --print-ids --add-special-tokens
    verdict "tokens $name, special" text special
    for side in old new; do grep '^\[' "$work/$side/ids" >"$work/$side/ids.jsonl"; done
    both decoded tokenize --tokenizer "$PWD/$folder" --input ids.jsonl --decode
    verdict "tokens $name, decoded" text decoded
  done
}

# -- codes ---------------------------------------------------------------------------------------------------------------------------------
compare_codes() {
  begin "codes of quantize, half a minute"
  files tensors "$work/tensors.safetensors"
  for recipe in "${recipes[@]}"; do
    for side in old new; do rm -rf "$work/$side/codes" && mkdir "$work/$side/codes"; done
    for role in activation weight gradient; do
      for blocks in "" --columnwise; do
        both "codes/$role$blocks.exit" quantize "$work/tensors.safetensors" "codes/$role$blocks.safetensors" --mixed-precision "$recipe" \
          --role "$role" ${blocks:+"$blocks"}
      done
    done
    verdict "codes $recipe" codes codes
  done
}

# -- losses on the CPU -----------------------------------------------------------------------------------------------------------------------
compare_losses() {
  begin "losses of 30 steps on the CPU, 5 to 15 seconds per recipe"
  for recipe in "${recipes[@]}"; do
    for side in old new; do rm -f "$work/$side/losses.jsonl"; done
    # The default model has four layers; where the recipe would quantize none of them, a narrow one with two layers more than it keeps.
    model=()
    if [ "${kept[$recipe]}" -ge 4 ]; then model=(--model.num_layers $((kept[$recipe] + 2)) --model.hidden_size 64 --seq-length 64); fi
    both printed train "${model[@]}" --mixed-precision "$recipe" --train.device cpu --train-iters 30 --validation.eval_iters 2 --log-interval 30 \
      --logger.jsonl_path losses.jsonl
    verdict "losses $recipe" losses losses.jsonl
  done
}

# -- losses on the emulated device ------------------------------------------------------------------------------------------------------------
compare_emulated() {
  begin "losses of 5 steps on the emulated device, half a minute per build"
  has_losses() { [[ $("$1" --list-tests '[print_losses]' 2>/dev/null) == *"five steps of every recipe"* ]]; }
  for side in old new; do
    if [ -z "${parity[$side]}" ]; then
      lacking+=" ${side^^} is a program, not a build folder."
    elif [ ! -x "${parity[$side]}" ]; then
      lacking+=" ${side^^} has no tests/parity/test_parity."
    elif ! has_losses "${parity[$side]}"; then
      lacking+=" test_parity of ${side^^} has no test case [print_losses]: it is older than tests/parity/emulated/print_losses.cpp."
    fi
  done
  if [ -n "$lacking" ]; then
    printf 'LEFT OUT   losses on the emulated device:%s\n' "$lacking"
  else
    for side in old new; do  # beside each other: the emulated device has one thread
      MBT_EMULATION_ONCE=1 "${parity[$side]}" '[print_losses]' 2>&1 | grep -a '^losses ' >"$work/$side/emulated" &
    done
    wait
    for recipe in "${recipes[@]}"; do
      for side in old new; do grep "^losses $recipe:" "$work/$side/emulated" >"$work/$side/one"; done
      verdict "emulated losses $recipe" text one
    done
  fi
}

lacking=
for part in "${parts[@]}"; do
  if wanted "$part"; then "compare_$part"; fi
done
printf '%d comparisons, %d differences, %d s%s\n' "$comparisons" "$differences" "$SECONDS" "${lacking:+; the emulated device was left out}"
[ "$differences" -eq 0 ]
