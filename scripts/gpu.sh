# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by demo.sh and gpu_check.sh: the GPU that the program is to use, and what to build for it.

# find_gpu: the first GPU of CUDA_VISIBLE_DEVICES (an index as nvidia-smi counts, or a UUID), without it GPU 0.
# Sets gpu_visible, gpu_index, gpu_list (the output of nvidia-smi -L) and gpu_name (name, driver); or sets gpu_problem and returns 1.
find_gpu() {
  gpu_problem=
  if ! command -v nvidia-smi >/dev/null; then
    gpu_problem="nvidia-smi is not installed, so there is no driver"
    return 1
  fi
  gpu_visible=${CUDA_VISIBLE_DEVICES-0}
  gpu_visible=${gpu_visible%%,*}
  gpu_list=$(nvidia-smi -L 2>&1) || { gpu_problem=$gpu_list; return 1; }
  gpu_index=$(awk -v id="$gpu_visible" '/^GPU [0-9]+:/ { gpu = $2 + 0; if (id == gpu "") { print gpu; exit } }
    id ~ /^(GPU|MIG)-/ && index($0, "UUID: " id) { print gpu; exit }' <<<"$gpu_list")
  if [ -z "$gpu_index" ]; then
    gpu_problem="CUDA_VISIBLE_DEVICES begins with '$gpu_visible', which nvidia-smi -L does not list: ${gpu_list//$'\n'/; }"
    return 1
  fi
  gpu_name=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader -i "$gpu_index" 2>&1) || { gpu_problem=$gpu_name; return 1; }
}

# gpu_architecture: CMAKE_CUDA_ARCHITECTURES of the GPU that find_gpu found.
gpu_architecture() {
  local capability
  capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader -i "$gpu_index" | tr -d .)
  case $capability in 90 | 100 | 103 | 120) capability+=a ;; esac  # with the units that only this family has
  printf '%s' "$capability"
}
