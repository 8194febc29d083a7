//! A program in another language, made from the `.proto` files alone, lists services, watches targets, reports and asks.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Answer, System, free_port, text, wants};

const CLIENT: &str = include_str!("client.py");

/// A python with grpcio; without it the story is skipped aloud, or fails where it must not be.
pub(crate) fn python() -> Option<PathBuf> {
    let python = std::env::var_os("SERENO_TEST_PYTHON").map(PathBuf::from);
    let python = wants("python", python)?;
    let has_grpc = Command::new(&python).args(["-c", "import grpc, grpc_tools"]).output();
    if has_grpc.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    assert!(std::env::var_os("SERENO_TEST_PYTHON").is_none(), "that python has no grpcio and grpcio-tools");
    eprintln!("SKIPPED: python has no grpcio and grpcio-tools");
    None
}

/// The monitor in Python that lies with the examples.
pub(crate) fn disk_monitor() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples/monitor-python/disk_monitor.py")
}

#[test]
fn a_monitor_in_python_watches_and_restarts() {
    let Some(python) = python() else { return };
    let system = System::new(&format!(
        r#"
        [monitors.disk]
        program = "{}"
        args = ["{}"]
        [services.recorder]
        shell = "mkdir -p room && exec sleep 1000"
        stop.timeout = "1s"
        checks.room = {{ kind = "disk", interval = "1s", timeout = "900ms", options = {{ path = "{{here}}/room", free_percent = 0 }} }}
        "#,
        python.display(),
        disk_monitor().display()
    ))
    .up();
    let first = system.service("recorder");
    let seen = first.check("room");
    assert_eq!(
        (text(&seen["monitor"]).as_str(), text(&seen["state"]).as_str()),
        ("disk", "passing"),
        "{seen}"
    );
    // The room goes; the service makes it anew whenever it begins.
    std::fs::remove_dir(system.path("room")).expect("removed");
    system.until_restarted(&first);
    let why = system.why("recorder").join("\n");
    assert!(why.contains("disk: room failed 3 of 3: [Errno 2] No such file"), "{why}");
    system.until("recorder", "passing again", |now| now.check("room")["state"] == "passing");
    system.down();
}

#[test]
fn python_speaks_the_contract_over_the_unix_socket() {
    let Some(python) = python() else { return };
    let port = free_port();
    let system = System::new(&format!(
        r#"
        [monitors.disk]
        kind = "disk"
        managed = false
        [services.web]
        command = "sleep 1000"
        ready = "started"
        checks.space = {{ kind = "disk", options = {{ path = "/", port = "{port}" }} }}
        "#
    ))
    .up();
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/proto");
    std::fs::write(system.path("client.py"), CLIENT).expect("written");
    let output = Command::new(&python)
        .arg(system.path("client.py"))
        .arg(&contract)
        .arg(system.path(".sereno/run/supervisor.sock"))
        .current_dir(system.path(""))
        .output()
        .expect("python runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.lines().last(), Some("all well"), "{said}");
    let why = Answer { code: 0, out: system.why("web").join("\n"), err: String::new() };
    assert!(why.out.contains("disk: space failed 3 of 3: 1 MB free"), "{}", why.out);
}
