#!/usr/bin/env bash
# End what start.sh started.
set -euo pipefail
port=${PORT:-8786}
dir=${DSM_CLUSTER_DIR:-/tmp/dsm-cluster-$port}
if [ ! -e "$dir/pids" ] || [ ! -O "$dir" ]; then
  echo "No cluster of $dir is running." >&2
  exit 2
fi
while read -r pid; do
  kill "$pid" 2>/dev/null || true
  for _ in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
done <"$dir/pids"
rm -rf "$dir"
