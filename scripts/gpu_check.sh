#!/usr/bin/env bash
# Everything that only a GPU can tell, in one command and at most eight minutes: builds if needed, runs the parity suite on the hardware,
# trains 30 steps of every recipe that runs natively against the CPU's losses, measures ops, matrix products and the training step against
# the memory's and the tensor cores' measured peaks, PyTorch as peer where it is installed, and runs small cases under compute-sanitizer. A
# part that takes too long is cut and said. With four GPUs or more it tests several ranks as well. A table comes last, also as markdown for
# docs/benchmarks.
# usage: scripts/gpu_check.sh [--build DIR] [--out DIR] [--limit SECONDS] [--python PYTHON]
#        defaults: build/gpu, out/gpu_check, 480, python3 (PYTHON: one that has PyTorch, for the peer)
#        DIR of --out is new, empty, or one that an earlier check made: that check's results are deleted
#        the GPU is the first of CUDA_VISIBLE_DEVICES (an index as nvidia-smi counts, or a UUID), without it GPU 0
# exit codes: 0 all passed, 1 a part failed or was cut, 2 no GPU, or bad usage
# shellcheck disable=SC2317  # functions are called through bash -c
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2

usage() { sed -n '/^# usage: /,/^# exit codes: /s/^# //p' scripts/gpu_check.sh; }
bad_usage() {
  printf 'gpu_check: %s\n' "$*" >&2
  usage >&2
  exit 2
}

build=build/gpu
out=out/gpu_check
limit=480
python=python3
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) usage; exit 0 ;;
    --build | --out | --limit | --python)
      if [ -z "${2:-}" ]; then bad_usage "$1 needs a value"; fi
      printf -v "${1#--}" %s "$2"
      shift 2 ;;
    *) bad_usage "unknown argument '$1'" ;;
  esac
done
if ! [[ $limit =~ ^[1-9][0-9]{0,5}$ ]]; then bad_usage "--limit is '$limit', expected whole seconds from 1 to 999999"; fi

no_gpu() {
  printf 'gpu_check: no usable NVIDIA GPU here: %s\n' "$*" >&2
  exit 2
}
command -v "$python" >/dev/null || { echo "gpu_check: $python is missing; it reads the results (no packages needed)" >&2; exit 2; }
source scripts/gpu.sh
find_gpu || no_gpu "$gpu_problem"
# Every program here is to use this GPU. CUDA counts the fastest first unless told to count as nvidia-smi does.
export CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES=$gpu_visible

# Only a folder that this script made is cleared.
marker=$out/.made_by_gpu_check
problem=$(mkdir -p "$out" 2>&1) || bad_usage "--out: $problem"
if [ ! -e "$marker" ] && [ -n "$(ls -A "$out" 2>&1)" ]; then
  bad_usage "--out: $out is not empty, and no earlier check made it; give another folder, or empty it"
