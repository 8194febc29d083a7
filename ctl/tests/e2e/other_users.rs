//! A service's own user stays that user: what it puts into its log folder gives it no file of root's.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Answer, System, eventually, wants};
use crate::safety::{all, look_at_modes, set_mode};

pub(crate) const NOBODY: u32 = 65534;

/// What only root may read.
const SECRET: &str = "root:$6$SECRETHASH:1:0\n";

/// Writes until its log has been rotated a few times.
const WRITER: &str = r#"
    [services.evil]
    shell = "while :; do head -c 40000 /dev/zero | tr '\\0' A; echo; sleep 0.05; done"
    cwd = "/"
    user = "nobody"
    stop.timeout = "1s"
    log = { stdout = "{here}/evl/out.log", max_size = "64KiB", keep = 5 }
"#;

/// Whether other users can be had: only root may run a service as somebody else.
pub(crate) fn is_root() -> bool {
    let root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    wants("root", root.then(PathBuf::new)).is_some()
}

/// A system whose folder others may enter, a folder of nobody's in it, and a file and a folder of root's.
pub(crate) fn system(file: &str) -> System {
    let system = System::new(file);
    set_mode(&system.path(""), 0o711);
    for folder in ["evl", "vict"] {
        fs::create_dir(system.path(folder)).expect("made");
    }
    fs::write(victim(&system), SECRET).expect("written");
    set_mode(&victim(&system), 0o600);
    set_mode(&system.path("vict"), 0o711);
    chown(system.path("evl"), Some(NOBODY), Some(NOBODY)).expect("root may");
    system
}

pub(crate) fn victim(system: &System) -> PathBuf {
    system.path("vict/shadow")
}

/// What a line for the shell says that nobody runs in its folder.
#[track_caller]
pub(crate) fn nobody(system: &System, line: &str) -> String {
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(system.path("evl")).uid(NOBODY).gid(NOBODY);
    let said = command.output().expect("sh runs");
    String::from_utf8_lossy(&said.stdout).into_owned()
}

/// Brings it up and waits until the log has been rotated a few times.
#[track_caller]
fn rotated(system: System, times: u32) -> System {
    let system = system.up_at_once();
    until_rotated(&system, times);
    system
}

#[track_caller]
fn until_rotated(system: &System, times: u32) {
    let there = |name: String| system.path("evl").join(name).symlink_metadata().is_ok();
    eventually("it is rotated", || there(format!("out.log.{times}")) || there(format!("out.log.{times}.gz")));
}

/// Holds that what was root's is as it was, and that nothing was made beside it.
#[track_caller]
fn unharmed(system: &System) {
    assert_eq!(fs::read_to_string(victim(system)).expect("there"), SECRET);
    assert_eq!(all(&system.path("vict")), [victim(system)]);
}

#[test]
fn a_link_in_place_of_a_rotated_log_shows_no_file_of_roots() {
    if !is_root() {
        return;
    }
    let system = rotated(system(WRITER), 1);
    nobody(&system, "rm -f out.log.1; ln -s ../vict/shadow out.log.1");
    until_rotated(&system, 5);
    let seen = nobody(&system, "for log in out.log*; do zcat -f $log; done 2>/dev/null | grep -a SECRET");
    assert_eq!(seen, "", "{}", nobody(&system, "ls -la"));
    unharmed(&system);
    system.down();
}

#[test]
fn a_link_in_place_of_a_log_that_is_being_compressed_overwrites_nothing() {
    if !is_root() {
        return;
    }
    let system = system(WRITER);
    nobody(&system, "ln -s ../vict/shadow out.log.gz.part");
    let system = rotated(system, 3);
    unharmed(&system);
    system.down();
}

#[test]
fn a_link_in_place_of_an_index_cuts_nothing() {
    if !is_root() {
        return;
    }
    let system = system(WRITER);
    nobody(&system, "mkdir .index; ln -s ../../vict/shadow .index/out.log");
    let system = rotated(system, 2);
    unharmed(&system);
    // Nor does another name of the file itself, where the kernel lets anybody make one.
    fs::hard_link(victim(&system), system.path("evl/.index/hard")).expect("root may");
    nobody(&system, "mv .index/hard .index/out.log.1");
    until_rotated(&system, 4);
    assert_eq!(fs::read_to_string(victim(&system)).expect("there"), SECRET);
    system.down();
}

#[test]
fn a_link_in_place_of_the_folder_of_indexes_makes_nothing() {
    if !is_root() {
        return;
    }
    let system = system(WRITER);
    nobody(&system, "ln -s ../vict .index");
    let system = rotated(system, 2);
    unharmed(&system);
    system.down();
}

#[test]
fn a_link_of_its_user_on_the_way_to_the_log_is_not_followed() {
    if !is_root() {
        return;
    }
    let system = system(&WRITER.replace("evl/out.log", "evl/sub/out.log"));
    nobody(&system, "ln -s ../vict sub");
    let system = system.up_at_once();
    system.until("evil", "said to lose its log", |evil| {
        evil.0.to_string().contains("is a symbolic link of user 65534, who could point it elsewhere")
    });
    unharmed(&system);
    system.down();
}

