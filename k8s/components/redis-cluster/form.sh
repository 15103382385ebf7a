#!/bin/sh
# form.sh: makes one cluster of the empty nodes in NODES (host:port …), three of them primaries; nodes that are
# one already and have lost sight of each other meet again. It may be run as often as one likes.
set -eu
cli=${CLI:-valkey-cli}

on() { # on HOST:PORT command…
    node=$1
    shift
    "$cli" -h "${node%:*}" -p "${node##*:}" "$@"
}

address() { # nodes meet by number, not by name
    host=$(getent hosts "${1%:*}" | awk '{ print $1; exit }')
    echo "${host:-${1%:*}}:${1##*:}"
}

for node in $NODES; do
    until on "$node" ping >/dev/null 2>&1; do sleep 1; done
done

first=${NODES%% *}
numbers=$(for node in $NODES; do address "$node"; done)
if on "$first" cluster info | grep -q '^cluster_known_nodes:1[^0-9]*$'; then
    # shellcheck disable=SC2086 # one word a node
    "$cli" --cluster create $numbers --cluster-replicas 1 --cluster-yes
else
    for number in $numbers; do
        on "$first" cluster meet "${number%:*}" "${number##*:}"
    done
fi

replicas=$(($(echo "$NODES" | wc -w) / 2))
until on "$first" cluster info | grep -q '^cluster_state:ok' \
    && [ "$(on "$first" cluster nodes | grep -c 'slave')" -ge "$replicas" ]; do sleep 1; done
on "$first" cluster nodes
