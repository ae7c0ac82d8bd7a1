#!/usr/bin/env bash
# Installs what the tests need, builds everything with warnings as errors into build/test, runs all tests.
# usage: scripts/test.sh [ctest argument...]     e.g. scripts/test.sh -L unit
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/stages.sh
stage_count=3

begin_stage "install packages" "1 to 4 minutes; a second where they are installed"
scripts/setup.sh --tests
end_stage

begin_stage "build the program and all tests into build/test" "5 to 15 minutes; less where ccache has seen the sources"
launcher=()
if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
cmake -S . -B build/test -G Ninja -DCMAKE_BUILD_TYPE=Release -DMBT_TESTS=ON -DMBT_WERROR=ON "${launcher[@]}"
cmake --build build/test --parallel "$(nproc)"
end_stage

begin_stage "run the tests${*:+ ($*)}" "5 to 12 minutes for all; -L unit: 1 to 2 minutes"
ctest --test-dir build/test --parallel "$(nproc)" --output-on-failure --no-tests=error "$@"
end_stage
printf '\nAll passed, in %s.\n' "$(seconds_text $SECONDS)"
