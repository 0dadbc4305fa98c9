#!/bin/sh
# The boot loader as RAUC sees it; every call that changes something is logged.
set -e
state=/mnt/rauc/boot
mkdir -p "$state"
case "$1" in
get-primary) cat "$state/primary" 2>/dev/null || echo A ;;
get-current) echo A ;;
get-state) cat "$state/$2" 2>/dev/null || echo good ;;
set-primary) echo "$2" >"$state/primary" && echo good >"$state/$2" && echo "$*" >>"$state/log" ;;
set-state) echo "$3" >"$state/$2" && echo "$*" >>"$state/log" ;;
esac
