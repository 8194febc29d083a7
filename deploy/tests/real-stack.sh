#!/usr/bin/env bash
# Keeps the stack of deploy/examples/mw-vision up, under real uvicorn and real Vite, through everything that can happen
# to it: exactly one restart for each fault, every change visible, and nothing left behind at the end.
#
#   deploy/tests/real-stack.sh        installs fastapi, uvicorn and vite below target/real-stack, and takes the ports
#                                     8000 and 5189, or others where those are taken
#
# SERENO_BIN: a folder with the four programs; without it they are built as cargo deploy demo builds them.
# SERENO_CGROUP=off: without cgroups, as for a user who may not make any.
set -euo pipefail
cd "$(dirname "$0")/../.."
# Of another Sereno that this may run under, or that somebody uses here.
for name in ${!SERENO_@}; do [[ $name =~ ^SERENO_(BIN|CGROUP)$ ]] || unset "$name"; done
. deploy/tests/lib.sh

root=$PWD
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
work=$target/real-stack
bin=${SERENO_BIN:-}
if [ -z "$bin" ]; then
    cargo build --quiet -p supervisor -p health-monitor -p port-monitor -p ctl
    bin=$target/debug
fi
bin=$(realpath "$bin")

# ---- the stack, on a copy: a run leaves nothing in the tree ----
mkdir -p "$work"
for part in sereno.toml backend mw-vision-app; do cp -r "$root/deploy/examples/mw-vision/$part" "$work/"; done
[ -x "$work/venv/bin/python" ] || python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check -r "$work/backend/requirements.txt" &
pip=$!
(
    cd "$work/mw-vision-app"
    cmp -s package-lock.json installed-lock.json || { npm ci --silent && cp package-lock.json installed-lock.json; }
) || die "npm ci failed"
wait "$pip" || die "pip install failed"
say "installed fastapi, uvicorn and vite"

# Where the usual port is taken: one that is free now.
free_port() {
    port_free "$1" && echo "$1" && return
    "$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
BACKEND_PORT=$(free_port 8000)
FRONTEND_PORT=$(free_port 5189)
export BACKEND_PORT FRONTEND_PORT
# What a person waits a minute for is here a matter of seconds; the rules are the same.
export HEALTH_EVERY=2s PORT_EVERY=1s RESTART_DELAY=2s MIN_UPTIME=1s STOP_TIMEOUT=4s
export MW_BREAK=1 MW_HOME=$work/home
# The backend's `python` is that of the venv, as for anybody who has activated it.
export PATH=$work/venv/bin:$PATH VIRTUAL_ENV=$work/venv

ctl=("$bin/ctl" -f "$work/sereno.toml")
backend=http://127.0.0.1:$BACKEND_PORT

on_failure() {
    "${ctl[@]}" status || true
    for name in mw-vision-backend mw-vision-frontend; do echo "--- why $name" && "${ctl[@]}" why "$name" || true; done
    echo "--- events" && "${ctl[@]}" events -n 40 || true
    echo "--- logs" && "${ctl[@]}" logs -n 20 || true
    clean
}
clean() {
    "${ctl[@]}" down >/dev/null 2>&1 || true
    for pid in $(marked "${instance:-no such instance}/"); do kill -KILL "$pid" 2>/dev/null || true; done
}
trap clean EXIT

# ---- up ----
"${ctl[@]}" down >/dev/null || die "what an earlier run left could not be ended"
rm -rf "$work/home"
"${ctl[@]}" up -d --wait || die "ctl up"
until_ok "all is well" is_calm mw-vision-backend
unit=$(unit_of "$pid")
instance=${unit%%/*}
[ -n "$instance" ] || die "pid $pid carries no mark"
say "up: backend on $BACKEND_PORT, frontend on $FRONTEND_PORT"
http GET "http://127.0.0.1:$FRONTEND_PORT/" | grep -q "MW Vision" || die "Vite does not serve the page"

# ---- one fault after the other ----
break_it() { http POST "$backend/break/$1"; }
heals mw-vision-backend "exits" "exit 3" state break_it exit
heals mw-vision-backend "segfaults" "SIGSEGV" state break_it segv
heals mw-vision-backend "answers 503" "health failed 3 of 3: .*503" check break_it sick
heals mw-vision-backend "hangs" "port failed 3 of 3: own, stalled|health failed 3 of 3" check break_it hang
heals mw-vision-backend "closes its listening socket" "(port|health) failed 3 of 3" check break_it close
freeze() { kill -STOP "$pid"; }
heals mw-vision-backend "is frozen by SIGSTOP" "(port|health) failed 3 of 3" check freeze

# npm's own pid is killed; its sh and its node live on, hold the port, and must be gone before the next start.
kill_npm() { kill -KILL "$pid"; }
until_ok "the frontend is calm" is_calm mw-vision-frontend
run=$instance/mw-vision-frontend/$incarnation
count=$(marked "$run\$" | wc -l)
[ "$count" -ge 3 ] || die "npm, sh and node were expected, found $count processes of $run"
heals mw-vision-frontend "npm is killed, sh and node are left over" "SIGKILL" state kill_npm
must_be_gone "$run\$"

# ---- down ----
"${ctl[@]}" down || die "ctl down"
must_be_gone "$instance/"
for place in /proc/[0-9]*/cwd; do
    case $(readlink "$place" 2>/dev/null || true) in
        "$work"/backend* | "$work"/mw-vision-app*) die "left over: $(tr '\0' ' ' <"${place%cwd}cmdline")" ;;
    esac
done
port_free "$BACKEND_PORT" && port_free "$FRONTEND_PORT" || die "somebody still listens"
if "${ctl[@]}" status >/dev/null 2>&1; then die "a supervisor still answers"; fi
trap - EXIT
say "the real stack heals from everything, and leaves nothing behind"
