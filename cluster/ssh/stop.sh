#!/usr/bin/env bash
# End what start.sh started. usage: stop.sh HOSTFILE
set -euo pipefail
hosts=${1:?usage: stop.sh HOSTFILE}
port=${PORT:-8786}
ssh=${SSH:-ssh -o BatchMode=yes}
dir=${DSM_CLUSTER_DIR:-/tmp/dsm-cluster-$port}
grep -Ev '^[[:space:]]*(#|$)' "$hosts" | while read -r host; do
  $ssh "$host" "[ -O $dir ] || exit 2; for pid in $dir/*.pid; do [ -e \$pid ] && kill \$(cat \$pid) 2>/dev/null; done; \
rm -rf $dir" </dev/null || true
done
