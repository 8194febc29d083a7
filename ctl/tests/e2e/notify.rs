//! What a service says of itself: ready, what it is doing, and that it goes.

use crate::harness::{System, wants};

/// Says what it is told to, line by line.
const SPEAKER: &str = r#"
use Socket;
my $to = $ENV{NOTIFY_SOCKET};
$to =~ s/^@/\0/;
socket(my $speaker, PF_UNIX, SOCK_DGRAM, 0) or die $!;
sub say_it { send($speaker, $_[0], 0, pack_sockaddr_un($to)) or die $! }
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
    let is_root =
        std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    if !is_root {
        eprintln!("SKIPPED: only root may run a service as somebody else");
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
