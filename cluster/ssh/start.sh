#!/usr/bin/env bash
# A scheduler on the first host of a file and workers on all of them, over ssh, until stop.sh.
# usage: start.sh HOSTFILE [WORKERS_PER_HOST]
set -euo pipefail
hosts=${1:?usage: start.sh HOSTFILE [WORKERS_PER_HOST]}
workers=${2:-auto}
port=${PORT:-8786}
ssh=${SSH:-ssh -o BatchMode=yes}
dask=${DASK:-dask}                     # on the hosts, as `/opt/dsm/bin/dask`
dir=${DSM_CLUSTER_DIR:-/tmp/dsm-cluster-$port}

mapfile -t names < <(grep -Ev '^[[:space:]]*(#|$)' "$hosts")
[ "${#names[@]}" -gt 0 ] || { echo "There is no host in $hosts." >&2; exit 2; }
first=${names[0]#*@}
extra="--protocol ${PROTOCOL:-tcp} ${TLS:-}"

# What a host runs goes on when ssh has gone. The dashboard listens on loopback: see README.md.
start() {  # HOST NAME COMMAND
  $ssh "$1" "(umask 077; mkdir -p $dir) && [ -O $dir ] && cd $dir || exit 2; if [ -e $2.pid ] && kill -0 \$(cat $2.pid) 2>/dev/null; \
then echo $2 is running already on $1 >&2; exit 2; fi; \
nohup $3 >$2.log 2>&1 </dev/null & echo \$! >$dir/$2.pid"
}
start "${names[0]}" scheduler \
  "$dask scheduler --host $first --port $port --dashboard-address 127.0.0.1:8787 $extra"
[ "$workers" = auto ] && count="\$(nproc)" || count=$workers
for host in "${names[@]}"; do
  start "$host" "worker-${host#*@}" "$dask worker ${PROTOCOL:-tcp}://$first:$port \
--host ${host#*@} --nworkers $count --nthreads 1 --no-dashboard --dashboard-address 127.0.0.1:0 --local-directory $dir \
--death-timeout 60 ${TLS:-}"
done
echo "${PROTOCOL:-tcp}://$first:$port"
