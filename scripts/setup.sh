#!/usr/bin/env bash
# Installs what mbtrain is built from, with apt, on Debian 12 and Ubuntu 24.04. Packages that are there are left alone.
# usage: scripts/setup.sh [--tests]     --tests: also what the tests need
set -euo pipefail

packages=(g++ cmake ninja-build nlohmann-json3-dev libcli11-dev libspdlog-dev libfmt-dev libxxhash-dev libdnnl-dev libopenmpi-dev openmpi-bin
          pkg-config libutf8proc-dev libsentencepiece-dev)
for argument in "$@"; do
  case $argument in
    # slurm-wlm brings mpi_pmix.so, for srun --mpi=pmix; on Debian 12 that wants the libpmix.so of libpmix-dev.
    --tests) packages+=(catch2 libboost-context-dev clang-format-14 slurm-wlm munge libpmix-dev) ;;
    *) echo "usage: scripts/setup.sh [--tests]" >&2; exit 2 ;;
  esac
done

if ! command -v apt-get >/dev/null; then
  echo "setup: this system has no apt-get. mbtrain needs a C++20 compiler, CMake 3.22, Ninja, nlohmann-json, CLI11, spdlog, fmt and xxHash;" >&2
  echo "       oneDNN makes it fast, MPI trains on several GPUs, utf8proc and SentencePiece read tokenizers; Catch2, Boost.Context, clang-format 14 and Slurm are for the tests." >&2
  echo "       Install them by your own means, then build with CMake." >&2
  exit 1
fi

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "setup: all ${#packages[@]} packages are installed"
  exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "setup: neither root nor sudo; please have an administrator run: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
echo "setup: installing ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
