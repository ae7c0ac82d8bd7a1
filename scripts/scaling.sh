#!/usr/bin/env bash
# Measures a training step at several numbers of ranks on this machine, each rank with the same work: tokens/s, and the share of what as many
# single ranks would do. Cores are shared by the ranks, so on one machine the ideal is the same tokens/s, until cores are used up that one rank
# leaves idle.
# usage: scripts/scaling.sh MBTRAIN "1 2 4" [config argument...]     e.g. scripts/scaling.sh build/release/mbtrain "1 2" --config configs/llama_10m.json
set -euo pipefail
if [ $# -lt 2 ]; then
  sed -n 's/^# usage: /usage: /p' "$0" >&2
  exit 2
fi
mbtrain=$1
read -ra counts <<<"$2"
shift 2
as_root=()
if [ "$(id -u)" -eq 0 ]; then as_root=(--allow-run-as-root); fi
per_rank=4 # micro-batches of a rank, of one sample
cores=$(nproc)

printf '%6s %12s %12s %12s %16s\n' ranks cores/rank 'step ms' tokens/s 'share of 1 rank'
for n in "${counts[@]}"; do
  threads=$((cores / n > 0 ? cores / n : 1))
  launch=(mpirun "${as_root[@]}" --oversubscribe --bind-to none -np "$n")
  [ "$n" -gt 1 ] || launch=()
  # One rank gets as many cores as each of N does: what is compared is the exchange, not the number of cores.
  alone=$(OMP_NUM_THREADS=$threads "$mbtrain" bench step --json --micro-batch-size 1 --global-batch-size $per_rank "$@" 2>/dev/null)
  result=$alone
  if [ "$n" -gt 1 ]; then
    result=$(OMP_NUM_THREADS=$threads "${launch[@]}" "$mbtrain" bench step --json --micro-batch-size 1 --global-batch-size $((per_rank * n)) "$@" 2>/dev/null)
  fi
  python3 - "$n" "$threads" "$alone" "$result" <<'PYTHON'
import json, sys
n, threads = int(sys.argv[1]), int(sys.argv[2])
alone, result = json.loads(sys.argv[3]), json.loads(sys.argv[4])
print(f"{n:6} {threads:12} {result['step_ms']:12.1f} {result['tokens_per_second']:12.0f} {result['tokens_per_second'] / (n * alone['tokens_per_second']):16.2f}")
PYTHON
done
