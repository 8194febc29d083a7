# shellcheck shell=bash
# The vocabulary of the end-to-end scripts here. Sourced; the script sets `ctl` (an array: the command with its -f) and
# may define `on_failure`. Conditions are polled under long ceilings: a slow machine makes a run slow, not red.

# The interpreter itself, not a wrapper in front of it: it is asked many times. Python only reads JSON and HTTP here.
python=$(python3 -c 'import sys; print(sys.executable)')
CEILING=120

say() { printf '[%3ds] %s\n' "$SECONDS" "$*"; }

die() {
    trap - EXIT
    printf '[%3ds] FAILED: %s\n' "$SECONDS" "$*" >&2
    on_failure >&2 || true
    exit 1
}
on_failure() { :; }

# until_ok WHAT COMMAND…: until the command succeeds.
until_ok() {
    local what=$1 give_up=$((SECONDS + CEILING))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$give_up" ] || die "waited ${CEILING}s until $what"
        sleep 0.05
    done
}

# http METHOD URL: past any proxy.
http() {
    "$python" - "$1" "$2" <<'PY'
import sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
print(opener.open(urllib.request.Request(sys.argv[2], method=sys.argv[1]), timeout=20).read().decode())
PY
}

# port_free PORT: nobody listens on it.
port_free() {
    "$python" - "$1" <<'PY'
import errno, socket, sys
for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    try:
        probe = socket.socket(family)
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, int(sys.argv[1])))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            sys.exit(1)
PY
}

# look NAME: one look at the status, into the variables well (ctl's exit code), incarnation, restarts, streak, state,
# pid, failures (of all its checks), and others (every other service's name, incarnation and pid).
look() {
    local answer
    well=0
    answer=$("${ctl[@]}" status --json) || well=$?
    answer=$("$python" -c '
import json, shlex, sys
services = json.load(sys.stdin)["services"]
own = [s for s in services if s["name"] == sys.argv[1]][0]
found = {key: own[key] for key in ("incarnation", "restarts", "streak", "state", "pid")}
found["failures"] = sum(check["failures"] for check in own["checks"])
found["others"] = " ".join("%s/%s/%s" % (s["name"], s["incarnation"], s["pid"]) for s in services if s is not own)
print("; ".join("%s=%s" % (key, shlex.quote(str(value))) for key, value in found.items()))
' "$1" <<<"$answer") || die "ctl status --json said: $answer"
    eval "$answer"
}

# All as wanted, every check passes, and the last restart is forgotten: what happens now counts as a first fault.
is_calm() { look "$1" && [ "$well" = 0 ] && [ "$streak" = 0 ]; }

# heals NAME WHAT WHY SHOWS COMMAND…: after the fault that the command makes, the service is restarted exactly once, no
# other service is touched, and `ctl why` names the reason (a regex). SHOWS is what a person who looks must have seen of
# it: "state" (not running for a while), "check" (that too, and before that a check that fails), or "nothing" (where it
# is over sooner than anybody looks).
heals() {
    local name=$1 what=$2 why=$3 shows=$4 began=$SECONDS seen=" " failed=no give_up told
    shift 4
    until_ok "$name is calm" is_calm "$name"
    local was_incarnation=$incarnation was_restarts=$restarts was_others=$others
    "$@" >/dev/null || die "$what: the fault could not be made"
    give_up=$((SECONDS + CEILING))
    while :; do
        look "$name"
        [ "$incarnation" -le $((was_incarnation + 1)) ] || die "$what: restarted more than once ($seen)"
        [[ $seen == *" $state "* ]] || seen+="$state "
        [ "$incarnation" != "$was_incarnation" ] || [ "$failures" = 0 ] || failed=yes
        [ "$incarnation" = "$was_incarnation" ] || [ "$well" != 0 ] || break
        [ "$SECONDS" -lt "$give_up" ] || die "$what: not healed after ${CEILING}s: $state, states seen:$seen"
    done
    local healed=$((SECONDS - began))
    until_ok "$name is calm again" is_calm "$name"
    [ "$incarnation" = $((was_incarnation + 1)) ] || die "$what: incarnation $was_incarnation became $incarnation"
    [ "$restarts" = $((was_restarts + 1)) ] || die "$what: restarts went from $was_restarts to $restarts"
    [ "$others" = "$was_others" ] || die "$what: touched another service: $was_others became $others"
    [ "$shows" = nothing ] || [[ $seen =~ backoff|stopping|starting ]] || die "$what: no change could be seen:$seen"
    [ "$shows" != check ] || [ "$failed" = yes ] || die "$what: no check could be seen to fail"
    told=$("${ctl[@]}" why "$name") || die "$what: ctl why failed: $told"
    grep -qE "$why" <<<"$told" || die "$what: ctl why does not say \"$why\": $told"
    say "$name: $what: healed after ${healed}s, states seen:$seen"
}

# unit_of PID: the mark of a service's process.
unit_of() { tr '\0' '\n' <"/proc/$1/environ" | sed -n 's/^SERENO_UNIT=//p'; }

# marked PREFIX: pids of every process whose mark begins so.
marked() {
    { grep -lz "^SERENO_UNIT=$1" /proc/[0-9]*/environ 2>/dev/null || true; } | cut -d/ -f3
}

# gone PREFIX: no process carries such a mark.
gone() { [ -z "$(marked "$1")" ]; }

# must_be_gone PREFIX: or show what is left.
must_be_gone() {
    local left
    left=$(marked "$1")
    [ -z "$left" ] || die "processes of it are left: $(for pid in $left; do ps -o pid=,stat=,args= -p "$pid"; done)"
}
