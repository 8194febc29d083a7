//! As an init system sees the daemons: ready, alive, going.

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::harness::{System, binaries, eventually, kill, lives};

/// An init system that hears what one daemon says.
struct NotifyListener {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl NotifyListener {
    /// Starts a daemon as `Type=notify` with a short `WatchdogSec`.
    fn start(system: &System, program: &str, args: &[&str]) -> (Self, Child) {
        let path = system.path(&format!("{program}.notify"));
        let socket = UnixDatagram::bind(&path).expect("bound");
        socket.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
        let child = Command::new(binaries().join(program))
            .args(args)
            .current_dir(system.path(""))
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", "200000")
            .stdin(Stdio::null())
            .spawn()
            .expect("it starts");
        (Self { socket, heard: Vec::new() }, child)
    }

    /// Listens until a word comes.
    #[track_caller]
    fn until(&mut self, word: &str) {
        let mut buffer = [0; 256];
        while !self.heard.last().is_some_and(|heard| heard.lines().any(|line| line == word)) {
            let length = self.socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{word}: {error}"));
            self.heard.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
    }
}

#[test]
fn the_supervisor_says_that_it_is_ready_and_lives_and_leaves_the_services_to_the_next() {
    let system = System::new("[services.web]\ncommand = \"sleep 600\"\n");
    let (mut ears, mut child) = NotifyListener::start(&system, "supervisor", &["--file", "sereno.toml"]);
    ears.until("READY=1");
    assert_eq!(ears.heard, [format!("READY=1\nMAINPID={}", child.id())], "first of all");
    ears.until("WATCHDOG=1");
    let web = system.until_state("web", "running");
    kill(child.id(), "TERM");
    ears.until("STOPPING=1");
    assert!(child.wait().expect("it ends").success());
    assert!(lives(web.pid()), "a restart of the supervisor is none of the services");
}

#[test]
fn a_monitor_on_its_own_says_that_it_is_ready_and_lives_and_goes() {
    let system =
        System::new("[monitors.health-monitor]\nmanaged = false\n[services.web]\ncommand = \"sleep 600\"\n");
    let (supervisor, own) =
        ("unix://{}/.sereno/run/supervisor.sock", "unix://{}/.sereno/run/health-monitor.sock");
    let here = system.path("").display().to_string();
    let of = |uri: &str| uri.replace("{}", here.trim_end_matches('/'));
    let system = system.up_at_once();
    let args = ["--supervisor", &of(supervisor), "--listen", &of(own)];
    let (mut ears, mut child) = NotifyListener::start(&system, "health-monitor", &args);
    ears.until("READY=1");
    ears.until("WATCHDOG=1");
    ears.until("WATCHDOG=1");
    eventually("it is attached", || {
        let status = system.status();
        let monitors = status["monitors"].as_array().cloned().unwrap_or_default();
        monitors.iter().any(|monitor| monitor["name"] == "health-monitor" && monitor["attached"] == true)
    });
    kill(child.id(), "TERM");
    ears.until("STOPPING=1");
    assert!(child.wait().expect("it ends").success());
}