#[test]
fn logs_show_nothing_through_a_link() {
    if !is_root() {
        return;
    }
    let system = system(WRITER);
    nobody(&system, "ln -s ../vict/shadow out.log.1");
    let system = system.up_at_once();
    eventually("it writes", || system.path("evl/out.log").exists());
    let answer = system.ctl(&["logs", "evil", "-n", "100000"]);
    assert!(!answer.out.contains("SECRET"), "{}", answer.out);
    system.ctl(&["stop", "evil"]).succeeded();
    nobody(&system, "rm -f out.log out.log.*; ln -s ../vict/shadow out.log");
    let answer = system.ctl(&["logs", "evil"]);
    assert_eq!(answer.out, "");
    says_why(&answer, &system.path("evl/out.log"), "a symbolic link is in its place, not a file");
    system.down();
}

#[track_caller]
fn says_why(answer: &Answer, path: &Path, why: &str) {
    let expected = format!("cannot read {}: {why}", path.display());
    assert!(answer.err.contains(&expected), "{expected}: {}{}", answer.out, answer.err);
    assert_eq!(answer.code, 1);
}

/// Needs nobody else.
#[test]
fn a_log_that_cannot_be_read_is_said_to_be_so() {
    let system = System::new("[services.web]\nshell = \"echo fine >&2; exec sleep 1000\"\n").up();
    let log = system.path(".sereno/log/web.out.log");
    eventually("it has written", || system.log("web.err.log") == b"fine\n");
    fs::create_dir(&log).expect("made");
    let answer = system.ctl(&["logs", "web"]);
    assert_eq!(answer.out, "fine\n", "its other output is shown");
    says_why(&answer, &log, "a folder is in its place, not a file");
    fs::remove_dir(&log).expect("removed");
    assert!(Command::new("mkfifo").arg(&log).status().expect("runs").success());
    says_why(&system.ctl(&["logs", "web"]), &log, "a FIFO is in its place, not a file");
    fs::remove_file(&log).expect("removed");
    symlink("/etc/hostname", &log).expect("made");
    says_why(&system.ctl(&["logs", "web", "--json"]), &log, "a symbolic link is in its place, not a file");
    says_why(&system.ctl(&["logs", "web", "--grep", "."]), &log, "a symbolic link is in its place");
    fs::remove_file(&log).expect("removed");
    system.ctl(&["logs", "web"]).succeeded();
    system.down();
}

/// Needs nobody else.
#[test]
fn nothing_that_is_made_can_be_written_by_others_whatever_the_umask() {
    let system = System::new(
        r#"
        [services.web]
        shell = "echo line; exec sleep 1000"
        log.stdout = "newlogs/sub/web.log"
        "#,
    );
    let ctl = system.command(&["up", "-d", "--wait"]);
    let mut up = Command::new("sh");
    up.args(["-c", "umask 0; exec \"$0\" \"$@\""]).arg(ctl.get_program()).args(ctl.get_args());
    let up = up.current_dir(system.path("")).output().expect("runs");
    assert!(up.status.success(), "{}", String::from_utf8_lossy(&up.stderr));
    eventually("it has written", || {
        fs::read(system.path("newlogs/sub/.index/web.log")).is_ok_and(|index| !index.is_empty())
    });
    let written_by_others: Vec<_> = all(&system.path(""))
        .into_iter()
        .filter(|path| {
            fs::symlink_metadata(path).is_ok_and(|meta| !meta.is_symlink() && meta.mode() & 0o022 != 0)
        })
        .filter(|path| !path.ends_with("sereno.toml"))
        .collect();
    assert_eq!(written_by_others, [""; 0].map(PathBuf::from));
    assert_eq!(look_at_modes(&system.path(".sereno")).1, [""; 0]);
    system.down();
}

#[test]
fn a_rotated_log_is_for_nobody_whom_the_log_is_not_for() {
    if !is_root() {
        return;
    }
    let system = system(WRITER);
    fs::write(system.path("evl/out.log"), "").expect("written");
    chown(system.path("evl/out.log"), Some(0), Some(4)).expect("root may");
    set_mode(&system.path("evl/out.log"), 0o640);
    let system = rotated(system, 3);
    let own = fs::metadata(system.path("evl/out.log")).expect("there");
    assert_eq!(own.mode() & 0o777, 0o640);
    let rights = |path: &Path| fs::metadata(path).map(|meta| (meta.mode() & 0o777, meta.gid()));
    // The first one, of the group `adm`, has moved up.
    let first = ["out.log.3.gz", "out.log.4.gz", "out.log.5.gz"].map(|name| system.path("evl").join(name));
    assert!(first.iter().any(|path| rights(path).is_ok_and(|rights| rights == (0o640, 4))));
    for path in all(&system.path("evl")).into_iter().filter(|path| path.is_file()) {
        // One may go as it is looked at.
        let Ok((mode, _)) = rights(&path) else { continue };
        assert_eq!(mode & 0o137, 0, "{} {mode:o}", path.display());
    }
    system.down();
}
