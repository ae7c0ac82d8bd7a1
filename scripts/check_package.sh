#!/usr/bin/env bash
# Makes the relocatable package of a build folder, unpacks it where nothing else lies, and proves that it runs there: every library comes from
# the package or from glibc, it says which glibc that must be, and it trains a few steps in a root that holds only the package and glibc (or,
# without the right to chroot, in an empty environment).
# usage: scripts/check_package.sh [BUILD] [--glibc VERSION]     default: build/test; --glibc: fail when it needs a newer one than this
set -euo pipefail
cd "$(dirname "$0")/.."

build=build/test
promised_glibc=
while [ $# -gt 0 ]; do
  case $1 in
    --glibc) promised_glibc=${2:?--glibc needs a version}; shift 2 ;;
    -*) echo "usage: scripts/check_package.sh [BUILD] [--glibc VERSION]" >&2; exit 2 ;;
    *) build=$1; shift ;;
  esac
done

die() {
  printf 'check_package: %s\n' "$*" >&2
  exit 1
}
[ -f "$build/CPackConfig.cmake" ] || die "$build is not a configured build folder"
[ -x "$build/mbtrain" ] || die "$build/mbtrain is missing: cmake --build $build --target mbtrain"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# -- the package: cpack installs what is built; it does not build ---------------------------------------------------------------------------
cpack --config "$build/CPackConfig.cmake" -B "$work/cpack" >"$work/cpack.log" || die "cpack failed: $(tail -5 "$work/cpack.log")"
package=$(basename "$work"/cpack/*.tar.gz .tar.gz)
mv "$work/cpack/$package.tar.gz" "$build/"
mkdir "$work/root"
tar -C "$work/root" -xzf "$build/$package.tar.gz"
unpacked=$work/root/$package
program=$unpacked/bin/mbtrain
printf 'package: %s, %s unpacked\n' "$(du -h "$build/$package.tar.gz" | cut -f1)" "$(du -sh "$unpacked" | cut -f1)"

# -- documents: every link of theirs to a file or folder leads to one in the package ----------------------------------------------------------
dead=$(find "$unpacked" -name '*.md' | while read -r document; do
  { grep -oE '\]\([^)#:]+\)' "$document" || true; } | while read -r link; do
    link=${link:2:-1}
    [ -e "$(dirname "$document")/$link" ] || printf '%s: %s\n' "${document#"$unpacked/"}" "$link"
  done
done)
[ -z "$dead" ] || die "these links of its documents lead nowhere:
$dead"
[ -f "$unpacked/share/mbtrain/README.md" ] || die "share/mbtrain/README.md is missing"
printf 'documents: no dead links\n'
for file in bash-completion/completions/mbtrain zsh/site-functions/_mbtrain fish/vendor_completions.d/mbtrain.fish man/man1/mbtrain.1; do
  grep -q 'model.num_layers' "$unpacked/share/$file" || die "share/$file is missing or does not know the fields"
done
printf 'completion for bash, zsh and fish, man page: there\n'

# -- libraries: from the package or glibc -------------------------------------------------------------------------------------------------
glibc='ld-linux|linux-vdso|lib(c|m|dl|rt|pthread|resolv|util)\.so\.'
resolved=$(env -i ldd "$program")
printf '%s\n' "$resolved" | grep -q 'not found' && die "libraries are missing:
$resolved"
foreign=$(printf '%s\n' "$resolved" | grep -v "$unpacked/" | grep -vE "$glibc" || true)
[ -z "$foreign" ] || die "these libraries are neither in the package nor glibc's:
$foreign"
printf 'libraries: all in the package or glibc\n'

# -- glibc: the newest version that any file asks for ---------------------------------------------------------------------------------------
needed=$(find "$unpacked" -type f \( -path '*/bin/mbtrain' -o -name '*.so*' \) -exec readelf -V {} + 2>/dev/null |
  grep -oE 'GLIBC_[0-9]+\.[0-9]+' | sed 's/GLIBC_//' | sort -uV | tail -1)
printf 'glibc: needs %s or newer\n' "$needed"
if [ -n "$promised_glibc" ] && [ "$(printf '%s\n' "$needed" "$promised_glibc" | sort -V | tail -1)" != "$promised_glibc" ]; then
  die "needs glibc $needed, expected at most $promised_glibc: build on an older system"
fi

# -- it runs ------------------------------------------------------------------------------------------------------------------------------
# Only glibc beside the package: the loader and the libraries that ldd found outside.
printf '%s\n' "$resolved" | grep -oE '/[^ ]+' | grep -v "$unpacked/" | while read -r library; do
  mkdir -p "$work/root/$(dirname "$library")"
  cp -L "$library" "$work/root/$library"
done
mkdir -p "$work/root/tmp"
# The root has no /proc, from which glibc learns $ORIGIN elsewhere: it takes the program's folder from LD_ORIGIN_PATH then.
in_root() { (cd "$work/root" && env -i LD_ORIGIN_PATH="$inside/bin" "${enter[@]}" "$@"); }
enter=("$(command -v chroot)" "$work/root")
inside=/$package
if ! in_root "$inside/bin/mbtrain" --version >/dev/null 2>&1; then
  enter=("$(command -v unshare)" --map-root-user "$(command -v chroot)" "$work/root")
  if ! in_root "$inside/bin/mbtrain" --version >/dev/null 2>&1; then
    printf 'root: no right to chroot; running in an empty environment instead\n'
    enter=()
    inside=$unpacked
  fi
fi
in_root "$inside/bin/mbtrain" doctor --json >"$work/doctor.json"
in_root "$inside/bin/mbtrain" --config "$inside/share/mbtrain/configs/llama_10m.json" --mixed-precision bf16_with_fp8_current_scaling_mixed \
  --train-iters 3 --seq-length 64 --eval-iters 0 --log-interval 1 --train.device cpu >"$work/train.out" 2>"$work/train.err" ||
  die "training from the package failed:
$(cat "$work/train.err")"
[ "$(grep -c 'lm loss:' "$work/train.out")" = 3 ] || die "expected three iterations:
$(cat "$work/train.out")"
code=0
in_root "$inside/bin/mbtrain" --train.device cuda --train-iters 1 >/dev/null 2>"$work/cuda.err" || code=$?
if [ "$code" != 0 ]; then
  [ "$code" = 2 ] || die "--train.device cuda without a GPU or CUDA's libraries must end with 2, ended with $code: $(cat "$work/cuda.err")"
  printf 'without a GPU: %s\n' "$(tail -1 "$work/cuda.err")"
fi
printf 'runs: doctor, and three steps in FP8, %s\n' "$([ ${#enter[@]} -gt 0 ] && echo 'in a root with glibc alone' || echo 'in an empty environment')"
printf 'check_package: %s is fine\n' "$build/$package.tar.gz"
