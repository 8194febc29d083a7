//! Restarted for a changed file: as a developer expects it, and only then.

use std::fs;

use crate::harness::{System, eventually, text};

const FILE: &str = r#"
    [services.web]
    command = ["sh", "-c", "cat src/main.txt; echo started >> src/own.db; exec sleep 600"]
    watch = { paths = ["src", "later.yaml"], ignore = ["*.db"], debounce = "100ms" }
"#;

fn system() -> System {
    let system = System::new(FILE);
    fs::create_dir(system.path("src")).expect("made");
    fs::write(system.path("src/main.txt"), "one\n").expect("written");
    system.up()
}

fn messages(system: &System, name: &str) -> Vec<String> {
    let events = system.ctl(&["events", name, "-n", "500", "--json"]).out;
    let events: serde_json::Value = serde_json::from_str(&events).expect("JSON");
    events["events"].as_array().expect("a list").iter().map(|event| text(&event["message"])).collect()
}

#[test]
fn a_change_restarts_it_and_why_names_the_file_and_nothing_else_restarts_it() {
    let system = system();
    let before = system.until("web", "looked at", |web| web.reason().starts_with("watch: later.yaml"));
    assert_eq!(before.state(), "running", "what can not be watched keeps nothing down");
    assert!(
        system.ctl(&["status"]).out.contains("later.yaml is not there"),
        "{}",
        system.ctl(&["status"]).out
    );
    fs::write(system.path("src/main.txt"), "two\n").expect("written");
    let after = system.until_restarted(&before);
    eventually("the new run has read the new file", || system.log("web.out.log").ends_with(b"two\n"));
    let why = system.why("web");
    assert_eq!(why[0], "supervisor: changed: src/main.txt", "{why:#?}");
    assert!(why.last().is_some_and(|line| line.contains("ready after")), "{why:#?}");
    assert_eq!((after.number("streak"), after.incarnation()), (0, 2), "its own.db is ignored");

    // What was missing comes, and is watched from then on.
    fs::write(system.path("later.yaml"), "x").expect("written");
    let came = system.until_restarted(&after);
    assert_eq!(system.why("web")[0], "supervisor: changed: later.yaml");
    system.until("web", "watched wholly", |web| web.reason().is_empty());
    assert_eq!(came.incarnation(), 3);
    system.down();
}

#[test]
fn who_has_given_up_begins_again_who_is_paused_or_stopped_does_not_and_apply_is_live() {
    let system = System::new(
        r#"
        [services.web]
        command = ["sh", "-c", "test -e fixed && exec sleep 600; exit 3"]
        restart = "never"
        watch = { debounce = "100ms" }
        # Shows that a change was seen.
        [services.witness]
        command = "sleep 600"
        watch = { debounce = "100ms" }
        "#,
    )
    .up_at_once();
    system.until_state("web", "failed");
    // The watch is begun by another thread: what is changed until it comes about is seen at last.
    let mut count = 0;
    eventually("it begins again", || {
        count += 1;
        fs::write(system.path("fixed"), count.to_string()).expect("written");
        system.service("web").state() == "running"
    });
    assert!(system.why("web")[0].starts_with("supervisor: changed: fixed"), "{:#?}", system.why("web"));

    system.ctl(&["pause", "web"]).succeeded();
    fs::write(system.path("a.txt"), "x").expect("written");
    let refused = |message: &String| message.ends_with("; not restarted: paused");
    eventually("it says that it is paused", || messages(&system, "web").iter().any(refused));
    system.ctl(&["stop", "web"]).succeeded();
    system.ctl(&["resume", "web"]).succeeded();
    let stopped = system.service("web");
    let before = messages(&system, "witness").len();
    fs::write(system.path("b.txt"), "x").expect("written");
    let seen = |message: &String| message.starts_with("changed: ");
    eventually("the change is seen", || messages(&system, "witness")[before..].iter().any(seen));
    let still = system.service("web");
    assert_eq!((still.state().as_str(), still.incarnation()), ("stopped", stopped.incarnation()));
    system.ctl(&["start", "web"]).succeeded();
    let started = system.service("web");

    // Without `watch` from now on; the process goes on.
    let file = fs::read_to_string(system.path("sereno.toml")).expect("there").replace("watch =", "# watch =");
    system.write(&file);
    system.ctl(&["apply"]).succeeded();
    assert_eq!(system.service("web").pid(), started.pid());
    system.down();
}
