//! A start that its own user holds up holds up nobody else.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use crate::harness::{System, eventually, kill, wants};
use crate::other_users::{NOBODY, is_root};
use crate::safety::set_mode;

/// Takes a lease on a file that it owns, and does not give it back when somebody wants to run the file.
const HOLD: &str = r#"
my ($set_lease, $write_lock) = (1024, 1);
$SIG{IO} = 'IGNORE';
open(my $file, "+<", $ARGV[0]) or die $!;
fcntl($file, $set_lease, $write_lock) or die $!;
$| = 1;
print "held\n";
sleep 1000;
"#;

/// Ends with the story.
struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Somebody of the service's user who holds its program.
fn hold(system: &System, program: &str) -> Option<Holder> {
    let mut command = Command::new(wants("perl", None)?);
    command.args(["-e", HOLD, program]).current_dir(system.path("app")).uid(NOBODY).gid(NOBODY);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("perl runs");
    let mut said = std::io::BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut said, &mut line).expect("read");
    let holder = Holder(child);
    assert_eq!(line, "held\n");
    Some(holder)
}

#[test]
fn a_program_that_its_user_holds_up_freezes_nobody_else() {
    if !is_root() {
        return;
    }
    let system = System::new(
        r#"
        [services.held]
        command = "./program"
        cwd = "app"
        user = "nobody"
        stop.timeout = "1s"
        [services.other]
        command = "sleep 1000"
        "#,
    );
    set_mode(&system.path(""), 0o711);
    fs::create_dir(system.path("app")).expect("made");
    fs::write(system.path("app/program"), "#!/bin/sh\nexec sleep 1000\n").expect("written");
    set_mode(&system.path("app/program"), 0o755);
    for path in ["app", "app/program"] {
        chown(system.path(path), Some(NOBODY), Some(NOBODY)).expect("root may");
    }
    let system = system.up_at_once();
    let executed = |pid: u32| fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let is_sleep =
        |pid: u32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default().starts_with(b"sleep");
    let before = system.until("held", "it is the program", |held| is_sleep(held.pid()));
    let (supervisor, other) = (system.supervisor(), system.service("other"));
    let Some(holder) = hold(&system, "program") else { return };
    kill(before.pid(), "KILL");
    let held = system.until("held", "its next start waits", |held| held.incarnation() > before.incarnation());
    kill(other.pid(), "KILL");
    system.until("other", "it is started again", |new| new.state() == "running" && new.pid() != other.pid());
    // The kernel ends the lease after 45 s: all of this was before.
    assert!(executed(held.pid()).ends_with("supervisor"), "{}", executed(held.pid()).display());
    assert_eq!(system.supervisor(), supervisor, "nobody took it for hung");

    // What hangs like this holds none of the supervisor's files, and is stopped as any other.
    let files = fs::read_dir(format!("/proc/{}/fd", held.pid())).expect("it lives").count();
    assert!(files <= 4, "{files} descriptors");
    system.ctl(&["stop", "held"]).succeeded();
    eventually("it is gone", || !fs::exists(format!("/proc/{}", held.pid())).unwrap_or(true));
    drop(holder);
    system.ctl(&["start", "held"]).succeeded();
    system.down();
}

#[test]
fn a_program_of_another_user_that_cannot_be_run_says_why() {
    if !is_root() {
        return;
    }
    let system = System::new(
        r#"
        [services.held]
        command = "./program"
        user = "nobody"
        restart = { initial = "100ms", max_wait = "200ms" }
        "#,
    );
    set_mode(&system.path(""), 0o711);
    fs::write(system.path("program"), "#!/no/such/program\n").expect("written");
    set_mode(&system.path("program"), 0o755);
    let system = system.up_at_once();
    system.until("held", "told", |held| {
        let reason = held.reason();
        reason.contains("could not start: executing") && reason.contains("No such file or directory")
    });
    system.down();
}
