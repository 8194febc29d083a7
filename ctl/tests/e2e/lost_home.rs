//! Home is deleted or moved while everything runs: it is there again, with the same processes, or everything ends. There is
//! never a supervisor that nobody can reach.

use std::fs;
use std::process::Command;

use crate::harness::{Service, System, eventually, kill, lives, poll};

const TALKS: &str = r#"
[services.web]
command = ["sh", "-c", "n=0; while :; do n=$((n+1)); echo line $n; sleep 0.02; done"]
[services.db]
command = "sleep 1000"
"#;

/// Brings it up; its services, and the supervisor's pid.
fn running() -> (System, Service, Service, u32) {
    let system = System::new(TALKS).up();
    let (web, db) = (system.until_state("web", "running"), system.until_state("db", "running"));
    let supervisor = system.supervisor();
    (system, web, db, supervisor)
}

/// The number of the last line that is kept of `web`.
fn last_line(system: &System) -> u32 {
    let log = String::from_utf8(system.log("web.out.log")).unwrap_or_default();
    let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().last().and_then(|line| line.strip_prefix("line ")?.parse().ok()).unwrap_or(0)
}

/// Waits until home is there again, with the same supervisor and monitors that are attached.
#[track_caller]
fn there_again(system: &System, supervisor: u32) {
    let again = poll(|| {
        let status = system.status();
        let monitors = status["monitors"].as_array().cloned().unwrap_or_default();
        let notice =
            status["supervisor"]["notice"].as_str().is_some_and(|notice| notice.contains("made anew"));
        let attached = monitors.iter().all(|monitor| monitor["state"] == "up");
        status["supervisor"]["pid"] == supervisor && notice && attached && monitors.len() == 2
    });
    assert!(again, "{}\n{}", system.status(), system.story());
    let lock = fs::read_to_string(system.path(".sereno/run/supervisor.lock")).unwrap_or_default();
    assert_eq!(lock.trim(), supervisor.to_string());
}

#[track_caller]
fn goes_on(system: &System, before: [&Service; 2]) {
    for before in before {
        let now = system.service(&before.name());
        assert_eq!(now.pid(), before.pid(), "{}", system.story());
    }
    goes_on_writing(system);
}

#[track_caller]
fn goes_on_writing(system: &System) {
    let seen = system.log("web.out.log").len();
    eventually("what it writes is kept", || system.log("web.out.log").len() > seen);
}

#[test]
fn a_deleted_home_is_made_anew_with_everything_in_it() {
    let (system, web, db, supervisor) = running();
    fs::remove_dir_all(system.path(".sereno")).expect("deleted");
    there_again(&system, supervisor);
    goes_on(&system, [&web, &db]);
    let lines: Vec<u32> = String::from_utf8_lossy(&system.log("web.out.log"))
        .lines()
        .filter_map(|line| line.strip_prefix("line ")?.parse().ok())
        .collect();
    assert!(lines.windows(2).all(|two| two[1] == two[0] + 1), "nothing is lost in between: {lines:?}");
    let events = system.ctl(&["events"]).out;
    assert!(events.contains("made anew"), "{events}");
    assert!(events.contains("start pid"), "what was before is in the new journal: {events}");
    let applied = system.ctl(&["up", "-d"]).succeeded();
    assert!(applied.out.contains("applied"), "no second supervisor: {}", applied.out);
    assert!(system.status()["supervisor"]["notice"].is_null(), "it was read");
    // The next run has outputs with names.
    system.ctl(&["restart", "web"]).succeeded();
    let seen = system.until_restarted(&web);
    assert_ne!(seen.pid(), web.pid());
    goes_on_writing(&system);
    assert!(system.path(".sereno/run/fifo/web.out").exists());
    system.down();
}

