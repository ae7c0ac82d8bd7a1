#!/usr/bin/env bash
# The whole of mbtrain in a few minutes: installs what it needs, builds, and lets a small Llama-style model learn to write C++ from the
# headers of the C++ standard library, twice: in bf16, then with FP8 matrix products. Shows both loss curves and a generated sample.
# With a CUDA toolkit (nvcc) and a usable GPU (nvidia-smi lists it) it builds for that GPU and trains on it, else on the CPU.
# usage: scripts/demo.sh [--dry-run]     --dry-run: prints the stages and their commands, and runs none of them
#        results: out/demo (override with MBT_DEMO_OUT)
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/stages.sh
source scripts/gpu.sh

is_dry=false
case ${1-} in
  "") ;;
  --dry-run) is_dry=true ;;
  *) echo "usage: scripts/demo.sh [--dry-run]" >&2; exit 2 ;;
esac

out=${MBT_DEMO_OUT:-out/demo}
data=/usr/include/c++
recipes=(bf16_mixed bf16_with_fp8_current_scaling_mixed)
mbtrain=build/release/mbtrain
stage_count=6
if $is_dry; then end_stage() { :; }; fi

run() {
  if $is_dry; then printf '%q ' "$@"; echo; else "$@"; fi
}

# -- which device --------------------------------------------------------------------------------------------------------------------------
use_cpu() {
  device=cpu
  build_for=(-DMBT_CUDA=OFF)
  build_time="2 to 4 minutes; seconds where ccache has seen the sources"
  train_time="40 to 70 seconds"
}
use_gpu() {
  device=cuda
  build_for=(-DMBT_CUDA=ON "-DCMAKE_CUDA_ARCHITECTURES=$(gpu_architecture)")
  build_time="5 to 15 minutes: the CUDA kernels as well"
  train_time="not measured on a GPU yet; 40 to 70 seconds on a CPU"
  export CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES=$gpu_visible
}

# CMake looks for nvcc in PATH only.
if ! command -v nvcc >/dev/null; then PATH=$PATH:${CUDA_HOME:-/usr/local/cuda}/bin; fi
use_cpu
if ! find_gpu; then
  echo "Device: the CPU; no usable GPU: $gpu_problem"
elif ! command -v nvcc >/dev/null; then
  echo "Device: the CPU; there is a GPU ($gpu_name) but no CUDA toolkit: nvcc is missing"
else
  use_gpu
  echo "Device: the GPU ($gpu_name), built for compute capability $(gpu_architecture)"
fi

# -- packages, build -----------------------------------------------------------------------------------------------------------------------
begin_stage "install packages" "1 to 3 minutes; a second where they are installed"
run scripts/setup.sh
end_stage

configure() {
  local launcher=()
  if command -v ccache >/dev/null; then
    launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
    if [ "$device" = cuda ]; then launcher+=(-DCMAKE_CUDA_COMPILER_LAUNCHER=ccache); fi
  fi
  run cmake -S . -B build/release -G Ninja -DCMAKE_BUILD_TYPE=Release "${build_for[@]}" "${launcher[@]}"
}
begin_stage "build the program into build/release" "$build_time"
if ! configure; then
  if [ "$device" = cpu ]; then exit 1; fi
  echo "demo: this CUDA toolkit cannot build for the GPU (the reason is above); continuing on the CPU" >&2
  use_cpu
  configure
fi
run cmake --build build/release --parallel "$(nproc)" --target mbtrain
end_stage

# -- train ---------------------------------------------------------------------------------------------------------------------------------
if ! $is_dry; then
  if [ ! -d "$data" ]; then
    echo "demo: $data is missing; it comes with the C++ compiler" >&2
    exit 1
  fi
  rm -rf "$out"
  mkdir -p "$out"
fi

train() {  # train RECIPE ARGUMENT...
  local on=(--train.device "$device")
  # Without it, a GPU refuses a recipe whose formats it lacks.
  if [ "$device" = cuda ]; then on+=(--emulate-precision true); fi
  run "$mbtrain" train --config configs/llama_demo_cpp.json --mixed-precision "$1" --dataset.path "$data" "${on[@]}" "${@:2}"
}
if [ "$device" = cuda ] && ! $is_dry && ! problem=$(train "${recipes[1]}" --train-iters 1 --eval-iters 0 2>&1 >/dev/null); then
  printf 'demo: the GPU cannot be used; continuing on the CPU: %s\n' "$(tail -1 <<<"$problem")" >&2
  use_cpu
fi

for recipe in "${recipes[@]}"; do
  begin_stage "train on $data with $recipe" "$train_time"
  train "$recipe" --checkpoint.save "$out/$recipe" --logger.jsonl_path "$out/$recipe.jsonl"
  end_stage
done

# -- show ----------------------------------------------------------------------------------------------------------------------------------
begin_stage "show the two loss curves (also $out/curves.svg)" "a second"
run awk -v svg="$out/curves.svg" -f scripts/curves.awk "$out/${recipes[0]}.jsonl" "$out/${recipes[1]}.jsonl"
end_stage

# top-k, not top-p: the latter cuts the small probability with which a run of alignment spaces ends.
begin_stage "let the FP8 model write C++: three samples" "3 to 10 seconds"
run "$mbtrain" generate --device "$device" --checkpoint.load "$out/${recipes[1]}" --prompt $'  /**\n   *  @brief  Returns the' \
  --max-new-tokens 400 --num-samples 3 --temperature 0.8 --top-k 20
printf '\n'
end_stage
printf '\nThe demo took %s. Try: %s --help\n' "$(seconds_text $SECONDS)" "$mbtrain"
