//! What a service says of itself: ready, what it is doing, and that it goes.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{System, wants};
use crate::other_users::{NOBODY, is_root};

/// Says what it is told to, line by line.
const SPEAKER: &str = r#"
use Socket;
socket(my $speaker, PF_UNIX, SOCK_DGRAM, 0) or die $!;
sub say_it { send($speaker, $_[0], 0, pack_sockaddr_un($ENV{NOTIFY_SOCKET})) or die $! }
say_it("STATUS=loading 3 of 9");
open(my $words, "+<", $ARGV[0]) or die $!;
while (my $line = <$words>) {
    chomp $line;
    $line =~ s/ ; /\n/g;
    say_it($line);
}
"#;

fn speaker(more: &str) -> Option<System> {
    let perl = wants("perl", None)?;
    let system = System::new(&format!(
        r#"
        [services.app]
        command = ["{}", "-e", '''{SPEAKER}''', "{{here}}/words"]
        cwd = "/"
        ready = "notify"
        {more}
        "#,
        perl.display()
    ));
    let made = std::process::Command::new("mkfifo").arg(system.path("words")).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo is there");
    for (path, mode) in [(system.path(""), 0o711), (system.path("words"), 0o666)] {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).expect("ours");
    }
    Some(system.up_at_once())
}

#[track_caller]
fn tells(system: &System) {
    let app = system.until("app", "heard", |app| app.0["status_text"] == "loading 3 of 9");
    assert_eq!((app.state().as_str(), app.reason().as_str()), ("starting", "waits for READY=1"));
    std::fs::write(system.path("words"), "MAINPID=1 ; STATUS=serving ; READY=1\n").expect("read by it");
    system.until("app", "ready and serving", |app| {
        app.state() == "running" && app.0["status_text"] == "serving" && app.reason().is_empty()
    });
    let table = system.well();
    assert!(table.contains("  says: serving"), "{table}");
    let sheet = system.ctl(&["describe", "app"]).succeeded().out;
    assert!(sheet.contains("says") && sheet.contains("serving"), "{sheet}");

    std::fs::write(system.path("words"), "STOPPING=1\n").expect("read by it");
    system.until("app", "on its way", |app| app.reason() == "says that it is stopping");
}

#[test]
fn a_service_says_what_it_does_and_that_it_goes() {
    let Some(system) = speaker("") else { return };
    tells(&system);
    // A new run has said nothing yet.
    let before = system.service("app");
    system.ctl(&["restart", "app", "--timeout", "50ms"]);
    system.until("app", "new", |app| {
        app.incarnation() > before.incarnation() && app.0["status_text"] == "loading 3 of 9"
    });
}

#[test]
fn so_does_one_that_runs_as_somebody_else_and_can_not_enter_our_folders() {
    if !is_root() {
        return;
    }
    let Some(system) = speaker("user = \"nobody\"") else { return };
    let supervisor = system.supervisor();
    tells(&system);
    // The socket lives on with whoever keeps it, and is taken up by the next supervisor.
    crate::harness::kill(supervisor, "KILL");
    crate::harness::eventually("another supervisor", || system.supervisor() != supervisor);
    std::fs::write(system.path("words"), "STATUS=still here\n").expect("read by it");
    system.until("app", "heard again", |app| app.0["status_text"] == "still here");
}

/// Where the service sends its messages.
fn socket_of(system: &System) -> PathBuf {
    let environ = std::fs::read(format!("/proc/{}/environ", system.service("app").pid())).expect("it runs");
    let variables = String::from_utf8_lossy(&environ);
    let path = variables.split('\0').find_map(|variable| variable.strip_prefix("NOTIFY_SOCKET="));
    path.expect("it is told where").into()
}

/// What a user who sends a message to a socket is told: nothing, or why not.
fn sent_by(user: u32, socket: &Path, message: &str) -> String {
    let script = r#"
        use Socket;
        socket(my $speaker, PF_UNIX, SOCK_DGRAM, 0) or die $!;
        send($speaker, $ARGV[1], 0, pack_sockaddr_un($ARGV[0])) or print "$!";
        sleep 1;
    "#;
    let mut command = Command::new("perl");
    command.args(["-e", script]).arg(socket).arg(message).current_dir("/").uid(user).gid(user);
    String::from_utf8_lossy(&command.output().expect("perl runs").stdout).into_owned()
}

