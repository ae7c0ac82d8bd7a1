#!/usr/bin/env bash
# Runs a command beside a Slurm of its own: munged, slurmctld and slurmd on 127.0.0.1, of one node, in a temporary folder. srun, sbatch and
# squeue talk to it. All of it ends with the command, whose exit code is passed on; nothing of the machine's own Slurm is read or changed.
# Needs root and the packages that setup.sh --tests installs; no systemd, no cgroups, no host name that resolves. Several may run at once.
# usage: scripts/slurm_one_node.sh COMMAND [ARGUMENT...]     exit code: the command's; 2: cannot run here; 1: Slurm did not start
#   e.g. scripts/slurm_one_node.sh srun --mpi=pmix -n 4 --overcommit build/release/mbtrain     --overcommit: more ranks than processors
# shellcheck disable=SC2016,SC2317  # within() evaluates its text, which also calls functions; the trap calls cleanup()
set -euo pipefail
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
start_patience=60 # seconds for the node to become idle; it takes two
end_patience=30   # seconds for the command to end after a signal: Slurm's own KillWait

die() { # CODE MESSAGE
  printf 'slurm_one_node: %s\n' "$2" >&2
  exit "$1"
}

[ $# -gt 0 ] || die 2 "no command came; usage: scripts/slurm_one_node.sh COMMAND [ARGUMENT...]"
for program in munged slurmctld slurmd srun scontrol sinfo squeue setpriv; do
  command -v "$program" >/dev/null || die 2 "$program is missing; scripts/setup.sh --tests installs slurm-wlm and munge"
done
[ "$(id -u)" -eq 0 ] || die 2 "started by $(id -un), but slurmd and munged start as root here; run it as root, in a container if need be"

# A surrounding job's variables would make srun look for that job here, and Open MPI for that job's PMIx.
for variable in "${!SLURM_@}" "${!SBATCH_@}" "${!SALLOC_@}" "${!PMIX_@}" "${!OMPI_@}"; do unset "$variable"; done

# Not in TMPDIR, whose path may be long: those of sockets in here end at 107 characters.
work=$(mktemp -d /tmp/mbt_slurm.XXXXXX)
conf=$work/slurm.conf
host=$(uname -n) # also the node's name: mpirun in a job looks for its own host among the nodes
host=${host%%.*}
daemons=()
command=

# SLURM_CONF is not exported: what has ours in its environment belongs to this Slurm, and ours() finds it by that.
slurm() { SLURM_CONF=$conf timeout 5 "$@" 2>/dev/null; }
ours() { grep -lzxF "SLURM_CONF=$conf" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3; }
alive() { kill -0 "$@" 2>/dev/null; }

within() { # SECONDS TEXT: waits until the command that the text is succeeds
  local end=$((SECONDS + $1))
  until eval "$2"; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.1
  done
}

# -- the end -------------------------------------------------------------------------------------------------------------------------------
end_process() { # SECONDS PID, a child: SIGTERM, later SIGKILL
  kill -TERM "$2" 2>/dev/null || true
  within "$1" "! alive $2" || kill -KILL "$2" 2>/dev/null || true
  wait "$2" 2>/dev/null || true
}

end_slurm() { # what start_slurm started
  local pid
  for pid in "${daemons[@]:1}"; do end_process 5 "$pid"; done
  daemons=("${daemons[@]:0:1}")
}

cleanup() {
  trap '' INT TERM HUP
  [ -z "$command" ] || end_process "$end_patience" "$command"
  # A node that is down kills its jobs at once and gets no new ones. This alone reaches ranks without our SLURM_CONF (--export=NONE).
  if [ ${#daemons[@]} -eq 3 ] && [ -n "$(slurm squeue -h)" ]; then
    slurm scontrol update NodeName="$host" State=DOWN Reason=end >/dev/null || true
    within 5 '[ -z "$(slurm squeue -h -t RUNNING,COMPLETING)" ]' || true
  fi
  end_slurm
  [ ${#daemons[@]} -eq 0 ] || end_process 5 "${daemons[0]}"
  # Steps and ranks are no children of ours and may outlive slurmd.
  within 5 'ours | xargs -r kill -KILL 2>/dev/null; [ -z "$(ours)" ]' || true
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

fail() { # MESSAGE
  local log
  for log in "$work"/log/*; do
    [ -s "$log" ] || continue
    printf -- '-- the end of %s\n' "${log##*/}" >&2
    tail -n 15 "$log" >&2
  done
  die 1 "$1"
}

# -- the configuration ---------------------------------------------------------------------------------------------------------------------
# Below Linux's range for outgoing connections (32768 and up), so that none of those takes it between this look and the daemon's start.
free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 12000))
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -qE "^ *[0-9]+: [0-9A-F]+:$(printf '%04X' "$port") " || break
  done
  printf '%s\n' "$port"
}

# Slurm 24.05 and newer can do without cgroups. Older ones load a plugin in any case; that for v1 touches nothing until it is used.
cgroup_plugin() {
  local version
  version=$(slurmd -V | grep -oE '[0-9]+\.[0-9]+' | head -n 1)
  if [ "$(printf '%s\n' 24.05 "$version" | sort -V | head -n 1)" = 24.05 ]; then echo disabled; else echo cgroup/v1; fi
}

write_conf() {
  local controller_port
  controller_port=$(free_port)
  printf 'CgroupPlugin=%s\n' "$(cgroup_plugin)" >"$work/cgroup.conf"
  cat >"$conf" <<EOF
ClusterName=mbtrain
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$controller_port
SlurmdPort=$(free_port)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge/socket
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/state/slurmctld.pid
SlurmdPidFile=$work/spool/slurmd.pid
SlurmctldLogFile=$work/log/slurmctld.log
SlurmdLogFile=$work/log/slurmd.log
# Open MPI and PMIx name shared memory and folders by host, user and job: job numbers and the folder must differ from another Slurm's here.
FirstJobId=$((controller_port * 1000))
TmpFS=$work/tmp
# No cgroups: processes are found by their parents, and not bound to processors.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
# Start a job as soon as the one before has ended, not up to three seconds later.
SchedulerParameters=batch_sched_delay=0
ReturnToService=2
# A container may be given less than slurmd finds; that must not drain the node.
SlurmdParameters=config_overrides
NodeName=$host NodeHostname=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$(awk '/^MemTotal:/ {print int($2 / 1024)}' /proc/meminfo)
# Several jobs may have the same processors.
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE OverSubscribe=FORCE:16
EOF
}

# -- the daemons ---------------------------------------------------------------------------------------------------------------------------
# setsid: Ctrl-C at a terminal is not for them, they end after the command. --pdeathsig: they end even when this script is killed.
start() { # COMMAND...
  SLURM_CONF=$conf setpriv --pdeathsig TERM setsid "$@" </dev/null >"$work/log/$1.out" 2>&1 &
  daemons+=($!)
}

start_munged() {
  # For root alone, but for the way to the socket, which munged wants open to all. PMIx's folders are in tmp.
  chmod 711 "$work"
  mkdir -m 711 "$work/munge"
  mkdir -m 700 "$work/log" "$work/key"
  mkdir -m 1777 "$work/tmp"
  (umask 077 && head -c 128 /dev/urandom >"$work/key/munge.key")
  # --origin: else munged looks its host name up.
  start munged --foreground --origin=127.0.0.1 --socket="$work/munge/socket" --pid-file="$work/munge/munged.pid" \
    --key-file="$work/key/munge.key" --seed-file="$work/key/munged.seed" --log-file="$work/log/munged.log"
  within 10 "[ -S '$work/munge/socket' ] || ! alive ${daemons[0]}" || true
  if [ ! -S "$work/munge/socket" ] || ! alive "${daemons[0]}"; then fail "munged did not start"; fi
}

idle() { [ "$(slurm sinfo -h -o %T)" = idle ]; }

# Somebody may take a port between the look and the start: then once more with others.
start_slurm() {
  local attempt
  for attempt in 1 2 3 4 5; do
    write_conf
    rm -rf "$work/state" "$work/spool" "$work"/log/slurm*
    mkdir -m 700 "$work/state" "$work/spool"
    start slurmctld -D
    start slurmd -D
    if within "$start_patience" "idle || ! alive ${daemons[1]} || ! alive ${daemons[2]}" && idle; then return; fi
    grep -qi 'address already in use' "$work"/log/slurm* || break
    [ "$attempt" -eq 5 ] || end_slurm
  done
  fail "the node did not become idle within $start_patience s, or a daemon ended; sinfo says: $(slurm sinfo -h -o '%T %E' || echo nothing)"
}

# -- the command ---------------------------------------------------------------------------------------------------------------------------
start_munged
start_slurm
# In the background, so that a signal ends the wait and the trap runs at once; bash would then give it /dev/null to read, hence <&0.
code=0
SLURM_CONF=$conf "$@" <&0 &
command=$!
wait "$command" || code=$?
command=
exit "$code"
