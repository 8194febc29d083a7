//! A service's user who owns the log folder puts endless files there, and files of root's where ours should be: it is
//! only their own logs that suffer.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Output};

use crate::harness::{System, eventually, poll};
use crate::other_users::{NOBODY, is_root, nobody, system};

/// Writes until it is told to end.
const TALKER: &str = r#"
    [services.evil]
    shell = "while [ ! -e evl/go ]; do echo line; echo line >&2; sleep 0.1; done; rm evl/go; exit 3"
    user = "nobody"
    stop.timeout = "1s"
    log = { stdout = "{here}/evl/out.log", stderr = "{here}/evl/err.log" }

    [services.good]
    shell = "while :; do echo line; sleep 0.05; done"
    stop.timeout = "1s"
"#;

/// Two of them write until their logs have been rotated a few times; one begins later.
const WRITERS: &str = r#"
    [defaults]
    stop.timeout = "1s"

    [services.evil]
    shell = "while :; do head -c 40000 /dev/zero | tr '\\0' A; echo; sleep 0.05; done"
    user = "nobody"
    log = { stdout = "{here}/evl/out.log", max_size = "64KiB", keep = 5 }

    [services.good]
    shell = "while :; do head -c 40000 /dev/zero | tr '\\0' A; echo; sleep 0.05; done"
    autostart = false
    log = { max_size = "64KiB", keep = 5 }
"#;

/// Runs lines as nobody, each of which must succeed.
#[track_caller]
fn nobody_does(system: &System, lines: &str) {
    let said = nobody(system, &format!("{{ {lines}; }} >errors 2>&1 && echo done"));
    assert_eq!(said, "done\n", "{}", fs::read_to_string(system.path("evl/errors")).unwrap_or_default());
}

fn size(system: &System, name: &str) -> u64 {
    fs::metadata(system.path(name)).map_or(0, |meta| meta.len())
}

#[test]
fn an_index_of_4_tib_holds_up_no_log() {
    if !is_root() {
        return;
    }
    let system = system(TALKER);
    // An index has the rights of its log: its user may write it.
    nobody_does(&system, "touch err.log && chmod 644 err.log");
    let system = system.up_at_once();
    eventually("it writes", || size(&system, "evl/err.log") > 0);
    let before = system.until_state("evil", "running");
    // Where the run begins in this one is not known, so it is looked up.
    nobody_does(&system, "rm err.log && touch err.log");
    eventually("it writes into the new one", || size(&system, "evl/err.log") > 0);
    nobody_does(&system, "truncate -s 0 .index/err.log && truncate -s 4T .index/err.log && touch go");
    let is_restarted = || system.service("evil").incarnation() > before.incarnation();
    let good = || size(&system, ".sereno/log/good.out.log");
    let restarted = poll(is_restarted);
    let seen = good();
    let grows = poll(|| good() > seen + 50);
    let shown = logs(&system, &["--stderr", "-n", "5"]);
    // Who reads it through ends with that, and the story with it.
    nobody_does(&system, "truncate -s 0 .index/err.log");
    assert!(restarted && grows, "restarted: {restarted}, the other one's log grows: {grows}");
    // One that comes while it reads is shown as well.
    let shown = String::from_utf8_lossy(&shown.stdout);
    assert!(shown.starts_with(&"line\n".repeat(5)) && shown.len() <= 50, "{shown:?}");
    system.down();
}

#[test]
fn a_folder_of_indexes_that_its_user_made_is_not_used() {
    if !is_root() {
        return;
    }
    let system = system(TALKER);
    nobody_does(&system, "mkdir .index && touch .index/out.log");
    let system = system.up_at_once();
    eventually("it writes", || size(&system, "evl/out.log") > 50);
    assert_eq!(nobody(&system, "ls -s .index"), "total 0\n0 out.log\n");
    let said = fs::read_to_string(system.path(".sereno/log/supervisor.log")).expect("there");
    assert!(said.contains("evl/.index is not a folder of ours that nobody else can write in"), "{said}");
    system.down();
}

