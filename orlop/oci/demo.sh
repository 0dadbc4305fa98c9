#!/bin/sh
# Serves one page that names the machine and its OS, and /healthz, and says when it does. Made at the start of the container from:
#   MACHINE      the machine's name            (else the container's host name)
#   OS_VERSION   what the machine runs         (else the os-release file mounted at /run/host-os-release)
#   PORT         where to listen               (else 8080)
# Runs as process 1: it must take SIGTERM itself, the kernel gives process 1 no default action.
set -eu

escape() {
    printf '%s' "$1" | sed 's/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g; s/"/\&quot;/g'
}

field() {
    sed -n "s/^$1=//p" /run/host-os-release 2>/dev/null | sed -n '1{s/^["'\'']//; s/["'\'']$//; p;}'
}

machine=${MACHINE:-$(hostname)}
system=${OS_VERSION:-}
[ -n "$system" ] || system=$(field PRETTY_NAME)
[ -n "$system" ] || system="$(field NAME) $(field VERSION_ID)"
[ "$system" != " " ] || system="an operating system it was not told the name of"

site=
for folder in /www /tmp/www /run/www; do
    if mkdir -p "$folder" 2>/dev/null && { echo ok >"$folder/healthz"; } 2>/dev/null; then
        site=$folder
        break
    fi
done
if [ -z "$site" ]; then
    echo "demo: no folder to write the page to: give the container a writable root or a tmpfs on /tmp" >&2
    exit 1
fi

m=$(escape "$machine")
s=$(escape "$system")
cat >"$site/index.html" <<PAGE
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$m</title>
<style>
  :root { color-scheme: light dark; }
  body { margin: 0; min-height: 100vh; display: grid; place-items: center; font: 1.125rem/1.5 system-ui, sans-serif; }
  main { padding: 2rem; max-width: 32rem; }
  h1 { margin: 0 0 .5rem; font-size: 2rem; overflow-wrap: anywhere; }
  p { margin: .25rem 0; }
</style>
<main>
  <h1>$m</h1>
  <p>This page comes from a container on <strong>$m</strong>, which runs <strong>$s</strong>.</p>
</main>
</html>
PAGE

port=${PORT:-8080}
server=
trap 'kill "$server" 2>/dev/null || :; exit 0' TERM INT
httpd -f -p "$port" -h "$site" &
server=$!
# said when it is true, so that the time of this line is when a request is first answered
while kill -0 "$server" 2>/dev/null; do
    if http_proxy='' wget -q -T 1 -O /dev/null "http://127.0.0.1:$port/healthz" 2>/dev/null; then
        echo "demo: answers on port $port"
        break
    fi
    sleep 0.05
done
wait "$server"
