//! Keys of the top of the file, of `[supervisor]` and of the monitors.

use super::Kind::{Any, Duration, Flag, Later, List, Name, Named, Number, Table, Text, Whole};
use super::Preset::{Is, Needed, Words};
use super::Range::Says;
use super::{Key, Keys, PATH, Range, SERVICE, TEXT, URI, URIS, keys, text};

const ENDPOINTS: Range = Says("`unix:///path`, `http://127.0.0.1:PORT`, `https://host:PORT`");
const SECRET: Range = Says("a file that only its owner can read");

pub(crate) static ROOT: Keys = Keys {
    table: "file",
    groups: &[&keys! {
        "defaults": Table(&SERVICE) => Words("none"), "What every service starts from. Tables merge key by key; lists and strings replace.";
        "health-monitor": Table(&DAEMON) => Words(""), "The health monitor's own settings.";
        "monitors": Named(&Table(&MONITOR)) => Words("the two built-in ones"), "`[monitors.NAME]`: adds or swaps a monitor.";
        "port-monitor": Table(&DAEMON) => Words(""), "The port monitor's own settings.";
        "services": Named(&Table(&SERVICE)) => Words("none"), "`[services.NAME]`: the services.";
        "supervisor": Table(&SUPERVISOR) => Words(""), "The supervisor itself.";
        "alerts": Later => Words(""), "Not in this version.";
    }],
};

pub(crate) static SUPERVISOR: Keys = Keys {
    table: "supervisor",
    groups: &[
        OWN_LOG,
        &keys! {
            "brake": Table(&BRAKE) => Words("see `brake`"), "When restarts are held for the whole host.";
            "guard": Any(&[Flag, Table(&GUARD)]) => Is("true"), "Whether a dead supervisor is started again.";
            "home": PATH => Words("`.sereno` beside the file; `$XDG_STATE_HOME/sereno` for the user's file, `/var/lib/sereno` for the system's"), "State, logs and sockets.";
            "listen": URIS, Says("`http://127.0.0.1:PORT`, `http://[::1]:PORT`, `https://host:PORT`") => Words("none"), "Where it listens besides its own socket, which is always there. `http://` is for this machine only and wants a token (`ctl token`), `https://` wants a certificate on both sides (`ctl pki`). Read at start; after a change `ctl upgrade`.";
            "metrics": text("address"), Says("`127.0.0.1:PORT`, `[::1]:PORT`, port 1 to 65535") => Words("none"), "Where Prometheus reads its metrics, at `/metrics` ([docs/metrics.md](docs/metrics.md)). Without a token, so for this machine only. Read at start; after a change `ctl upgrade`.";
            "tls": Table(&TLS) => Words("none"), "Who it is on `https://`, and whom it trusts.";
        },
    ],
};

const OWN_LOG: &[Key] = &keys! {
    "log": TEXT, Says("`trace`, `debug`, `info`, `warn`, `error`, `off`, or `target=level,…`") => Is("info"), "How much the daemon logs of itself.";
};

pub(crate) static BRAKE: Keys = Keys {
    table: "brake",
    groups: &[&keys! {
        "min": Whole(1, 1_000_000) => Is("4"), "… and of at least so many checked services …";
        "share": Number(0.0, 1.0) => Is("0.5"), "More than this share of the checked services …";
        "window": Duration("100ms") => Is("30s"), "… went bad within this time.";
    }],
};

pub(crate) static GUARD: Keys = Keys {
    table: "guard",
    groups: &[&keys! {
        "enabled": Flag => Is("true"), "Whether anybody does.";
        "hang": Duration("100ms") => Is("30s"), "A supervisor that has not answered for so long is killed and started again.";
    }],
};

pub(crate) static DAEMON: Keys = Keys {
    table: "monitor-daemon",
    groups: &[
        OWN_LOG,
        &keys! {
            "listen": URIS, ENDPOINTS => Words("that of `home`"), "Where it listens itself; one that the supervisor runs listens there besides.";
            "name": Name => Words("that of the daemon"), "What it is called in `[monitors.NAME]`.";
            "supervisor": URI, ENDPOINTS => Words("that of `home`"), "Where the supervisor listens.";
            "tls": Table(&TLS) => Words("none"), "Who it is on `https://`, on both ends, and whom it trusts.";
            "token_file": PATH, SECRET => Words("`$SERENO_TOKEN_FILE`"), "The token it shows to a supervisor on `http://`.";
            "tokens": PATH, SECRET => Words("`state/tokens` in `home`"), "The file of tokens that are taken where it listens on `http://`.";
        },
    ],
};

pub(crate) static TLS: Keys = Keys {
    table: "tls",
    groups: &[&keys! {
        "ca": PATH => Needed, "Certificates of the authority that is trusted, PEM.";
        "cert": PATH => Needed, "Its own certificate, PEM. The role of who connects stands in theirs, as a URI: `sereno://role/monitor`.";
        "key": PATH => Needed, "Its private key, PEM; only its owner may read it.";
    }],
};

pub(crate) static MONITOR: Keys = Keys {
    table: "monitor",
    groups: &[&keys! {
        "args": List(&TEXT) => Is("[]"), "Arguments for it.";
        "endpoint": URI, ENDPOINTS => Words("`run/NAME.sock` in home"), "Where it serves `sereno.v1.Monitor`.";
        "kind": TEXT => Words("its name"), "The kind of check that it serves.";
        "managed": Flag => Is("true"), "Whether the supervisor runs it. If not, it connects by itself, and `program` and `args` have no place.";
        "program": Text("path or program", "", &[]) => Words("the program of its name beside the supervisor"), "What is run; looked up in `PATH` unless it has a slash.";
    }],
};
