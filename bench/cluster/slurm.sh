#!/usr/bin/env bash
# A Slurm cluster on this machine: slurmctld and three slurmd on loopback. An array job predicts a
# simulated plate by shards; a node is drained and another killed in the middle, and what is missing
# is submitted again. What is left has to be what one run leaves, byte for byte.
#
#   bench/cluster/slurm.sh [STAINFREE]        (Debian: apt-get install slurm-wlm munge; as root)
#
# The program is target/release/stainfree unless another one is named. Nothing outside of a
# temporary folder is touched; the daemons are ended with the script.
set -euo pipefail
program=$(realpath "${1:-$(dirname "$0")/../../target/release/stainfree}")
shards=6
for tool in munged slurmctld slurmd sbatch squeue scontrol; do
    command -v "$tool" >/dev/null || { echo "no $tool: apt-get install slurm-wlm munge"; exit 1; }
done

work=$(mktemp -d -t stainfree-slurm.XXXXXX)
pids=()
end() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    [ -n "${KEEP:-}" ] || rm -rf "$work"
}
trap end EXIT
say() { printf '%s %s\n' "$(date +%T)" "$*"; }

# Munge refuses folders that others may write to.
mkdir -m 0755 "$work/munge"
chmod 0755 "$work"
head -c 1024 /dev/urandom > "$work/munge/key"
chmod 0400 "$work/munge/key"
socket=$work/munge/socket
munged --foreground --force --key-file="$work/munge/key" --socket="$socket" \
    --pid-file="$work/munge/pid" --log-file="$work/munge/log" --seed-file="$work/munge/seed" \
    2>/dev/null &
pids+=($!)

export SLURM_CONF=$work/slurm.conf
mkdir "$work/state"
cat > "$SLURM_CONF" <<CONF
ClusterName=loopback
SlurmctldHost=localhost
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$socket
CredType=cred/munge
SlurmctldPort=26817
StateSaveLocation=$work/state
SlurmctldPidFile=$work/slurmctld.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdPidFile=$work/%n.pid
SlurmdLogFile=$work/%n.log
SlurmdSpoolDir=$work/spool-%n
SlurmdTimeout=5
ReturnToService=2
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
SchedulerParameters=batch_sched_delay=1,sched_interval=1
RequeueExit=143
NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 Port=26821 CPUs=1 State=UNKNOWN
NodeName=n2 NodeHostname=localhost NodeAddr=127.0.0.1 Port=26822 CPUs=1 State=UNKNOWN
NodeName=n3 NodeHostname=localhost NodeAddr=127.0.0.1 Port=26823 CPUs=1 State=UNKNOWN
PartitionName=all Nodes=n1,n2,n3 Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
CONF
node() {
    mkdir -p "$work/spool-$1"
    slurmd -D -N "$1" >"$work/$1.out" 2>&1 &
    pids+=($!)
}
until [ -S "$socket" ]; do sleep 0.1; done
slurmctld -D >"$work/slurmctld.out" 2>&1 &
pids+=($!)
for name in n1 n2 n3; do node "$name"; done
for _ in $(seq 60); do
    [ "$(sinfo -h -t idle -o %D 2>/dev/null)" = 3 ] && break
    sleep 0.5
done
say "nodes: $(sinfo -h -o '%D %T' | tr '\n' ' ')"

cd "$work"
"$program" simulate --out sim --wells 6 --sites 4 --side 768 --planes 1 --quiet
"$program" new sim/plate --out study --quiet
"$program" prepare study --quiet >/dev/null
"$program" train study --encoder vgg16 --width 0.125 --crop 64 --batch 2 --steps 4 --quiet >/dev/null
"$program" predict study sim/plate --out one --threads 1 --quiet >/dev/null
say "one run has predicted $(ls one/classes | wc -l) fields"

cat > job.sh <<JOB
#!/bin/sh
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=$work/job-%a.txt
exec "$program" predict study sim/plate --out many --threads 1 --shard \$SLURM_ARRAY_TASK_ID/$shards
JOB
submit() { sbatch --parsable --chdir="$work" --array="$1" job.sh; }
missing() { "$program" status many --json - | python3 -c 'import json,sys
found = json.load(sys.stdin)
for of in found["shards"]:
    if of["done"] < of["units"]: print(of["shard"].split("/")[0])' | paste -sd,; }
wait_for_all() { while [ -n "$(squeue -h)" ]; do sleep 0.5; done; }

say "array job $(submit "1-$shards")"
until [ "$(ls many/classes 2>/dev/null | wc -l)" -ge 4 ]; do sleep 0.05; done
"$program" status many | tail -1
# The machine n2 is gone: its daemon and all that runs on it, without a word.
is_ours() { { tr '\0' '\n' < "$1/environ"; } 2>/dev/null | grep -qx "$2"; }
kill -9 "$(cat n2.pid)"
for place in /proc/[0-9]*; do
    if is_ours "$place" SLURMD_NODENAME=n2 && is_ours "$place" "SLURM_SUBMIT_DIR=$work"; then
        # Whoever watches over the task dies first, and reports nothing.
        parent=$(awk '/^PPid/ { print $2 }' "$place/status" 2>/dev/null || true)
        [ "$(cat "/proc/$parent/comm" 2>/dev/null)" != slurmstepd ] || kill -9 "$parent"
        kill -9 "${place#/proc/}" 2>/dev/null || true
    fi
done
scontrol update NodeName=n3 State=DRAIN Reason=test
say "n2 was killed and n3 is drained with $(ls many/classes | wc -l) fields there"
sleep 1
scontrol update NodeName=n2 State=DOWN Reason=killed || true
# A task that is cancelled while it works, and not given again by Slurm.
task=$(squeue -h -t running -o %i | head -1)
[ -z "$task" ] || { scancel "$task"; say "task $task was cancelled"; }
scontrol update NodeName=n3 State=RESUME
node n2
wait_for_all
say "the queue is empty; shards that are not whole: $(missing)"
for _ in 1 2 3; do
    rest=$(missing)
    [ -n "$rest" ] || break
    say "array job $(submit "$rest") of shards $rest"
    wait_for_all
done
"$program" status many
"$program" merge many

# How long a field took is in the table, and is no result.
python3 - one many <<'PY'
import csv, pathlib, sys

def tree(folder):
    found = {}
    for path in pathlib.Path(folder).rglob("*"):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or name.startswith("shards/"):
            continue
        found[name] = path.read_bytes()
        if name == "predictions.csv":
            rows = list(csv.DictReader(path.open()))
            found[name] = [{k: v for k, v in row.items() if k != "seconds"} for row in rows]
    return found

one, many = map(tree, sys.argv[1:])
odd = sorted(name for name in one.keys() | many.keys() if one.get(name) != many.get(name))
print(f"{len(one)} files of one run, {len(odd)} of them others than those of the cluster")
sys.exit(f"{odd[:5]}" if odd else 0)
PY
say "the cluster has left what one run leaves"
