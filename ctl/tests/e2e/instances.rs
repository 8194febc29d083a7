//! One table, several services: each has a name, a port and a fate of its own.

use crate::harness::{System, text};

/// The beginning of two ports that nobody listens on now, and that differ only in their last digit.
fn ports() -> u16 {
    let free = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    let start = crate::harness::free_port() / 10;
    (start..6_500)
        .chain(1_100..start)
        .find(|port| free(port * 10) && free(port * 10 + 1))
        .expect("ports are free")
}

fn names(system: &System) -> Vec<String> {
    let status = system.status();
    status["services"].as_array().into_iter().flatten().map(|service| text(&service["name"])).collect()
}

#[test]
fn each_is_a_service_of_its_own_and_the_name_means_them_all() {
    let port = ports();
    let system = System::new(&format!(
        r#"
        [services.web]
        command = ["{{bin}}/deploy", "demo-service", "--name", "web", "--port", "{port}${{INSTANCE}}"]
        instances = 2
        health = {{ url = "http://127.0.0.1:{port}${{INSTANCE}}/health", interval = "1s" }}
        port = "{port}${{INSTANCE}}"
        [services.proxy]
        command = "sleep 600"
        depends_on = ["web"]
        "#
    ))
    .up();
    assert_eq!(names(&system), ["proxy", "web:0", "web:1"]);
    let (zero, one) = (system.service("web:0"), system.service("web:1"));
    for (index, web) in [&zero, &one].into_iter().enumerate() {
        assert_eq!(web.check("port")["detail"], "own", "{}", web.0);
        assert!(text(&web.check("port")["target"]).ends_with(&format!("{port}{index}")), "{}", web.0);
    }

    crate::harness::kill(one.pid(), "KILL");
    let again = system.until_restarted(&one);
    assert!(system.why("web:1").iter().any(|line| line.contains("SIGKILL after")), "{}", system.story());
    assert_eq!(system.service("web:0").pid(), zero.pid(), "the other goes on");

    system.ctl(&["restart", "web"]).succeeded();
    assert_eq!(system.until_restarted(&zero).number("restarts"), 1);
    assert_eq!(system.until_restarted(&again).number("restarts"), 2);
    let why = system.ctl(&["why", "web"]);
    assert_eq!((why.code, why.err.trim()), (1, "ctl: web has instances: name one of web:0, web:1"));
    assert!(system.ctl(&["describe", "web:1"]).succeeded().out.contains("/health"));
    system.ctl(&["stop", "web:0"]).succeeded();
    let states = ["web:0", "web:1"].map(|name| system.service(name).state());
    assert_eq!(states, ["stopped", "running"]);
}

#[test]
fn a_command_that_checks_one_of_several_knows_which() {
    let system = System::new(
        r#"
        [services.web]
        command = "sleep 600"
        instances = 2
        env = { ROLE = "role${INSTANCE}" }
        checks.own = { kind = "exec", command = ["sh", "-c", "test $SERENO_INSTANCE-$ROLE = ${INSTANCE}-role$1", "sh", "${INSTANCE}"] }
        "#,
    )
    .up();
    for name in ["web:0", "web:1"] {
        assert_eq!(crate::harness::text(&system.service(name).check("own")["state"]), "passing");
    }
}

#[test]
fn more_are_started_and_fewer_are_stopped_and_the_rest_does_not_notice() {
    let file = |count: u32| {
        format!(
            r#"
            [services.job]
            shell = "echo I am $SERENO_INSTANCE; exec sleep 600"
            instances = {count}
            "#
        )
    };
    let system = System::new(&file(2)).up();
    let before = system.service("job:0");
    crate::harness::eventually("both have written", || {
        let out = system.ctl(&["logs", "job"]).out;
        let has = |name: &str, line: &str| out.lines().any(|l| l.starts_with(name) && l.ends_with(line));
        has("job:0", "I am 0") && has("job:1", "I am 1")
    });
    assert_eq!(system.log("job@1.out.log"), b"I am 1\n");

    system.write(&file(3));
    let plan = system.ctl(&["plan"]).out;
    assert!(plan.lines().any(|line| line.contains("job:2") && line.contains("start")), "{plan}");
    system.ctl(&["apply"]).succeeded();
    system.until_state("job:2", "running");

    // What was applied is what the next supervisor reads.
    let supervisor = system.supervisor();
    crate::harness::kill(supervisor, "KILL");
    crate::harness::eventually("another supervisor", || {
        system.supervisor() != supervisor && names(&system) == ["job:0", "job:1", "job:2"]
    });

    system.write(&file(1));
    system.ctl(&["apply"]).succeeded();
    crate::harness::eventually("only one is left", || names(&system) == ["job:0"]);
    let after = system.service("job:0");
    assert_eq!((after.pid(), after.number("restarts")), (before.pid(), 0), "it did not notice");
}
