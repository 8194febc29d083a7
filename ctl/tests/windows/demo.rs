//! The demo's stack, as `cargo deploy demo` starts it.

use crate::harness::{System, binaries, free_port, get};

const DEMO: &str = include_str!("../../../deploy/demo/sereno.toml");

#[test]
fn the_demo_is_healed_from_each_fault_and_seen_over_all_three_daemons() {
    let (backend, frontend) = (free_port(), free_port());
    let file = DEMO.replace("18000", &backend.to_string()).replace("15189", &frontend.to_string());
    let system = System::new(&file).with("DEMO_BIN", &binaries());
    let home = system.path(".sereno");
    let system = system.with("DEMO_HOME", &home).up();

    let status = system.until_attached();
    let endpoint = status["supervisor"]["endpoint"].as_str().unwrap_or_default();
    assert!(endpoint.starts_with("npipe://./pipe/sereno-"), "{status}");
    let table = system.ctl(&["status"]).succeeded().out;
    for part in ["demo-backend", "demo-frontend", "health-monitor", "port-monitor", "running"] {
        assert!(table.contains(part), "no {part} in\n{table}");
    }
    let untouched = system.service("demo-frontend");

    for (fault, reason) in [
        ("exit", "supervisor: exit 3 after"),
        ("sick", "health-monitor: health failed 2 of 2: 503"),
        ("hang", "health-monitor: health failed 2 of 2:"),
        ("close", "supervisor: restart accepted"),
    ] {
        let before = system.until("demo-backend", "well", |backend| {
            backend.state() == "running"
                && backend.check("port")["state"] == "passing"
                && backend.check("health")["state"] == "passing"
        });
        get(backend, &format!("/break/{fault}"));
        let after = system.until_restarted(&before);
        assert_eq!(after.number("restarts"), before.number("restarts") + 1, "{}", system.story());
        let why = system.why("demo-backend");
        assert!(why.iter().any(|line| line.contains(reason)), "{fault}: no {reason:?} in {why:#?}");
        assert!(why.last().is_some_and(|line| line.contains("ready after")), "{why:#?}");
    }

    let frontend = system.service("demo-frontend");
    assert_eq!((frontend.pid(), frontend.incarnation()), (untouched.pid(), untouched.incarnation()));
    system.down();
    assert_eq!(system.ctl(&["status"]).code, 3, "nobody answers any more");
}
