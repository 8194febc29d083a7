//! Keys about when a service is started or stopped: `restart`, `schedule`, `watch`, `watchdog`.

use super::Kind::{Any, Choice, Duration, List, Number, Table, Text, Whole};
use super::Preset::{Is, IsOr, Words};
use super::Range::{And, Says};
use super::{Key, Keys, Kind, PATHS, Range, TEXT, keys, text, words};
use crate::model::{OnFailure, Policy};
use crate::schedule::Overlap;

pub(crate) const POLICIES: [(&str, Policy); 3] =
    [("always", Policy::Always), ("on-failure", Policy::OnFailure), ("never", Policy::Never)];
/// The words of `restart.give_up`, with whether the service is retried.
pub(crate) const GIVE_UP: [(&str, bool); 2] = [("stop", false), ("retry", true)];
/// The words of `schedule.missed`, with whether a missed time is made up for.
pub(crate) const MISSED: [(&str, bool); 2] = [("run", true), ("skip", false)];
pub(crate) const OVERLAPS: [(&str, Overlap); 3] =
    [("skip", Overlap::Skip), ("queue", Overlap::Queue), ("kill", Overlap::Kill)];
/// The words of `watchdog.evidence`, with whether a failing check is needed.
pub(crate) const EVIDENCE: [(&str, bool); 2] = [("any", true), ("none", false)];
pub(crate) const ON_FAILURE: [(&str, OnFailure); 2] =
    [("restart", OnFailure::Restart), ("report", OnFailure::Report)];

pub(super) const POLICY: Kind = Choice(&words(&POLICIES));
pub(super) const CRON: Kind = Text("string", "", &["0 3 * * *", "*/15 * * * *", "@daily"]);
const TIMEZONE: Kind = Text("string", "", &["Europe/Madrid", "UTC"]);
const ZONES: Range = Says("a name such as `Europe/Madrid`");

pub(crate) static RESTART: Keys = Keys {
    table: "restart",
    groups: &[&keys! {
        "cron": CRON, Says("as in `schedule`") => Words("none"), "It is also restarted at these times, however well it is: its wait and its streak begin anew, as by a person. Not while it is stopped or paused; a time that passes unattended is not made up for.";
        "delay": Duration("0s") => Is("0s"), "The floor of every wait, counted from the exit.";
        "factor": Number(1.0, 100.0) => Is("2.0"), "What each further wait is multiplied by.";
        "give_up": Choice(&words(&GIVE_UP)) => Is("stop"), "Given up means `failed` until a person begins again, or tried again every `retry_every`.";
        "initial": Duration("0s"), And(" to `max_wait`") => IsOr("500ms", ", or a shorter `max_wait`"), "First wait of the backoff.";
        "jitter": Number(0.0, 0.99) => Is("0.1"), "Share of the wait that chance may add or take.";
        "max": Whole(0, 1_000_000_000) => Is("50"), "A streak over this gives up: one start and so many restarts.";
        "max_wait": Duration("0s") => Is("60s"), "Longest wait of the backoff, jitter included; only a longer `delay` exceeds it.";
        "min_uptime": Duration("0s") => Is("30s"), "A run is stable, and the streak 0, this long after it was ready, if the newest result of each of its checks is then a success; else once they all pass.";
        "monitor_budget": Table(&BUDGET) => Words("see `budget`"), "How many restarts monitors may ask for.";
        "policy": POLICY => IsOr("always", "; `never` beside `schedule`"), "Which ends are followed by another start.";
        "retry_every": Duration("1s") => Is("10m"), r#"How often, with `give_up = "retry"`."#;
        "success_codes": List(&Any(&[Whole(-2_147_483_648, 2_147_483_647), TEXT])), Says("exit codes, names of signals") => Is("[0]"), r#"Ends that are no failure: `[0, "SIGTERM"]`."#;
        "timezone": TIMEZONE, ZONES => Words("the host's"), "The place whose clock counts for `cron`.";
    }],
};

pub(crate) static BUDGET: Keys = Keys {
    table: "budget",
    groups: &[&keys! {
        "max": Whole(0, 1_000_000) => Is("10"), "How many …";
        "within": Duration("1s") => Is("1h"), "… within this time.";
    }],
};

pub(crate) static SCHEDULE: Keys = Keys {
    table: "schedule",
    groups: &[&keys! {
        "cron": CRON, Says("a line of cron") => Words("required"), "When it runs: minute hour day month weekday.";
        "missed": Choice(&words(&MISSED)) => Is("run"), "Times that nobody was there for (the supervisor or the host was down, the host slept): one run makes up for all of them, or none does.";
        "overlap": Choice(&words(&OVERLAPS)) => Is("skip"), "A time that comes while the last run still goes is passed over, or comes once after that run, or ends it.";
        "timeout": Duration("1s") => Words("none"), "A run that takes longer is ended, and has failed.";
        "timezone": TIMEZONE, ZONES => Words("the host's"), "The place whose clock counts.";
    }],
};

pub(crate) static WATCH: Keys = Keys {
    table: "watch",
    groups: &[&keys! {
        "debounce": Duration("10ms") => Is("500ms"), "How long nothing more must change; after ten times that it is restarted all the same.";
        "ignore": List(&text("pattern")), Says("`*`, `**`, `?`, `[…]`, `{a,b}`") => Is("[]"), "Patterns of files whose change is no reason, besides those that are always ignored.";
        "paths": PATHS => Words("`cwd`"), "Files, and folders with everything below them.";
    }],
};

/// The keys of `watchdog`. The supervisor looks several times within each duration, so none is below a second.
pub(crate) static WATCHDOG: Keys = Keys {
    table: "watchdog",
    groups: &[&keys! {
        "action": Choice(&words(&ON_FAILURE)) => Is("restart"), "Restart it, or only say so.";
        "cpu_idle": Duration("1s") => Words("none"), "No process of it has used any CPU time for so long, while something shows that work is waiting.";
        "evidence": Choice(&words(&EVIDENCE)) => Is("any"), "What shows that work is waiting: any check that fails, times out, or sees a port accept nobody. With `none` an idle service is a frozen one.";
        "notify": Duration("1s") => Words("none"), "It promises to say `WATCHDOG=1` over `NOTIFY_SOCKET` at least so often (it is told so in `WATCHDOG_USEC`). Silence is enough, whatever the CPU does.";
    }],
};
