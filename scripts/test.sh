#!/usr/bin/env bash
# Installs what the tests need, builds everything with warnings as errors into build/test, runs all tests.
# usage: scripts/test.sh [ctest argument...]     e.g. scripts/test.sh -L unit
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh --tests
launcher=()
if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
cmake -S . -B build/test -G Ninja -DCMAKE_BUILD_TYPE=Release -DMBT_TESTS=ON -DMBT_WERROR=ON "${launcher[@]}"
cmake --build build/test --parallel "$(nproc)"
ctest --test-dir build/test --parallel "$(nproc)" --output-on-failure --no-tests=error "$@"
