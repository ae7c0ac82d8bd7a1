#!/usr/bin/env bash
# Checks that .clang-format holds for every source. Only clang-format 14 counts: other versions format differently.
# usage: scripts/check_format.sh [REPOSITORY]     lists the files that differ; clang-format-14 -i FILE formats one
# exit codes: 0 all are formatted, 1 some are not, 77 no clang-format 14 here: nothing was checked
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"

formatter=
for candidate in clang-format-14 clang-format; do
  if command -v "$candidate" >/dev/null && "$candidate" --version | grep -q 'version 14\.'; then formatter=$candidate; break; fi
done
if [ -z "$formatter" ]; then
  echo "check_format: clang-format 14 is not installed (scripts/setup.sh --tests installs it); nothing was checked"
  exit 77
fi

sources() { find apps core kernels tests cmake \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \) -print0; }
# 20 files per process: enough to keep every core busy to the end.
if ! found=$(sources | xargs -0 -n 20 -P "$(nproc)" "$formatter" --style=file --dry-run 2>&1); then
  printf '%s\ncheck_format: %s failed\n' "$found" "$formatter" >&2
  exit 1
fi
unformatted=$(sed -n 's/^\([^:]*\):[0-9]*:[0-9]*: warning: code should be clang-formatted.*/\1/p' <<<"$found" | sort -u)
if [ -n "$unformatted" ]; then
  printf '%s\n' "$unformatted"
  printf 'check_format: %d files differ from .clang-format; %s -i FILE formats one\n' "$(wc -l <<<"$unformatted")" "$formatter" >&2
  exit 1
fi
printf 'all %d sources are formatted\n' "$(sources | tr -cd '\0' | wc -c)"
