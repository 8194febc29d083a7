//! Keys of `[services.NAME]` and the tables below it, except those of `check` and `restart`.

use super::Kind::{
    Any, Check, Choice, Duration, False, Flag, Limit, List, Map, Name, Named, Size, Table, Text, Whole,
};
use super::Preset::{Is, IsOr, Needed, Words};
use super::Range::Says;
use super::{
    COMMAND, HEALTH, Key, Keys, Kind, PATH, PATHS, PORT, Preset, REGEX, RESTART, Range, SCALARS, SCHEDULE,
    TEXT, WATCH, WATCHDOG, keys, text, words,
};
use crate::model::{DependencyOn, StopTo};

pub(crate) const CONDITIONS: [(&str, DependencyOn); 3] = [
    ("started", DependencyOn::Started),
    ("ready", DependencyOn::Ready),
    ("completed", DependencyOn::Completed),
];
pub(crate) const STOP_TO: [(&str, StopTo); 2] = [("group", StopTo::Group), ("main", StopTo::Main)];

const CONDITION: Kind = Choice(&words(&CONDITIONS));
const ACCOUNT: Kind = Any(&[TEXT, Whole(0, 4_294_967_295)]);
const ITS_PARENTS: Preset = Words("the supervisor's");

pub(crate) static SERVICE: Keys = Keys {
    table: "service",
    groups: &[&keys! {
        "autostart": Flag => Is("true"), "Started by `ctl up` and at boot.";
        "capabilities": List(&text("name")), Says(r#"of Linux, such as `"net_bind_service"`"#) => Words("as is"), "What of root's power it can have at all; with a `user` it has just these. `[]`: none. Only root can set it. Linux.";
        "checks": Named(&Check) => Words("none"), "`checks.<id>`: further checks.";
        "command": COMMAND => Words("one of `command` and `shell`"), "What runs. A string is split as a shell would, but no shell runs; on Windows a backslash escapes nothing. Looked up in the service's own `PATH`, then in `cwd`.";
        "cwd": PATH => Words("the folder of the file"), "Where it runs.";
        "depends_on": Any(&[List(&TEXT), Map(&Any(&[CONDITION, Table(&DEPENDENCY)]))]), Says("names, or see `dependency`") => Words("none"), r#"What must be there first: `["db"]`, `{ db = "completed" }`."#;
        "env": SCALARS => Words("none"), "Variables, on top of all others. Names that begin with `SERENO_` are taken.";
        "env_file": PATHS, Says("1 MiB each at most") => Words("none"), "Files of `NAME=value` lines; later ones and `env` come before earlier ones.";
        "env_inherit": Any(&[Flag, List(&TEXT)]) => Is("true"), "What of the caller's environment it gets: all (never `SERENO_*`), nothing, or these names.";
        "group": ACCOUNT, Says("a group that the system knows, or a number") => Words("that of `user`"), "Runs as this group.";
        "health": Any(&[TEXT, Table(&HEALTH)]) => Words("none"), "An HTTP check. A string is short for `{ url = … }`.";
        "instances": Whole(1, 100) => Words("none: one, under its plain name"), "So many of it, each a service of its own: `web:0`, `web:1`, …. `web` means all of them, in commands and in `depends_on`. `${INSTANCE}` is the number in every string but `shell`, so that ports can differ; the process finds it in `SERENO_INSTANCE`.";
        "limits": Table(&LIMITS) => ITS_PARENTS, "Resource limits.";
        "linux": Table(&SERVICE) => Words("none"), "Keys that hold only on Linux.";
        "log": Table(&LOG) => Words("see `log`"), "How its output is kept.";
        "macos": Table(&SERVICE) => Words("none"), "Keys that hold only on macOS.";
        // No program runs in less than 1 MB.
    "memory_max": Size("1MB") => Words("no limit"), "More memory than this, of all its processes together, and it is restarted. No crash: the streak stays as it is. The kernel's own limit where the supervisor may set one (a cgroup v2 with the memory controller), else looked at every 5 s.";
        "nice": Whole(-20, 19) => ITS_PARENTS, "Priority.";
        "no_new_privileges": Flag => Is("false"), "Neither it nor what it starts can gain rights by a setuid program. Linux.";
        "port": Any(&[Whole(1, 65_535), TEXT, Table(&PORT)]) => Words("none"), r#"A TCP check. A number is short for `{ port = … }`, `"host:port"` for `{ address = … }`."#;
        "ready": Any(&[TEXT, Table(&READY), List(&Any(&[TEXT, Table(&READY)]))]), Says("`started`, `port`, `health`, `notify`, the id of a check, or see `ready`") => Words("all its checks; without any, `started`"), "What must hold before it counts as ready.";
        "ready_timeout": Duration("1ms") => IsOr("60s", ", or the longest `start_period` if that is more"), "A run that is not ready by then has failed, if a check says so.";
        "restart": Any(&[super::POLICY, Table(&RESTART)]) => Words("see `restart`"), "When and how often it is started again. A string is short for `{ policy = … }`.";
        "schedule": Any(&[super::CRON, False, Table(&SCHEDULE)]) => Words("none"), "It is a job: it runs at these times, and ends. A string is short for `{ cron = … }`; `false` does without what `[defaults]` say.";
        "shell": TEXT => Words("one of `command` and `shell`"), "A line for `sh -c` (`cmd /c` on Windows). `${…}` in it is the shell's own.";
        "sockets": List(&Table(&SOCKET)), Says("see `sockets`") => Words("none"), "Bound by the supervisor and handed over at each start, as systemd does (`LISTEN_FDS`, from descriptor 3): while the service is down, connections wait.";
        "stop": Table(&STOP) => Words("see `stop`"), "How it is ended.";
        "tags": List(&Name) => Is("[]"), "For selectors such as `tag:web`.";
        "umask": Text("octal string", "^(0o)?[0-7]{1,4}$", &[]), Says(r#"`"000"` to `"777"`"#) => ITS_PARENTS, "File mode creation mask.";
        "user": ACCOUNT, Says("a user that the system knows, or a number") => ITS_PARENTS, "Runs as this user, whose `HOME`, `USER` and `LOGNAME` it gets.";
        "watch": Any(&[Flag, PATH, List(&PATH), Table(&WATCH)]) => Is("false"), "A change to any of these files restarts it. `true` watches `cwd`; a path or a list is short for `{ paths = … }`.";
        "watchdog": Table(&WATCHDOG) => Words("none"), "When it counts as frozen although it lives.";
        "windows": Table(&SERVICE) => Words("none"), "Keys that hold only on Windows.";
    }],
};

pub(crate) static DEPENDENCY: Keys = Keys {
    table: "dependency",
    groups: &[&keys! {
        "on": CONDITION => Is("ready"), "What must be true of the other. `completed` needs a `restart.policy` that lets it complete.";
        "restart": Flag => Is("false"), "Whether the other's restart restarts this one too.";
    }],
};

pub(crate) static READY: Keys = Keys {
    table: "ready",
    groups: &[&keys! {
        "delay": Duration("0s") => Words("none"), "So much time has passed since the start.";
        "log": REGEX => Words("none"), "A line of its output matches.";
    }],
};

pub(crate) static SOCKET: Keys = Keys {
    table: "socket",
    groups: &[&keys! {
        "listen": TEXT => Needed, r#"The address and port where it listens: `"127.0.0.1:8000"`, `"[::]:8000"`."#;
        "name": TEXT, Says("as a name") => Words("the port's number"), "Its name in `LISTEN_FDNAMES`, which no other socket of the service has.";
    }],
};

pub(crate) static STOP: Keys = Keys {
    table: "stop",
    groups: &[&keys! {
        "command": COMMAND => Words("none"), "A command that is tried first. `$MAINPID` and `${MAINPID}` in it are the pid of the process that was started; its environment has `MAINPID` too.";
        "evidence": Table(&EVIDENCE_OF_RUN) => Words("what the system tells"), "What is asked of a run besides, before it is ended because a check, `ready_timeout`, the watchdog or `memory_max` wants it.";
        "signal": text("signal"), Says(r#"`"SIGTERM"`, `"INT"`, …"#) => Is("SIGTERM"), "The signal.";
        "timeout": Duration("0s") => Is("10s"), "Then everything is killed.";
        "to": Choice(&words(&STOP_TO)) => Is("group"), "Every process of the group, or only the one that was started (Celery and PostgreSQL want `main`).";
    }],
};

pub(crate) static EVIDENCE_OF_RUN: Keys = Keys {
    table: "stop.evidence",
    groups: &[&keys! {
        "command": COMMAND => Words("one of `command` and `signal`"), "A command that tells what the run is doing, such as `py-spy`. It runs as the service does, and its output is kept. `${PID}` is the pid of the process that was started.";
        "signal": text("signal"), Says(r#"`"SIGQUIT"`, …; not `SIGKILL` or `SIGSTOP`"#) => Words("one of `command` and `signal`"), "A signal upon which the service tells what it is doing. It goes to the process that was started, and what the service writes then is kept.";
        "timeout": Duration("1ms") => Is("3s"), "Then the run is ended without.";
    }],
};

pub(crate) static LOG: Keys = Keys {
    table: "log",
    groups: &[&keys! {
        "compress": Flag => Is("true"), "Whether rotated files from the second on are compressed.";
        "keep": Whole(0, 1000) => Is("10"), "So many rotated files are kept.";
        // Below 1 KB, rotating would take more time than writing.
    "max_size": Size("1KB") => Is("50MB"), "A file is rotated at this size.";
        "stderr": PATH => Words("`log/NAME.err.log` in home"), "Where stderr is kept.";
        "stdout": PATH => Words("`log/NAME.out.log` in home"), "Where stdout is kept.";
        "timestamps": False => Is("false"), "`true` is not in this version.";
    }],
};

pub(crate) static LIMITS: Keys = Keys {
    table: "limits",
    groups: &[&keys! {
        "as": Limit => ITS_PARENTS, "Address space, in bytes.";
        "core": Limit => ITS_PARENTS, "Size of a core dump, in bytes.";
        "cpu": Limit => ITS_PARENTS, "CPU time, in seconds.";
        "data": Limit => ITS_PARENTS, "Data segment, in bytes.";
        "fsize": Limit => ITS_PARENTS, "Size of a file, in bytes.";
        "locks": Limit => ITS_PARENTS, "File locks.";
        "memlock": Limit => ITS_PARENTS, "Locked memory, in bytes.";
        "msgqueue": Limit => ITS_PARENTS, "Message queues, in bytes.";
        "nice": Limit => ITS_PARENTS, "Ceiling of the priority.";
        "nofile": Limit => ITS_PARENTS, "Open files.";
        "nproc": Limit => ITS_PARENTS, "Processes of the user.";
        "rss": Limit => ITS_PARENTS, "Resident memory, in bytes.";
        "rtprio": Limit => ITS_PARENTS, "Ceiling of the real-time priority.";
        "rttime": Limit => ITS_PARENTS, "CPU time without a system call, in microseconds.";
        "sigpending": Limit => ITS_PARENTS, "Queued signals.";
        "stack": Limit => ITS_PARENTS, "Stack, in bytes.";
    }],
};