#[test]
fn a_part_of_home_and_a_moved_home_are_made_anew() {
    let (system, web, db, supervisor) = running();
    fs::remove_dir_all(system.path(".sereno/run")).expect("deleted");
    there_again(&system, supervisor);
    goes_on(&system, [&web, &db]);
    system.ctl(&["apply"]).succeeded();
    fs::remove_file(system.path(".sereno/run/supervisor.sock")).expect("deleted");
    there_again(&system, supervisor);
    goes_on(&system, [&web, &db]);
    system.ctl(&["apply"]).succeeded();
    // The next run has a FIFO with a name, and the one after it makes its own where that is gone.
    system.ctl(&["restart", "web"]).succeeded();
    let named = system.until_restarted(&web);
    fs::remove_file(system.path(".sereno/run/fifo/web.out")).expect("deleted");
    system.ctl(&["restart", "web"]).succeeded();
    let web = system.until_restarted(&named);
    goes_on_writing(&system);
    fs::rename(system.path(".sereno"), system.path("moved")).expect("moved");
    there_again(&system, supervisor);
    goes_on(&system, [&web, &db]);
    let moved = system.path("moved").display().to_string();
    let twin =
        Command::new(crate::harness::binaries().join("supervisor")).args(["--resume", &moved]).output();
    let twin = String::from_utf8_lossy(&twin.expect("it runs").stderr).into_owned();
    assert!(twin.contains("already running"), "what runs here is not taken up there: {twin}");
}

#[test]
fn a_supervisor_that_dies_after_it_is_adopted_as_ever() {
    let (system, web, db, supervisor) = running();
    fs::remove_dir_all(system.path(".sereno")).expect("deleted");
    there_again(&system, supervisor);
    kill(supervisor, "KILL");
    eventually("there is another", || {
        let pid = system.status()["supervisor"]["pid"].as_u64();
        pid.is_some_and(|pid| pid != u64::from(supervisor))
    });
    goes_on(&system, [&web, &db]);
    kill(web.pid(), "KILL");
    system.until_restarted(&web);
    eventually("the new run is kept", || last_line(&system) > 0);
    system.down();
    assert!(!lives(db.pid()));
}

#[test]
fn up_at_once_after_it_finds_one_supervisor() {
    let (system, _, db, supervisor) = running();
    fs::remove_dir_all(system.path(".sereno")).expect("deleted");
    system.ctl(&["up", "-d"]);
    // Whoever was faster: there is one supervisor, and one of each service.
    eventually("one of each", || {
        let now = system.service("db").pid();
        let first = lives(supervisor) && now == db.pid();
        let second = !lives(supervisor) && !lives(db.pid()) && lives(now);
        first || second
    });
}

#[test]
fn deleted_again_and_again_it_is_there_in_the_end() {
    let (system, web, db, supervisor) = running();
    for _ in 0..5 {
        eventually("there is something", || system.path(".sereno/run/supervisor.lock").exists());
        let _ = fs::remove_dir_all(system.path(".sereno"));
    }
    // A deletion that met the making of it may have left a part.
    let parts = [
        "journal",
        "log",
        "state/applied.toml",
        "state/applied.json",
        "state/instance",
        "run/fifo",
        "run/notify",
        "run/supervisor.lock",
        "run/wal",
    ];
    eventually("all of it is there", || {
        parts.iter().all(|part| system.path(".sereno").join(part).exists())
            && system.ctl(&["status"]).code == 0
    });
    there_again(&system, supervisor);
    goes_on(&system, [&web, &db]);
}

#[test]
fn without_a_place_for_home_everything_ends() {
    let (system, web, db, supervisor) = running();
    // So that it does not come in between.
    kill(supervisor, "STOP");
    fs::rename(system.path(".sereno"), system.path("moved")).expect("moved");
    fs::write(system.path(".sereno"), "a file").expect("written");
    kill(supervisor, "CONT");
    eventually("everything ends", || ![supervisor, web.pid(), db.pid()].iter().any(|pid| lives(*pid)));
    let log = fs::read_to_string(system.path("moved/log/supervisor.log")).unwrap_or_default();
    assert!(log.contains("can not be made anew"), "{log}");
    fs::remove_file(system.path(".sereno")).expect("deleted");
}

#[test]
fn with_its_project_deleted_everything_ends() {
    let (system, web, db, supervisor) = running();
    let folder = system.path("");
    let aside = folder.with_extension("aside");
    fs::rename(&folder, &aside).expect("moved");
    eventually("everything ends", || ![supervisor, web.pid(), db.pid()].iter().any(|pid| lives(*pid)));
    assert!(!folder.exists(), "nothing is left where it was");
    fs::rename(&aside, &folder).expect("moved back");
}
