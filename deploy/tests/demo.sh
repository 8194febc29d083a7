#!/usr/bin/env bash
# `cargo deploy demo` as a newcomer meets it: from the tree to two healthy services, every way to break them, the end.
set -euo pipefail
cd "$(dirname "$0")/../.."
for name in ${!SERENO_@}; do unset "$name"; done
. deploy/tests/lib.sh

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
if [ "$target" != "$PWD/target" ]; then export DEMO_BIN=$target/demo/bin DEMO_HOME=$target/demo/home; fi
ctl=("$target/demo/bin/ctl" -f deploy/demo/sereno.toml)
log=$(mktemp)
on_failure() {
    cat "$log"
    for verb in status "why demo-backend" "events -n 40" "logs -n 20"; do "${ctl[@]}" $verb || true; done
    clean
}
clean() { cargo deploy demo --stop >/dev/null 2>&1 || true; }
trap clean EXIT

cargo deploy demo --stop >"$log" || die "a stop before"
"$python" -c 'import signal, socket
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("127.0.0.1", 18000)); s.listen()
print("listening", flush=True); signal.pause()' >"$log" &
holder=$!
until_ok "the port is taken" grep -q listening "$log"
if said=$(cargo deploy demo 2>&1); then die "it started on a port that is taken"; fi
grep -q "port 18000 is taken by pid $holder (" <<<"$said" || die "does not name pid $holder: $said"
kill "$holder"
wait "$holder" 2>/dev/null || true
say "a taken port is answered: $said"

cargo deploy demo >"$log" || die "cargo deploy demo"
say "up"
cargo deploy demo >"$log" || die "cargo deploy demo, again"
grep -q "nothing to do" "$log" || die "the second time is no no-op"
until_ok "the backend is calm" is_calm demo-backend
unit=$(unit_of "$pid")
break_it() { http GET "http://127.0.0.1:18000/break/$1"; }
heals demo-backend "exit" "exit 3" nothing break_it exit
heals demo-backend "abort" "SIGABRT" nothing break_it abort
heals demo-backend "sick" "health failed 2 of 2: .*503" nothing break_it sick
heals demo-backend "hang" "(port|health) failed 2 of 2" nothing break_it hang
heals demo-backend "close" "(port|health) failed 2 of 2" nothing break_it close
heals demo-backend "freeze" "(port|health) failed 2 of 2" nothing break_it freeze

cargo deploy demo --stop >"$log" || die "cargo deploy demo --stop"
must_be_gone "${unit%%/*}/"
cargo deploy demo --stop >"$log" || die "cargo deploy demo --stop, again"
grep -q "nothing to do" "$log" || die "the second stop is no no-op"
trap - EXIT
rm -f "$log"
say "the demo does what it says"
