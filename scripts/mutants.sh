#!/usr/bin/env bash
# Plants the faults of tests/mutants/*.txt in a copy of the tree, one at a time, and says whether the tests named there fail.
# usage: scripts/mutants.sh [options] [NAME...]     default: all; a NAME may be a pattern: 'data.*'
#   --list               names and files of the chosen faults, and nothing else
#   --check              only whether each change still applies; builds nothing
#   --skip-sound         do not run the named tests on the sound tree first
#   --build-type TYPE    of CMake. Default: Release, as scripts/test.sh builds, whose objects ccache may have. Debug (here: -O1) compiles
#                        faster and runs slower
#   --folder FOLDER      keeps the copy and its build for the next time. Default: build/mutants
#   --jobs N             compilers at a time. Default: 2
# Result per fault: found; survived (a named test passed); no longer applies (tests/mutants/README.md: how a place is found); does not build.
# Exit code: 0 when all were found, 1 when not, 2 when called wrongly or when the tree without faults does not build and pass.
set -euo pipefail
source_tree=$(cd "$(dirname "$0")/.." && pwd)
cd "$source_tree"

die() { printf 'mutants: %s\n' "$*" >&2; exit 2; }

build_type=Release folder=build/mutants jobs=2 mode=run run_sound=true
patterns=()
while [ $# -gt 0 ]; do
  case $1 in
    --list) mode=list; shift ;;
    --check) mode=check; shift ;;
    --skip-sound) run_sound=false; shift ;;
    --build-type) build_type=${2:?--build-type needs a value}; shift 2 ;;
    --folder) folder=${2:?--folder needs a value}; shift 2 ;;
    --jobs) jobs=${2:?--jobs needs a value}; shift 2 ;;
    -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    -*) die "no option $1; see --help" ;;
    *) patterns+=("$1"); shift ;;
  esac
done

# -- the list --------------------------------------------------------------------------------------------------------------------------------
declare -A file_of=() after_of=() find_of=() put_of=() tests_of=()  # by name
names=()
name='' list='' line_number=0

is_chosen() {
  [ ${#patterns[@]} -gt 0 ] || return 0
  local pattern
  # shellcheck disable=SC2053  # a pattern
  for pattern in "${patterns[@]}"; do [[ $1 == $pattern ]] && return 0; done
  return 1
}

# Ends the fault that is being read: it must be complete.
end_fault() {
  [ -n "$name" ] || return 0
  if [ -z "${file_of[$name]:-}" ] || [ -z "${find_of[$name]:-}" ] || [ -z "${put_of[$name]+given}" ] || [ -z "${tests_of[$name]:-}" ]; then
    die "$list: fault $name lacks one of file, find, put, tests"
  fi
  if is_chosen "$name"; then names+=("$name"); fi
  name=''
}

read_list() {
  list=$1 line_number=0
  local line key value
  while IFS= read -r line || [ -n "$line" ]; do
    line_number=$((line_number + 1))
    case $line in '') end_fault; continue ;; '#'*) continue ;; esac
    key=${line%%[ :]*} value=${line#"$key"}
    value=${value#:} value=${value# }
    if [[ $line == '['*']' ]]; then
      end_fault
      name=${line#'['} name=${name%']'}
      [ -z "${tests_of[$name]+given}" ] || die "$list:$line_number: a second fault $name"
      continue
    fi
    [ -n "$name" ] || die "$list:$line_number: expected [name], found: $line"
    case $key in
      file) file_of[$name]=$value ;;
      after) after_of[$name]=$value ;;
      find) find_of[$name]=$value ;;
      put) put_of[$name]=$value ;;
      tests) tests_of[$name]=$value ;;
      *) die "$list:$line_number: expected file, after, find, put or tests, found: $line" ;;
    esac
  done <"$1"
  end_fault
}

