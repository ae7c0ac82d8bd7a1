#!/usr/bin/env bash
# Everything that only a GPU can tell, in one command and at most eight minutes: builds if needed, runs the parity suite on the hardware and
# under compute-sanitizer, trains 30 steps of every recipe that runs natively against the CPU's losses, measures ops, matrix products and the
# training step against the memory's and the tensor cores' measured peaks, and PyTorch as peer where it is installed. A part that takes too
# long is cut and said. A table comes last, also as markdown for docs/benchmarks.
# usage: scripts/gpu_check.sh [--build DIR] [--out DIR] [--limit SECONDS] [--python PYTHON]
#        defaults: build/gpu, out/gpu_check, 480, python3 (PYTHON: one that has PyTorch, for the peer)
# exit codes: 0 all passed, 1 a part failed or was cut, 2 no GPU, or bad usage
# shellcheck disable=SC2317  # functions are called through bash -c
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2

build=build/gpu
out=out/gpu_check
limit=480
python=python3
while [ $# -gt 0 ]; do
  case $1 in
    --build) build=${2:?--build needs a folder}; shift 2 ;;
    --out) out=${2:?--out needs a folder}; shift 2 ;;
    --limit) limit=${2:?--limit needs seconds}; shift 2 ;;
    --python) python=${2:?--python needs a program}; shift 2 ;;
    *) sed -n 's/^# usage: /usage: /p' scripts/gpu_check.sh >&2; exit 2 ;;
  esac
done

no_gpu() {
  printf 'gpu_check: no usable NVIDIA GPU here: %s\n' "$*" >&2
  exit 2
}
command -v "$python" >/dev/null || { echo "gpu_check: $python is missing; it reads the results (no packages needed)" >&2; exit 2; }
command -v nvidia-smi >/dev/null || no_gpu "nvidia-smi is not installed, so there is no driver"
gpu=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader -i 0 2>&1) || no_gpu "$gpu"

