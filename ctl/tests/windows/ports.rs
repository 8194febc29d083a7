//! Whose a port is.

use std::fs;
use std::net::TcpListener;

use crate::harness::{System, eventually, free_port, is_wine, text};

fn detail(system: &System) -> String {
    text(&system.service("web").check("port")["detail"])
}

#[test]
fn a_port_is_own_at_any_depth_and_a_stranger_is_named() {
    let port = free_port();
    let file = format!(
        "[services.web]\n{{actor listener}}\nport = {{ port = {port}, interval = \"6s\", timeout = \"5s\" }}\n"
    );
    let system = System::new(&file);
    fs::write(system.path("port"), port.to_string()).expect("written");
    let stranger = TcpListener::bind(("127.0.0.1", port)).expect("free a moment ago");

    system.ctl(&["up", "-d"]).succeeded();
    let me = std::process::id();
    if is_wine() {
        // It tells nobody who holds a port: then it is open, and no more is said.
        eventually("an open port", || detail(&system) == "unknown");
    } else {
        eventually("a named stranger", || detail(&system).starts_with(&format!("foreign pid {me} ")));
        assert!(detail(&system).contains("windows-"), "it is named: {}", detail(&system));
    }
    assert_eq!(system.service("web").incarnation(), 1, "nobody is restarted for it");

    drop(stranger);
    system.ctl(&["restart", "web"]).succeeded();
    let web = system.until("web", "well", |web| web.check("port")["state"] == "passing");
    assert_eq!(web.check("port")["detail"], if is_wine() { "unknown" } else { "own" }, "{}", web.0);
}
