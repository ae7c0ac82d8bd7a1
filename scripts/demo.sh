#!/usr/bin/env bash
# The whole of mbtrain in a few minutes: installs what it needs, builds, and lets a small Llama-style model learn to write C++ from the
# headers of the C++ standard library, twice: in bf16, then with FP8 matrix products. Shows both loss curves and a generated sample.
# usage: scripts/demo.sh        results: out/demo (override with MBT_DEMO_OUT)
set -euo pipefail
cd "$(dirname "$0")/.."

out=${MBT_DEMO_OUT:-out/demo}
data=/usr/include/c++
recipes=(bf16_mixed bf16_with_fp8_current_scaling_mixed)

say() { printf '\n== %s\n' "$*"; }

say "Packages"
scripts/setup.sh

say "Build (build/release)"
launcher=()
if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
cmake -S . -B build/release -G Ninja -DCMAKE_BUILD_TYPE=Release -DMBT_CUDA=OFF "${launcher[@]}"
cmake --build build/release --parallel "$(nproc)" --target mbtrain
mbtrain=build/release/mbtrain

if [ ! -d "$data" ]; then
  echo "demo: $data is missing; it comes with the C++ compiler" >&2
  exit 1
fi

rm -rf "$out"
mkdir -p "$out"
for recipe in "${recipes[@]}"; do
  say "Training on $data with $recipe"
  "$mbtrain" train --config configs/llama_demo_cpp.json --mixed-precision "$recipe" --dataset.path "$data" \
    --checkpoint.save "$out/$recipe" --logger.jsonl_path "$out/$recipe.jsonl"
done

say "The two loss curves (also $out/curves.svg)"
awk -v svg="$out/curves.svg" -f scripts/curves.awk "$out/${recipes[0]}.jsonl" "$out/${recipes[1]}.jsonl"

# top-k, not top-p: the latter cuts the small probability with which a run of alignment spaces ends.
say "C++ as the FP8 model writes it: three samples"
"$mbtrain" generate --checkpoint.load "$out/${recipes[1]}" --prompt $'  /**\n   *  @brief  Returns the' --max-new-tokens 400 \
  --num-samples 3 --temperature 0.8 --top-k 20
printf '\n'
