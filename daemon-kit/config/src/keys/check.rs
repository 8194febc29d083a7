//! Keys of `port`, `health` and `checks.<id>`. The kinds of check share groups of keys, each of which is written once.

use super::Kind::{Any, AnyTable, Choice, Duration, Flag, List, Table, Text, Whole};
use super::Preset::{Is, IsOr, Words};
use super::Range::{And, Says};
use super::{COMMAND, Key, Keys, Kind, ON_FAILURE, PATH, REGEX, Range, SCALARS, TEXT, keys, words};

/// The kinds of check that have keys of their own. Any other kind has the keys of [`CHECK_OTHER`].
pub(super) const CHECKS: [(&str, &Keys); 3] =
    [("tcp", &CHECK_TCP), ("http", &CHECK_HTTP), ("exec", &CHECK_EXEC)];

/// Returns the keys of a kind of check.
pub(crate) fn of_check(kind: &str) -> &'static Keys {
    CHECKS.iter().find(|(known, _)| *known == kind).map_or(&CHECK_OTHER, |(_, keys)| *keys)
}

pub(crate) static PORT: Keys = Keys { table: "port", groups: &[TCP, EVERY_30S, EVERY] };
pub(crate) static HEALTH: Keys = Keys { table: "health", groups: &[HTTP, EVERY_60S, EVERY] };
pub(super) static CHECK_TCP: Keys = Keys { table: "check-tcp", groups: &[KIND, TCP, EVERY_30S, EVERY] };
pub(super) static CHECK_HTTP: Keys = Keys { table: "check-http", groups: &[KIND, HTTP, EVERY_60S, EVERY] };
pub(super) static CHECK_EXEC: Keys = Keys { table: "check-exec", groups: &[KIND, EXEC, EVERY_60S, EVERY] };
pub(super) static CHECK_OTHER: Keys =
    Keys { table: "check-other", groups: &[KIND, OPTIONS, EVERY_60S, EVERY] };

const EVERY_30S: &[Key] = &pace("30s", "2s");
const EVERY_60S: &[Key] = &pace("60s", "5s");

/// Interval and timeout of a check. Intervals have a minimum, so that a check does not become a load test.
const fn pace(interval: &'static str, timeout: &'static str) -> [Key; 2] {
    keys! {
        "interval": Duration("10ms") => Is(interval), "How often it is checked; the first time at a random moment.";
        "timeout": Duration("1ms"), And(", less than `interval`") => IsOr(timeout, ", or 80 % of a shorter `interval`"), "How long one check may take.";
    }
}

/// The keys of every check.
const EVERY: &[Key] = &keys! {
    "failures": Any(&[Whole(1, 1000), Text("string", r"^\s*[0-9]+\s*/\s*[0-9]+\s*$", &[])]), And(r#", or `"5/10"`"#) => Is("3"), r#"How many failures in a row make it fail; `"5/10"`: five of the last ten. Fewer are a warning: `ctl status` shows `health 1 of 3 failed`."#;
    "on_failure": Choice(&words(&ON_FAILURE)) => Is("restart"), "Ask for a restart, or only show it.";
    "retry_interval": Duration("10ms") => Words("`interval`"), "How soon after a failure it is checked again.";
    "start_period": Duration("0s"), And(" to `ready_timeout`") => Words("`ready_timeout`"), "Failures before the first success of a run do not count until it is over.";
    "successes": Whole(1, 1000) => Is("1"), "How many successes in a row make it pass again.";
};

const KIND: &[Key] = &keys! {
    "kind": TEXT => Words("required"), "What kind of check it is, and so which monitor makes it.";
};

const TCP: &[Key] = &keys! {
    "address": COMMAND, Says("`host:port`, `[::1]:port`") => Words("one of `port` and `address`"), "Addresses, any one of which will do.";
    "owner": Flag => IsOr("true", " for addresses of this machine"), "Also say whose the port is.";
    "port": Any(&[Whole(1, 65_535), TEXT]) => Words("one of `port` and `address`"), "A port of this machine: `127.0.0.1` or `[::1]`, either will do. A string of digits is taken too.";
};

const HTTP: &[Key] = &keys! {
    "ca_file": PATH => Words("none"), "Certificates to trust besides the system's.";
    "expect": Table(&EXPECT) => Words("see `expect`"), "What a good answer looks like.";
    "headers": SCALARS => Words("none"), "Headers to send.";
    "insecure": Flag => Is("false"), "Do not verify the certificate.";
    "method": Text("string", "^[A-Z]{1,20}$", &[]), Says("capitals") => Is("GET"), "How.";
    "redirects": Whole(0, 20) => Is("0"), "How many redirects are followed.";
    "url": TEXT, Says("`http://…`, `https://…`") => Words("required"), "What is asked for.";
};

const EXEC: &[Key] = &keys! {
    "command": COMMAND => Words("required"), "What is run.";
    "cwd": PATH => Words("that of the service"), "Where it runs.";
    "env": SCALARS => Words("none"), "Variables, on top of the service's.";
};

const OPTIONS: &[Key] = &keys! {
    "options": SCALARS => Words("none"), "Whatever that monitor wants to know.";
};

pub(crate) static EXPECT: Keys = Keys {
    table: "expect",
    groups: &[&keys! {
        "body": REGEX => Words("none"), "What the first 64 KiB of the body must match.";
        "json": AnyTable => Words("none"), r#"Members that must be equal: `{ status = "healthy", db.ok = true }`."#;
        "status": Any(&[STATUS, TEXT, List(&Any(&[STATUS, TEXT]))]) => Is(r#""200-399""#), r#"Good status codes: `200`, `"200-299"`, `[200, "301-302"]`."#;
    }],
};

const STATUS: Kind = Whole(100, 599);
