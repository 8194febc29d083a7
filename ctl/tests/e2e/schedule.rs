//! Jobs, and restarts at certain times: run once each time, ended if they take too long, never forgotten.

use std::fs;

use crate::harness::{System, eventually, kill, text};

/// At every second, so that no story waits for a minute.
const ALWAYS: &str = "* * * * * *";

fn messages(system: &System, name: &str) -> Vec<String> {
    let events = system.ctl(&["events", name, "-n", "500", "--json"]).out;
    let events: serde_json::Value = serde_json::from_str(&events).expect("JSON");
    events["events"].as_array().expect("a list").iter().map(|event| text(&event["message"])).collect()
}

#[test]
fn a_job_waits_for_its_time_runs_by_hand_and_a_failed_run_is_shown_until_the_next() {
    let system = System::new(
        r#"
        [services.report]
        command = ["sh", "-c", "test ! -e broken || exit 3"]
        schedule = { cron = "0 3 1 1 *", timezone = "Europe/Madrid" }
        [services.web]
        command = "sleep 600"
        restart.cron = "0 4 1 1 *"
        "#,
    )
    .up();
    let armed = system.service("report");
    assert_eq!((armed.state().as_str(), armed.incarnation()), ("completed", 0), "ready, and not run");
    assert_eq!(armed.reason(), "has not run yet");
    assert!(text(&armed.0["next_run"]).ends_with("-01-01T02:00:00.000Z"), "{}", armed.0["next_run"]);
    assert!(!text(&system.service("web").0["next_run"]).is_empty());
    let again = system.ctl(&["up", "-d"]).succeeded();
    assert!(!again.out.contains("start"), "it waits already: {}", again.out);
    let table = system.well();
    assert!(table.contains("next run"), "{table}");

    system.ctl(&["start", "report"]).succeeded();
    let ran = system.until("report", "run", |now| now.state() == "completed" && now.incarnation() == 1);
    assert_eq!((ran.incarnation(), ran.number("restarts"), ran.number("streak")), (1, 0, 0));
    assert!(ran.reason().is_empty(), "{}", ran.reason());

    fs::write(system.path("broken"), "").expect("written");
    system.ctl(&["start", "report"]);
    let failed = system.until_state("report", "failed");
    assert_eq!((failed.reason().as_str(), failed.number("restarts")), ("exit 3", 0));
    assert!(!text(&failed.0["next_run"]).is_empty(), "its next time stands");
    assert!(
        system.why("report").iter().any(|line| line.ends_with("failed: exit 3")),
        "{:?}",
        system.why("report")
    );
    assert_eq!(system.ctl(&["status"]).code, 1);
    // Brought up once more, it still waits for its time.
    system.ctl(&["up", "-d"]).succeeded();
    assert_eq!(system.service("report").incarnation(), 2);
    system.ctl(&["stop", "report"]).succeeded();
    let stopped = system.service("report");
    assert_eq!((stopped.state().as_str(), stopped.0["next_run"].is_null()), ("stopped", true));
    system.down();
}

#[test]
fn its_time_comes_again_and_again_and_a_run_that_takes_too_long_is_ended() {
    let system = System::new(&format!(
        r#"
        [services.tick]
        command = ["sh", "-c", "echo tick"]
        schedule = "{ALWAYS}"
        [services.long]
        command = "sleep 600"
        schedule = {{ cron = "{ALWAYS}", timeout = "1s" }}
        [services.killed]
        command = "sleep 600"
        schedule = {{ cron = "{ALWAYS}", overlap = "kill" }}
        [services.web]
        command = "sleep 600"
        restart.cron = "{ALWAYS}"
        "#
    ))
    .up_at_once();
    system.until("tick", "run three times", |tick| tick.incarnation() >= 3);
    eventually("its output is kept", || system.log("tick.out.log").starts_with(b"tick\ntick\ntick\n"));
    assert_eq!(system.service("tick").number("restarts"), 0, "no run is a restart of another");
    let tick = messages(&system, "tick");
    assert!(tick.iter().any(|message| message == &format!("run at its time ({ALWAYS})")), "{tick:#?}");

    system.until("web", "restarted three times", |web| web.number("restarts") >= 3);
    let web = messages(&system, "web");
    assert!(web.iter().any(|message| message == &format!("restart at its time ({ALWAYS})")), "{web:#?}");
    assert_eq!(system.service("web").number("streak"), 0);

    let killed = system.until("killed", "run again and again", |killed| killed.incarnation() >= 3);
    assert_eq!((killed.number("streak"), killed.number("restarts")), (0, 0), "no crash, no restart");
    let said = "run at its time: the last run is ended for it";
    assert!(messages(&system, "killed").iter().any(|message| message == said));

    eventually("it is ended, and said so", || {
        let long = messages(&system, "long");
        let said = |words: &str| long.iter().any(|message| message == words);
        said("not done after 1s: ended") && said("failed: not done in time: SIGTERM")
    });
    assert!(
        messages(&system, "long")
            .iter()
            .any(|message| message == "no run at its time: the last one still goes")
    );
    system.down();
}