for path in tests/mutants/*.txt; do read_list "$path"; done
[ ${#names[@]} -gt 0 ] || die "no fault has such a name; --list shows them"

# Prints the file with the fault in it. Fails where the place is not found, or found more than once.
faulty() {
  [ -f "${file_of[$1]}" ] || return 1
  AFTER=${after_of[$1]:-} FIND=${find_of[$1]} PUT=${put_of[$1]} awk '
    BEGIN { after = ENVIRON["AFTER"]; text = ENVIRON["FIND"]; is_behind = after == "" }
    { at = index($0, text)
      if (at && is_behind && (after == "" || places == 0)) {
        ++places
        if (index(substr($0, at + 1), text)) ++places
        $0 = substr($0, 1, at - 1) ENVIRON["PUT"] substr($0, at + length(text))
      }
      if (after != "" && index($0, after)) { ++marks; is_behind = 1 }
      print }
    END { exit !(places == 1 && (after == "" || marks == 1)) }' "${file_of[$1]}"
}

if [ $mode = list ]; then
  for name in "${names[@]}"; do printf '%-44s %s\n' "$name" "${file_of[$name]}"; done
  exit 0
fi

declare -A result_of=()
for name in "${names[@]}"; do
  if faulty "$name" >/dev/null; then continue; fi
  result_of[$name]='no longer applies'
  printf '%-44s no longer applies: %s\n' "$name" "${file_of[$name]}"
done
if [ $mode = check ]; then
  printf '%d faults, %d no longer apply\n' ${#names[@]} ${#result_of[@]}
  [ ${#result_of[@]} = 0 ]
  exit
fi

# -- the copy: files whose content is that of the tree keep their time, so that only what differs is built again ----------------------------
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
copy=$folder/tree build=$folder/tree/build/mutants  # as deep in its tree as other builds in theirs: ccache then knows the same paths
mkdir -p "$copy"

copy_file() {  # always as a new file: no object may be taken for newer than it
  mkdir -p "$(dirname "$copy/$1")"
  cp "$1" "$copy/$1"
}

copy_tree() {
  git ls-files -co --exclude-standard | LC_ALL=C sort >"$folder/wanted"
  (cd "$copy" && find . -path ./build -prune -o -type f -printf '%P\n') | LC_ALL=C sort >"$folder/present"
  LC_ALL=C comm -13 "$folder/wanted" "$folder/present" | while IFS= read -r path; do rm "$copy/$path"; done
  while IFS= read -r path; do
    [ -f "$path" ] || { rm -f "$copy/$path"; continue; }  # removed, and not committed yet
    cmp -s "$path" "$copy/$path" || copy_file "$path"
  done <"$folder/wanted"
}
copy_tree

launcher=()
if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
cmake -S "$copy" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE="$build_type" -DCMAKE_CXX_FLAGS_DEBUG=-O1 -DMBT_CUDA=OFF -DMBT_TESTS=ON \
  -DMBT_WERROR=ON "${launcher[@]}" >"$folder/cmake.log" || die "cmake failed, see $folder/cmake.log"

# -- build and run ---------------------------------------------------------------------------------------------------------------------------
# The executables of tests, whose names begin with their kind.
targets_of() { printf '%s\n' "$@" | sed 's/[.].*//; s/^/test_/' | LC_ALL=C sort -u; }

build_for() {
  local targets
  mapfile -t targets < <(targets_of "$@")
  ninja -C "$build" -j "$jobs" "${targets[@]}" >"$folder/build.log" 2>&1
}

declare -A limit_of=()  # seconds, by test: a fault may make it hang

# Whether the test passes.
passes() { timeout "${limit_of[$1]:-900}" ctest --test-dir "$build" -R "^${1//./[.]}\$" --no-tests=error >"$folder/test.log" 2>&1; }

all_tests=()
for name in "${names[@]}"; do
  read -ra tests <<<"${tests_of[$name]}"
  all_tests+=("${tests[@]}")
done
mapfile -t all_tests < <(printf '%s\n' "${all_tests[@]}" | LC_ALL=C sort -u)
printf 'building %s (%s)\n' "$(targets_of "${all_tests[@]}" | paste -sd' ')" "$folder/build.log"
build_for "${all_tests[@]}" || die "the sound tree does not build: $(grep -m1 -A3 -E 'FAILED|error:' "$folder/build.log")"
if $run_sound; then
  printf 'running the named tests without a fault\n'
  for test in "${all_tests[@]}"; do
    before=$SECONDS
    passes "$test" || die "$test fails, or is none, without any fault: see $folder/test.log"
    limit_of[$test]=$(((SECONDS - before) * 10 + 60))
  done
fi

planted=''
restore() {
  [ -z "$planted" ] || copy_file "$planted"
  planted=''
}
trap restore EXIT

plant() {
  planted=${file_of[$1]}
  faulty "$1" >"$copy/$planted"
}

# One fault. Sets result_of.
try() {
  local tests test passed=''
  read -ra tests <<<"${tests_of[$1]}"
  plant "$1"
  if build_for "${tests[@]}"; then
    for test in "${tests[@]}"; do
      if passes "$test"; then passed+=" $test"; fi
    done
    if [ -z "$passed" ]; then result_of[$1]=found; else result_of[$1]="survived:$passed"; fi
  else
    result_of[$1]='does not build'
    cp "$folder/build.log" "$folder/build.$1.log"
  fi
  restore
}

# Those of the same executables follow each other: fewer links.
for name in "${names[@]}"; do
  read -ra tests <<<"${tests_of[$name]}"
  printf '%s\t%s\n' "$(targets_of "${tests[@]}" | paste -sd' ')" "$name"
done | LC_ALL=C sort -s -k1,1 -t$'\t' | cut -f2 >"$folder/order"
while IFS= read -r name <&3; do
  [ -z "${result_of[$name]:-}" ] || continue
  before=$SECONDS
  try "$name"
  printf '%-44s %s (%d s)\n' "$name" "${result_of[$name]}" $((SECONDS - before))
done 3<"$folder/order"

# -- summary ---------------------------------------------------------------------------------------------------------------------------------
found=0
for name in "${names[@]}"; do
  if [ "${result_of[$name]}" = found ]; then found=$((found + 1)); continue; fi
  printf '%s: %s\n' "${result_of[$name]%%:*}" "$name"
done
printf '%d faults planted: %d found, %d not\n' ${#names[@]} $found $((${#names[@]} - found))
[ $found = ${#names[@]} ]
