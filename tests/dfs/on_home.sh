#!/bin/bash
# on_home.sh DMG COMMAND...: runs a command on a fresh home with one pool, "tank", then removes it.
set -eu
dmg=$1
shift
CAIRN_HOME=$(mktemp -d)
export CAIRN_HOME CAIRN_MODE=embed
trap 'rm -rf "$CAIRN_HOME"' EXIT
"$dmg" pool create --size 2G tank > /dev/null
"$@"
