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
done <"$dir/pids"
for _ in $(seq 50); do
  xargs -r ps -p <"$dir/pids" >/dev/null 2>&1 || break
  sleep 0.2
done
rm -rf "$dir"