mkdir -p "$out"
rm -f "$out"/*.tsv "$out"/*.json "$out"/*.jsonl "$out"/*.log
rows=$out/rows.tsv
: >"$rows"
started=$SECONDS
row() { printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" >>"$rows"; }
make_rows() { "$python" scripts/gpu_check_rows.py "$@" >>"$rows" || row "$1" fail "its result cannot be read" ""; }

# part NAME SECONDS COMMAND...: stdout to out/NAME.out, stderr to out/NAME.log; no longer than the part's budget and what is left of the limit.
# True when it ended with 0. Otherwise a row says why.
part() {
  local name=$1 budget=$2 left=$((limit - SECONDS + started)) code=0
  shift 2
  if [ "$left" -le 1 ]; then
    row "$name" cut "not begun: no time left of $limit s" ""
    return 1
  fi
  if [ "$budget" -gt "$left" ]; then budget=$left; fi
  printf '== %s (at most %d s)\n' "$name" "$budget"
  timeout --kill-after=5 "$budget" "$@" >"$out/$name.out" 2>"$out/$name.log" || code=$?
  if [ "$code" -eq 124 ] || [ "$code" -eq 137 ]; then
    row "$name" cut "stopped after $budget s" ""
  elif [ "$code" -ne 0 ]; then
    row "$name" fail "exit code $code: $(tail -1 "$out/$name.log" | tr '\t' ' ' | cut -c1-150)" ""
  fi
  return "$code"
}

finish() {
  printf '\n%s\n' "$gpu"
  "$python" scripts/gpu_check_rows.py table "$rows" --markdown "$out/report.md" --title "$gpu"
  code=$?
  printf 'also in %s\n' "$out/report.md"
  exit "$code"
}

# -- build ----------------------------------------------------------------------------------------------------------------------------------
capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader -i 0 | tr -d .)
case $capability in 90 | 100 | 103 | 120) capability+=a ;; esac  # with the units that only this family has
build_all() {
  local options=(-DCMAKE_BUILD_TYPE=Release -DMBT_TESTS=ON -DMBT_CUDA=ON "-DCMAKE_CUDA_ARCHITECTURES=$capability")
  if command -v ccache >/dev/null; then options+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_CUDA_COMPILER_LAUNCHER=ccache); fi
  cmake -S . -B "$build" -G Ninja "${options[@]}" && cmake --build "$build" --parallel "$(nproc)" --target mbtrain test_parity_gpu
}
export -f build_all
export build capability
part build 300 bash -c build_all || finish
row build pass "$((SECONDS - started)) s" "300 s"

mbtrain=$build/mbtrain
"$mbtrain" doctor --json >"$out/doctor.json"
usable=$("$python" -c 'import json, sys; d = json.load(open(sys.argv[1]))["devices"]["cuda"]; print("" if d["usable"] else d["problem"])' "$out/doctor.json")
if [ -n "$usable" ]; then no_gpu "$usable"; fi

# -- right? ---------------------------------------------------------------------------------------------------------------------------------
part parity 120 ctest --test-dir "$build" -L gpu --output-on-failure --no-tests=error --timeout 60
if [ -s "$out/parity.out" ]; then make_rows ctest "$out/parity.out"; fi

# A few small cases of each kind of kernel: the sanitizer makes them a hundred times slower.
cases='[#rope_test],[#cast_test],[#activation_test],[#embedding_test],[#optimizer_ops_test],[#cross_entropy_test]'
if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck; do
    if [ "$tool" = racecheck ]; then cases='[#norm_test]'; fi
    if part "$tool" 40 compute-sanitizer --tool "$tool" "$build/tests/parity/test_parity_gpu" -# "$cases"; then
      { echo "tool: $tool"; cat "$out/$tool.out"; } >"$out/$tool.txt"
      make_rows sanitizer "$out/$tool.txt"
    fi
  done
else
  row compute-sanitizer skipped "not installed" "0 errors"
fi

recipes=$("$python" -c '
import json, sys
for name, on in json.load(open(sys.argv[1]))["recipes"].items():
    if on["cuda"]["execution"] == "native": print(name)' "$out/doctor.json")
losses() {
  local common=(--mixed-precision "$1" --train-iters 30 --eval-iters 0 --log-interval 1)
  "$mbtrain" "${common[@]}" --device cuda --logger.jsonl_path "$out/$1.cuda.jsonl" >/dev/null || return 1
  "$mbtrain" "${common[@]}" --device cpu --logger.jsonl_path "$out/$1.cpu.jsonl" >/dev/null
}
export -f losses
export mbtrain out
for recipe in $recipes; do
  if part "losses-$recipe" 30 bash -c "losses $recipe"; then
    make_rows losses "$recipe" "$out/$recipe.cpu.jsonl" "$out/$recipe.cuda.jsonl"
  fi
done

# -- fast? ----------------------------------------------------------------------------------------------------------------------------------
if part ops 30 "$mbtrain" bench ops --device cuda --json; then make_rows ops "$out/ops.out"; fi
if part gemm 40 "$mbtrain" bench gemm --device cuda --json; then make_rows gemm "$out/gemm.out"; fi
config=(--config configs/qwen2.5_1.5b.json)
steps=()
for recipe in bf16_mixed bf16_with_fp8_current_scaling_mixed; do
  if part "step-$recipe" 40 "$mbtrain" bench step "${config[@]}" --mixed-precision "$recipe" --train.device cuda --steps 10 --json; then
    steps+=("$out/step-$recipe.out")
  fi
done
if [ ${#steps[@]} -gt 0 ]; then make_rows step "${steps[@]}"; fi

if "$python" -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
  if part torch 150 "$python" scripts/bench_torch.py "$mbtrain" --device cuda --modes compile fp8 --rounds 1 --steps 10 --json \
    --recipes bf16_mixed bf16_with_fp8_current_scaling_mixed -- "${config[@]}"; then
    make_rows torch "$out/torch.out"
  fi
else
  row "PyTorch as peer" skipped "$python has no PyTorch with CUDA (--python)" ""
fi
row "GPU idle inside a step" skipped "not measured: nsys profile --gpu-metrics-device=0 mbtrain bench step" "under 3 %"
row "whole check" info "$((SECONDS - started)) s" "$limit s"
finish
