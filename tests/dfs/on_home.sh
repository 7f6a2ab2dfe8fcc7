#!/bin/bash
# on_home.sh MAKE_POOL COMMAND...: runs a command on a fresh home with a pool "tank".
set -eu
make_pool=$1
shift
CAIRN_HOME=$(mktemp -d)
export CAIRN_HOME CAIRN_MODE=embed
trap 'rm -rf "$CAIRN_HOME"' EXIT
"$make_pool" tank 2048
"$@"
