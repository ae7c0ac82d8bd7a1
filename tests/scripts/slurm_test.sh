#!/usr/bin/env bash
# Runs the program as a Slurm user does, on a one-node Slurm of its own: srun with 2 and 3 ranks loses as one process does, srun without PMIx is
# refused, sbatch trains, saves at the end of its time and continues.
# usage: slurm_test.sh MBTRAIN      exit code 77: nothing was tested, and why
set -euo pipefail
mbtrain=$(realpath "$1")
scripts=$(realpath "$(dirname "$0")/../../scripts")
PATH=$PATH:/usr/sbin:/sbin
if [ "$(id -u)" -ne 0 ] || ! command -v slurmd munged srun mpirun >/dev/null; then
  echo "slurm_test: needs root, Slurm, munge and Open MPI (scripts/setup.sh --tests); nothing was tested"
  exit 77
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
arguments=(--mixed-precision fp32 --model.hidden_size 64 --seq-length 64 --train-iters 8 --log-interval 1 --global-batch-size 12 --micro-batch-size 1
           --validation.eval_iters 0)
losses() { grep -o 'lm loss: [0-9.E+-]*' "$1" | cut -d' ' -f3; }

"$mbtrain" "${arguments[@]}" >one.txt 2>one.err
cat >inside.sh <<INSIDE
set -euo pipefail
for ranks in 2 3; do
  srun --mpi=pmix -n \$ranks --overcommit "$mbtrain" ${arguments[*]} >srun\$ranks.txt 2>srun\$ranks.err
done
if srun -n 2 --overcommit "$mbtrain" ${arguments[*]} >plain.txt 2>plain.err; then echo "srun without PMIx was not refused"; exit 1; fi
cat >job.sbatch <<JOB
#!/bin/bash
#SBATCH --ntasks=2 --overcommit --output=job.txt
srun --mpi=pmix --overcommit "$mbtrain" ${arguments[*]} --use-distributed-optimizer --checkpoint.save run --checkpoint.load run \\\$EXTRA
JOB
mkdir run
EXTRA="--train.exit_interval 4" sbatch --wait job.sbatch && cp job.txt job1.txt
EXTRA="" sbatch --wait job.sbatch
INSIDE
"$scripts/slurm_one_node.sh" bash inside.sh

for ranks in 2 3; do
  paste <(losses one.txt) <(losses "srun$ranks.txt") | awk -v ranks="$ranks" '
    { d = $1 / $2 - 1; if (d < 0) d = -d; if (NF != 2 || d > 2e-6) bad = 1; n++ }
    END { if (bad || n != 8) { print "srun with " ranks " ranks: other losses than one process"; exit 1 } }'
done
grep -q 'srun --mpi=pmix' plain.err || { echo "srun without PMIx: no hint"; cat plain.err; exit 1; }
paste <(losses one.txt) <(cat job1.txt job.txt | grep -v '^ *\[' | grep -o 'lm loss: [0-9.E+-]*' | cut -d' ' -f3) | awk '
    { d = $1 / $2 - 1; if (d < 0) d = -d; if (NF != 2 || d > 2e-6) bad = 1; n++ }
    END { if (bad || n != 8) { print "sbatch: other losses than one process"; exit 1 } }'
echo "srun with 2 and 3 ranks, sbatch with a break: as one process"
