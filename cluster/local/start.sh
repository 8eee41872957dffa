#!/usr/bin/env bash
# A scheduler and N workers (one thread each) on loopback, until stop.sh.
set -euo pipefail
workers=${1:-$(nproc)}
port=${PORT:-8786}
dir=${DSM_CLUSTER_DIR:-/tmp/dsm-cluster-$port}
dask=$(dirname "${BASH_SOURCE[0]}")/../../.venv/bin/dask
[ -x "$dask" ] || dask=dask

if [ -e "$dir/pids" ]; then
  echo "A cluster of $dir is running already; cluster/local/stop.sh ends it." >&2
  exit 2
fi
# Memory settings of the workers: see cluster/README.md.
: "${DASK_DISTRIBUTED__NANNY__PRE_SPAWN_ENVIRON:=$(cat <<'JSON'
{"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "67108864",
 "MALLOC_MMAP_THRESHOLD_": "33554432", "ARROW_DEFAULT_MEMORY_POOL": "system",
 "OMP_NUM_THREADS": "1"}
JSON
)}"
export DASK_DISTRIBUTED__NANNY__PRE_SPAWN_ENVIRON

(umask 077 && mkdir -p "$dir")
[ -O "$dir" ] || { echo "$dir is somebody else's: set DSM_CLUSTER_DIR." >&2; exit 2; }
"$dask" scheduler --host 127.0.0.1 --port "$port" --dashboard-address 127.0.0.1:8787 \
  >"$dir/scheduler.log" 2>&1 &
scheduler=$!
"$dask" worker "tcp://127.0.0.1:$port" --host 127.0.0.1 --nworkers "$workers" --nthreads 1 \
  --local-directory "$dir" --no-dashboard --dashboard-address 127.0.0.1:0 >"$dir/workers.log" 2>&1 &
# In the order in which they are to end: workers without their scheduler take ten seconds for it.
printf '%s\n' $! "$scheduler" >"$dir/pids"

for _ in $(seq 100); do
  if [ "$(grep -c 'Registered to' "$dir/workers.log" || true)" -ge "$workers" ]; then
    echo "tcp://127.0.0.1:$port"
    exit 0
  fi
  sleep 0.2
done
echo "The workers did not register; see $dir/*.log" >&2
exit 3