#[test]
fn a_log_of_roots_in_place_of_an_index_is_not_given_away() {
    if !is_root() {
        return;
    }
    let shared = r#"
        [services.shared]
        shell = "echo SECRET; exec sleep 1000"
        log.stdout = "{here}/evl/shared.log"
    "#;
    let system = system(&format!("{TALKER}{shared}")).up_at_once();
    eventually("both write", || size(&system, "evl/out.log") > 0 && size(&system, "evl/shared.log") > 0);
    nobody_does(&system, "mv .index idx && mkdir .index && mv shared.log .index/out.log");
    nobody_does(&system, "mv out.log old && touch out.log && chmod 666 out.log && rm old");
    eventually("it writes into the new one", || size(&system, "evl/out.log") > 0);
    let secret = fs::metadata(system.path("evl/.index/out.log")).expect("there");
    assert_eq!((secret.uid(), secret.mode() & 0o777), (0, 0o640));
    assert_eq!(fs::read_to_string(system.path("evl/.index/out.log")).expect("root may"), "SECRET\n");
    assert_eq!(nobody(&system, "cat .index/out.log"), "");
    system.down();
}

#[test]
fn a_rotated_log_of_8_tib_holds_up_no_rotation_and_is_not_shown_for_ever() {
    if !is_root() {
        return;
    }
    let system = system(WRITERS);
    nobody_does(&system, "truncate -s 8T out.log.1");
    let system = system.up_at_once();
    let moved_to = |number: u32| size(&system, &format!("evl/out.log.{number}")) == 8 << 40;
    eventually("it would be compressed", || (2..=5).any(moved_to));
    system.ctl(&["start", "good"]).succeeded();
    eventually("the other one is compressed", || system.path(".sereno/log/good.out.log.3.gz").exists());
    eventually("it is compressed itself", || system.path("evl/out.log.3.gz").exists());
    system.ctl(&["stop", "evil"]).succeeded();
    let said = fs::read_to_string(system.path(".sereno/log/supervisor.log")).expect("there");
    assert_eq!(said.matches("a rotated log stays uncompressed").count(), 1, "{said}");

    nobody_does(&system, "rm -f out.log* && printf 'first\\nlast\\n' >out.log && truncate -s 8T out.log.1");
    is_cut(&system, "100");
    nobody_does(&system, "rm out.log.1 && head -c 100M /dev/zero | gzip -1 >out.log.1.gz");
    is_cut(&system, "100");
    is_cut(&system, "1000000");
    system.ctl(&["logs", "evil", "--stdout", "-n", "2"]).succeeded();
    assert_eq!(fs::metadata(system.path("evl/out.log.1.gz")).expect("there").uid(), NOBODY);
    system.down();
}

/// What `ctl logs evil` says in a minute.
fn logs(system: &System, args: &[&str]) -> Output {
    let ctl = system.command(&[&["logs", "evil"], args].concat());
    let mut bounded = Command::new("timeout");
    bounded.arg("60").arg(ctl.get_program()).args(ctl.get_args()).current_dir(system.path(""));
    for (name, value) in ctl.get_envs() {
        match value {
            Some(value) => bounded.env(name, value),
            None => bounded.env_remove(name),
        };
    }
    bounded.output().expect("timeout runs")
}

/// Holds that it shows the end of what is there, and says that this is not all.
#[track_caller]
fn is_cut(system: &System, lines: &str) {
    let shown = logs(system, &["--stdout", "-n", lines]);
    let said = String::from_utf8_lossy(&shown.stderr);
    let expected = "more lies there than it may hold (`max_size`, `keep`): 65 MiB of a file";
    assert!(said.contains(expected), "{}: {said}", shown.status);
    assert_eq!(shown.status.code(), Some(1));
    assert!(shown.stdout.ends_with(b"\0first\nlast\n"));
    assert!(shown.stdout.len() < 66 << 20, "{}", shown.stdout.len());
}