#[test]
fn a_run_outlives_its_supervisor_and_what_was_missed_meanwhile_is_made_up_for_once() {
    let system = System::new(&format!(
        r#"
        [supervisor]
        guard = false
        [services.slow]
        command = "sleep 600"
        schedule = {{ cron = "{ALWAYS}", overlap = "queue" }}
        [services.quick]
        command = "true"
        schedule = "{ALWAYS}"
        "#
    ))
    .up_at_once();
    let slow = system.until_state("slow", "running");
    eventually("its next time waits", || {
        messages(&system, "slow")
            .iter()
            .any(|message| message == "its time has come: it runs after the last one")
    });
    kill(system.supervisor(), "KILL");
    system.ctl(&["up", "-d"]).succeeded();
    let adopted = system.until_state("slow", "running");
    assert_eq!((adopted.pid(), adopted.incarnation()), (slow.pid(), slow.incarnation()));
    let before = system.service("quick").incarnation();
    system.until("quick", "run again", |quick| quick.incarnation() > before);
    // The run that waited comes when this one ends, and not before.
    kill(slow.pid(), "TERM");
    let next = system.until("slow", "run again", |now| now.incarnation() > slow.incarnation());
    assert_eq!(next.incarnation(), slow.incarnation() + 1);
    system.down();
}

#[test]
fn a_service_becomes_a_job_and_a_job_a_service_as_the_file_says() {
    let file = |more: &str| format!("[services.web]\ncommand = \"sleep 600\"\n{more}");
    let system = System::new(&file("")).up();
    let service = system.service("web");
    system.write(&file("schedule = \"0 3 1 1 *\"\n"));
    system.ctl(&["apply"]).succeeded();
    let job = system.until_state("web", "completed");
    assert_eq!(
        (job.incarnation(), job.pid(), job.reason().as_str()),
        (service.incarnation(), 0, "has not run yet")
    );
    // A run goes on with the settings that it began with.
    system.ctl(&["start", "web"]).succeeded();
    let run = system.until_state("web", "running");
    system.write(&file("schedule = \"0 4 1 1 *\"\nenv = { A = 1 }\n"));
    let plan = system.ctl(&["apply"]).succeeded().out;
    assert!(!plan.contains("restart"), "{plan}");
    assert_eq!(system.service("web").pid(), run.pid());
    kill(run.pid(), "TERM");
    system.until_state("web", "failed");
    system.write(&file(""));
    system.ctl(&["apply"]).succeeded();
    system.until_state("web", "running");
    assert!(system.service("web").0["next_run"].is_null());
    system.down();
}

#[test]
fn a_run_goes_on_over_an_upgrade() {
    let system = System::new("[services.job]\ncommand = \"sleep 600\"\nschedule = \"0 3 1 1 *\"\n").up();
    system.ctl(&["start", "job"]).succeeded();
    let before = system.until_state("job", "running");
    system.ctl(&["upgrade"]).succeeded();
    let after = system.until_state("job", "running");
    assert_eq!((after.pid(), after.incarnation()), (before.pid(), 1));
    assert_eq!(after.0["next_run"], before.0["next_run"]);
    kill(after.pid(), "TERM");
    let ended = system.until_state("job", "failed");
    assert_eq!((ended.reason().as_str(), ended.number("streak")), ("SIGTERM", 0));
    system.down();
}

#[test]
fn a_time_that_passes_while_it_is_stopped_or_paused_is_not_made_up_for() {
    let system = System::new(&format!(
        r#"
        [services.job]
        command = "true"
        schedule = "{ALWAYS}"
        [services.witness]
        command = "true"
        schedule = "{ALWAYS}"
        "#
    ))
    .up_at_once();
    system.until("job", "run", |job| job.incarnation() >= 1);
    for (off, on) in [("stop", &["up", "-d"][..]), ("pause", &["resume", "job"][..])] {
        system.ctl(&[off, "job"]).succeeded();
        let before = system.until("job", "down", |job| job.pid() == 0);
        let seen = system.service("witness").incarnation();
        system.until("witness", "run twice", |witness| witness.incarnation() >= seen + 2);
        assert_eq!(system.service("job").incarnation(), before.incarnation(), "{off}");
        system.ctl(on).succeeded();
        system.until("job", "run again", |job| job.incarnation() > before.incarnation());
    }
    let job = messages(&system, "job");
    assert!(!job.iter().any(|message| message.contains("late")), "{job:#?}");
    assert!(job.iter().filter(|message| *message == "no run at its time: paused").count() <= 1, "{job:#?}");
    system.down();
}
