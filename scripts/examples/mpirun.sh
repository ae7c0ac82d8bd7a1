#!/usr/bin/env bash
# Trains on the machines of a host file with Open MPI's mpirun, one rank a GPU, where there is no Slurm. mbtrain, configs and data must be
# at the same paths on all of them, and the checkpoint's folder on a file system that they share.
# usage: scripts/examples/mpirun.sh HOSTFILE [ARGUMENT...]     the arguments go to mbtrain train
#   e.g. NCCL_SOCKET_IFNAME=eth0 scripts/examples/mpirun.sh scripts/examples/hostfile --config configs/qwen2.5_1.5b.json
set -euo pipefail
if [ $# -eq 0 ] || [ ! -f "$1" ]; then
  echo "mpirun.sh: no host file ${1:-was given}. usage: scripts/examples/mpirun.sh HOSTFILE [ARGUMENT...]" >&2
  exit 2
fi
hostfile=$1
shift

# No -np: as many ranks as the host file has slots.
# --bind-to none: mpirun would bind each rank, with all its threads, to a NUMA node that it chooses without knowing the GPU's; with one or
# two ranks even to a core.
# odls_base_sigkill_timeout: seconds between the SIGTERM that mpirun passes on and its SIGKILL. With its one second no rank could save.
#   mpirun itself ends only after twice that. To end right after the save, signal the ranks of any one host instead of mpirun:
#   pkill -TERM -f '^[^ ]*mbtrain train'
options=(--hostfile "$hostfile" --bind-to none --mca odls_base_sigkill_timeout 60)

# NCCL_SOCKET_IFNAME: the interface between the machines, as `ip link` names it. To be set where they have several (docker0, management) of
# which not all connect them; NCCL and MPI would each guess. NCCL still uses InfiniBand where it finds it (NCCL_IB_HCA chooses).
if [ -n "${NCCL_SOCKET_IFNAME:-}" ]; then
  options+=(--mca oob_tcp_if_include "$NCCL_SOCKET_IFNAME" --mca btl_tcp_if_include "$NCCL_SOCKET_IFNAME")
fi

# Other hosts get a fresh environment by ssh: -x takes along what is set here.
for variable in LD_LIBRARY_PATH CUDA_VISIBLE_DEVICES "${!NCCL_@}" "${!OMP_@}" "${!MBTRAIN_@}"; do
  [ -z "${!variable:-}" ] || options+=(-x "$variable")
done

exec mpirun "${options[@]}" "${MBTRAIN:-build/cuda/mbtrain}" train "$@"
