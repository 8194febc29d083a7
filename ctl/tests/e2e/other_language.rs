//! A program in another language, made from the `.proto` files alone, lists services, watches targets, reports and asks.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Answer, System, free_port, wants};

const CLIENT: &str = include_str!("client.py");

#[test]
fn python_speaks_the_contract_over_the_unix_socket() {
    let python = std::env::var_os("SERENO_TEST_PYTHON").map(PathBuf::from);
    let Some(python) = wants("python", python) else { return };
    let has_grpc = Command::new(&python).args(["-c", "import grpc, grpc_tools"]).output();
    if !has_grpc.is_ok_and(|output| output.status.success()) {
        assert!(
            std::env::var_os("SERENO_TEST_PYTHON").is_none(),
            "that python has no grpcio and grpcio-tools"
        );
        eprintln!("SKIPPED: python has no grpcio and grpcio-tools");
        return;
    }
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
