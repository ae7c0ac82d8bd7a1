# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by demo.sh and test.sh: announces each stage with its number and how long it takes, and prints how long it took.
# The caller sets stage_count. Times given are measured alone on a machine with two cores.
stage_number=0

# seconds_text SECONDS: "48 s", "3 min 05 s"
seconds_text() {
  if [ "$1" -lt 60 ]; then printf '%d s' "$1"; else printf '%d min %02d s' $(($1 / 60)) $(($1 % 60)); fi
}

# begin_stage WHAT HOW_LONG
begin_stage() {
  stage_number=$((stage_number + 1))
  stage_started=$SECONDS
  printf '\n== Stage %d of %d: %s (%s)\n' "$stage_number" "$stage_count" "$1" "$2"
}

end_stage() {
  printf '== Stage %d of %d took %s\n' "$stage_number" "$stage_count" "$(seconds_text $((SECONDS - stage_started)))"
}