#[test]
fn no_other_user_reaches_its_socket_or_takes_its_place() {
    if !is_root() {
        return;
    }
    let Some(system) = speaker("user = \"nobody\"") else { return };
    system.until("app", "heard", |app| app.0["status_text"] == "loading 3 of 9");
    let socket = socket_of(&system);
    assert!(socket.is_absolute(), "a name without a folder is open to everybody: {}", socket.display());
    assert_eq!(sent_by(1, &socket, "READY=1"), "Permission denied");
    let found = std::fs::metadata(&socket).expect("it is there");
    assert_eq!((found.uid(), found.mode() & 0o777), (NOBODY, 0o600));
    // Not even its own user replaces what lies in that folder.
    let folder = std::fs::metadata(socket.parent().expect("a folder")).expect("it is there");
    assert_eq!((folder.uid(), folder.mode() & 0o777), (0, 0o711));
    system.ctl(&["down"]).succeeded();
    assert!(!socket.exists() && !socket.parent().expect("a folder").exists(), "nothing is left");
}

/// Says something from a child, and that it is ready once a file is there.
const PARENT: &str = r#"
use Socket;
if (fork) { wait; sleep 1000 }
socket(my $speaker, PF_UNIX, SOCK_DGRAM, 0) or die $!;
sub say_it { send($speaker, $_[0], 0, pack_sockaddr_un($ENV{NOTIFY_SOCKET})) or die $! }
say_it("STATUS=from a child");
select(undef, undef, undef, 0.01) until -e "go";
say_it("READY=1");
sleep 1000;
"#;

fn only_its_own_processes_are_heard(prepare: impl Fn(System) -> System) {
    let Some(perl) = wants("perl", None).filter(|_| is_root()) else { return };
    let system = System::new(&format!(
        r#"
        [services.app]
        command = ["{}", "-e", '''{PARENT}''']
        user = "nobody"
        ready = "notify"
        "#,
        perl.display()
    ));
    std::fs::set_permissions(system.path(""), std::os::unix::fs::PermissionsExt::from_mode(0o711))
        .expect("ours");
    let system = prepare(system).up_at_once();
    system.until("app", "its child is heard", |app| app.0["status_text"] == "from a child");
    // The same user, and root: neither is the service.
    for user in [NOBODY, 0] {
        assert_eq!(sent_by(user, &socket_of(&system), "READY=1\nSTATUS=forged"), "", "it can be sent");
    }
    let log = || std::fs::read_to_string(system.path(".sereno/log/supervisor.log")).unwrap_or_default();
    crate::harness::eventually("it is told", || log().contains("a message to its notify socket was ignored"));
    let app = system.service("app");
    assert_eq!((app.state().as_str(), &app.0["status_text"]), ("starting", &"from a child".into()));
    std::fs::write(system.path("go"), "").expect("written");
    system.until("app", "ready", |app| app.state() == "running");
    system.down();
}

#[test]
fn only_its_own_processes_are_heard_as_the_cgroup_tells() {
    only_its_own_processes_are_heard(|system| system);
}

#[test]
fn only_its_own_processes_are_heard_without_cgroups() {
    only_its_own_processes_are_heard(System::without_cgroups);
}

#[test]
fn a_start_without_its_socket_says_so_and_the_next_one_has_it() {
    let Some(system) = speaker("restart = { initial = \"100ms\", max_wait = \"200ms\" }") else { return };
    system.until("app", "heard", |app| app.0["status_text"] == "loading 3 of 9");
    // Its socket goes, and something else takes its place.
    let socket = socket_of(&system);
    std::fs::remove_file(&socket).expect("ours");
    std::fs::create_dir(&socket).expect("made");
    system.ctl(&["restart", "app", "--timeout", "50ms"]);
    system.until("app", "told", |app| app.reason().contains("its notify socket: Is a directory"));
    std::fs::remove_dir(&socket).expect("ours");
    system.until("app", "heard again", |app| app.0["status_text"] == "loading 3 of 9");
}
