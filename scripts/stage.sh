#!/bin/sh
# stage.sh TITLE COMMAND…: run one stage of `make test`, say what it is before and how long it took after. The exit
# status is the command's.
title=$1
shift
echo "── $title"
start=$(date +%s)
"$@"
code=$?
mark=✓
[ $code = 0 ] || mark=✗
echo "$mark $title: $(($(date +%s) - start)) s"
exit $code
