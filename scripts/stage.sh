#!/bin/sh
# stage.sh TITLE COMMAND…: run one stage of `make test`, say what it is before and how long it took after. The exit
# status is the command's.
# stage.sh --begin: from now on keep how long each stage takes.
# stage.sh --times: show that, slowest first, and keep it no longer.
times=${ORLOP_STATE:-.orlop}/logs/stages
case $1 in
    --begin) mkdir -p "${times%/*}" && : > "$times" && exit ;;
    --times)
        echo "── stages, slowest first"
        sort -rn "$times" | while read -r seconds mark title; do printf '%s %6s s  %s\n' "$mark" "$seconds" "$title"; done
        rm -f "$times"
        exit
        ;;
esac
title=$1
shift
echo "── $title"
start=$(date +%s)
"$@"
code=$?
mark=✓
[ $code = 0 ] || mark=✗
seconds=$(($(date +%s) - start))
echo "$mark $title: $seconds s"
[ ! -e "$times" ] || echo "$seconds $mark $title" >> "$times"
exit $code
