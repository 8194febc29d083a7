//! Who starts when, and who stops first.

use crate::harness::System;

#[test]
fn starts_in_order_stops_in_reverse_and_says_what_it_waits_for() {
    let system = System::new(
        r#"
        [services.job]
        shell = "sleep 0.3; echo job >> {here}/order"
        restart = { policy = "on-failure" }
        [services.db]
        shell = "while [ ! -e {here}/go ]; do sleep 0.02; done; echo db >> {here}/order; echo ready; trap 'echo -db >> {here}/order; exit 0' TERM; while :; do sleep 0.05; done"
        ready = { log = "^ready$" }
        [services.api]
        shell = "echo api >> {here}/order; trap 'sleep 0.3; echo -api >> {here}/order; exit 0' TERM; while :; do sleep 0.05; done"
        depends_on = { db = "ready", job = "completed" }
        "#,
    )
    .up_at_once();
    system.until_state("job", "completed");
    let waiting = system.until_state("api", "waiting");
    assert_eq!(waiting.reason(), "waits for db to be ready");
    assert_eq!(system.service("db").state(), "starting");
    std::fs::write(system.path("go"), "").expect("written");
    system.until_state("api", "running");
    assert_eq!(system.ctl(&["status"]).code, 0, "completed is as wanted");

    let stopped = system.ctl(&["stop", "db"]).succeeded();
    assert!(stopped.out.contains("api depends on it and stays up"), "{}", stopped.out);
    assert_eq!(system.service("api").state(), "running");
    system.ctl(&["start", "db"]).succeeded();
    system.down();
    let order = std::fs::read_to_string(system.path("order")).expect("written");
    let order: Vec<&str> = order.lines().collect();
    assert_eq!(order, ["job", "db", "api", "-db", "db", "-api", "-db"]);
}

#[test]
fn a_restart_is_passed_on_only_where_it_is_asked_for() {
    let system = System::new(
        r#"
        [services.db]
        command = "sleep 1000"
        [services.follows]
        command = "sleep 1000"
        depends_on = { db = { on = "ready", restart = true } }
        [services.stays]
        command = "sleep 1000"
        depends_on = ["db"]
        "#,
    )
    .up();
    let (follows, stays) = (system.service("follows"), system.service("stays"));
    system.ctl(&["restart", "db"]).succeeded();
    system.until_restarted(&follows);
    assert_eq!(system.service("stays").pid(), stays.pid());
}

#[test]
fn up_wait_says_at_once_that_somebody_waits_for_a_failed_one() {
    let system = System::new(
        r#"
        [services.db]
        command = "false"
        ready = "notify"
        restart = { max = 0 }
        [services.api]
        command = "sleep 1000"
        depends_on = ["db"]
        "#,
    );
    let answer = system.ctl(&["up", "-d", "--wait"]);
    assert_eq!(answer.code, 1);
    let said = format!("{}{}", answer.out, answer.err);
    assert!(said.contains("waits for db to be ready, but it failed"), "{said}");
}