fi
problem=$( { : >"$marker"; } 2>&1) || bad_usage "--out: cannot write into $out: ${problem##*: }"
rm -f "$out"/*.{tsv,json,jsonl,log,out,txt,nsys-rep,sqlite} "$out/report.md"
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
  printf '\n%s\n' "$gpu_name"
  "$python" scripts/gpu_check_rows.py table "$rows" --markdown "$out/report.md" --title "$gpu_name"
  code=$?
  printf 'also in %s\n' "$out/report.md"
  exit "$code"
}

# Tests of several ranks start up to four, each with a GPU of its own.
gpus=$(grep -c '^GPU [0-9]*:' <<<"$gpu_list")
targets=(mbtrain test_parity_gpu)
if [ "$gpus" -ge 4 ]; then targets+=(test_e2e); fi

# -- build ----------------------------------------------------------------------------------------------------------------------------------
configure=(cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DMBT_TESTS=ON -DMBT_CUDA=ON "-DCMAKE_CUDA_ARCHITECTURES=$(gpu_architecture)")
if command -v ccache >/dev/null; then configure+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_CUDA_COMPILER_LAUNCHER=ccache); fi
build_command="$(printf '%q ' "${configure[@]}")"
build_command+="&& cmake --build $(printf %q "$build") --parallel $(nproc) --target ${targets[*]}"
build_code=0
part build 300 bash -c "$build_command" || build_code=$?
if [ "$build_code" -eq 124 ] || [ "$build_code" -eq 137 ]; then
  row "build" info "build first, without a limit, and run this again: $build_command" ""
fi
if [ "$build_code" -ne 0 ]; then finish; fi
row build pass "$((SECONDS - started)) s" "300 s"

mbtrain=$build/mbtrain
"$mbtrain" doctor --json >"$out/doctor.json"
usable=$("$python" -c 'import json, sys; d = json.load(open(sys.argv[1]))["devices"]["cuda"]; print("" if d["usable"] else d["problem"])' "$out/doctor.json")
if [ -n "$usable" ]; then no_gpu "$usable"; fi

# -- right? ---------------------------------------------------------------------------------------------------------------------------------
part parity 120 ctest --test-dir "$build" -L gpu --output-on-failure --no-tests=error --timeout 60
if [ -s "$out/parity.out" ]; then make_rows ctest "$out/parity.out"; fi

recipes=$("$python" -c '
import json, sys
for name, on in json.load(open(sys.argv[1]))["recipes"].items():
    if on["cuda"]["execution"] == "native": print(name)' "$out/doctor.json")
# losses NAME RECIPE ARGUMENTS...: 30 steps on both devices. At the default learning rate, which is four times as high, 30 steps amplify
# the roundings of 8-bit sums up to twentyfold, and would hide small errors.
losses() {
  local name=$1 common=(--mixed-precision "$2" "${@:3}" --model.kv_channels 64 --lr 5e-4 --train-iters 30 --eval-iters 0 --log-interval 1)
  "$mbtrain" "${common[@]}" --device cuda --logger.jsonl_path "$out/$name.cuda.jsonl" >/dev/null || return 1
  "$mbtrain" "${common[@]}" --device cpu --logger.jsonl_path "$out/$name.cpu.jsonl" >/dev/null
}
export -f losses
export mbtrain out
compare_losses() {
  if part "losses-$1" 30 bash -c 'losses "$@"' losses "$@"; then make_rows losses "$1" "$out/$1.cpu.jsonl" "$out/$1.cuda.jsonl"; fi
}
# Heads of 64, so that flash attention can serve them in 16 bits; asked for by name, it is refused, not replaced, where it cannot. The math
# way in fp32 and once in bf16.
for recipe in $recipes; do
  case $recipe in
    fp32) compare_losses fp32 fp32 --attention-backend math ;;
    *) compare_losses "$recipe" "$recipe" --attention-backend flash ;;
  esac
  if [ "$recipe" = bf16_mixed ]; then compare_losses bf16_mixed-math bf16_mixed --attention-backend math; fi
done

if [ "$gpus" -ge 4 ]; then
  if part ranks 120 env -u CUDA_VISIBLE_DEVICES MBT_TEST_DEVICE=cuda \
    ctest --test-dir "$build" -R '^e2e[.]ranks$' --output-on-failure --no-tests=error; then make_rows ctest "$out/ranks.out" "ranks over NCCL"; fi
else
  row "ranks over NCCL" skipped "$gpus GPU here; the tests start up to 4 ranks, each with its own" ""
fi

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

idle_steps=10
idle_command=("$mbtrain" bench step "${config[@]}" --mixed-precision bf16_mixed --train.device cuda --steps "$idle_steps" --json)
nsys_command=(nsys profile --trace=cuda --cuda-graph-trace=node --sample=none --cpuctxsw=none --force-overwrite=true -o "$out/idle"
  "${idle_command[@]}")
if command -v nsys >/dev/null; then
  if part nsys 60 "${nsys_command[@]}" &&
    part nsys-export 30 nsys export --type sqlite --force-overwrite true -o "$out/idle.sqlite" "$out/idle.nsys-rep"; then
    make_rows idle "$out/idle.sqlite" "$idle_steps"
  fi
else
  row "GPU idle inside a step" skipped "nsys is not installed; it would run: ${nsys_command[*]}" "under 3 %"
fi

# -- sanitizers: last, for they make kernels a hundred times slower -------------------------------------------------------------------------
# Small cases of each kind of kernel (tags and names of tests/parity and the op tests; a comma is "or"). No initcheck: the tests' tensors are
# managed memory that the host fills, so it would see only scratch.
declare -A cases=(
  [rows]='[#rope_test],[#cast_test],[#activation_test],[#embedding_test],[#optimizer_ops_test],[#cross_entropy_test]'
  [norm]='[#norm_test],qk_norm_bwd: heads of every number of lanes*'
  [attention]='both ways of attention serve the shapes of flash*,sequences beyond what a launch takes go into the next'
  [quantize]='quantize: one copy alone*,delayed_scaling_update: histories*,slices of a weight: amax not staged*,complete_copies: the transposed*'
  [gemm]='gemm of plain operands*,gemm of quantized operands is the product*'
)
# sanitize TOOL KIND OPTIONS...
sanitize() {
  local name=$1-$2
  if part "$name" 25 compute-sanitizer --tool "$1" "${@:3}" "$build/tests/parity/test_parity_gpu" -# "${cases[$2]}"; then
    { echo "tool: $1 $2"; cat "$out/$name.out"; } >"$out/$name.txt"
    make_rows sanitizer "$out/$name.txt"
  fi
}
if command -v compute-sanitizer >/dev/null; then
  ours=(--kernel-name kns=mbt)  # not cuBLASLt's kernels, whose barriers are its own affair; memcheck sees what they read of ours
  for kind in rows norm attention quantize gemm; do sanitize memcheck "$kind"; done
  for tool in racecheck synccheck; do
    for kind in norm attention quantize gemm; do sanitize "$tool" "$kind" "${ours[@]}"; done
  done
else
  row compute-sanitizer skipped "not installed" "0 errors"
fi
row "whole check" info "$((SECONDS - started)) s" "$limit s"
finish
