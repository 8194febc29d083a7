//! Three machines, as far as the kernel can tell: each daemon in a network namespace of its own, TLS between them.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Answer, Service, System, binaries, eventually, lives, wants};

const WEB: &str = r#"
import http.server, os
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        well = not os.path.exists("sick")
        self.send_response(200 if well else 503)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok" if well else b"no")
    def log_message(self, *args):
        print("asked", flush=True)
http.server.ThreadingHTTPServer(("0.0.0.0", 8000), Page).serve_forever()
"#;

/// A command that must work.
#[track_caller]
fn run(line: &str) {
    assert!(works(line), "{line}");
}

fn works(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    Command::new(words[0])
        .args(&words[1..])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// `hub` with a line to each of the others; gone at the end with everything in them.
struct Net {
    id: u32,
    monitors: Vec<Child>,
}

impl Net {
    /// `None`: said aloud that this can not be had here.
    fn lay() -> Option<Self> {
        let ip = wants("ip", None)?;
        let id = std::process::id();
        let net = Self { id, monitors: Vec::new() };
        if !works(&format!("{} netns add {}", ip.display(), net.name("hub"))) {
            let required = std::env::var("SERENO_TEST_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|name| name == "netns"), "network namespaces are required here");
            eprintln!("SKIPPED: no network namespace can be made (only root can)");
            return None;
        }
        let hub = net.name("hub");
        run(&format!("ip -n {hub} link set lo up"));
        for (n, end) in [(1, "one"), (2, "two")] {
            let name = net.name(end);
            run(&format!("ip netns add {name}"));
            run(&format!("ip -n {hub} link add to{n} type veth peer name eth0 netns {name}"));
            run(&format!("ip -n {hub} addr add 10.77.{n}.1/24 dev to{n}"));
            run(&format!("ip -n {name} addr add 10.77.{n}.2/24 dev eth0"));
            for (space, device) in [(&hub, format!("to{n}")), (&name, "eth0".into()), (&name, "lo".into())] {
                run(&format!("ip -n {space} link set {device} up"));
            }
        }
        Some(net)
    }

    fn name(&self, end: &str) -> String {
        format!("sn{}-{end}", self.id)
    }

    /// Makes a command run inside.
    fn inside(&self, end: &str, command: &Command) -> Command {
        let mut inside = Command::new("ip");
        inside.args(["netns", "exec", &self.name(end)]).arg(command.get_program()).args(command.get_args());
        inside.stdin(Stdio::null());
        if let Some(folder) = command.get_current_dir() {
            inside.current_dir(folder);
        }
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside
    }

    /// `ctl` on the supervisor's machine.
    fn ctl(&self, system: &System, args: &[&str]) -> Answer {
        let output = self.inside("hub", &system.command(args)).output().expect("runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Answer {
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    fn status(&self, system: &System) -> Value {
        serde_json::from_str(&self.ctl(system, &["status", "--json"]).out).unwrap_or(Value::Null)
    }

    fn start(&mut self, end: &str, monitor: &str, file: &Path) {
        let mut command = Command::new(binaries().join(monitor));
        command.arg("--config").arg(file);
        let log = std::fs::File::create(file.with_extension("log")).expect("a log");
        let mut inside = self.inside(end, &command);
        self.monitors.push(inside.stdout(Stdio::null()).stderr(log).spawn().expect("runs"));
    }

    fn link(&self, n: u8, state: &str) {
        run(&format!("ip -n {} link set to{n} {state}", self.name("hub")));
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for monitor in &mut self.monitors {
            let _ = monitor.kill();
            let _ = monitor.wait();
        }
        for end in ["hub", "one", "two"] {
            works(&format!("ip netns del {}", self.name(end)));
        }
    }
}

fn monitor(status: &Value, name: &str) -> Value {
    let all = status["monitors"].as_array().cloned().unwrap_or_default();
    all.into_iter().find(|monitor| monitor["name"] == name).unwrap_or(Value::Null)
}

/// Whether both monitors answer, are attached, and say of their own check that it passes.
fn all_is_seen(status: &Value) -> bool {
    let web = Service::of(status, "web");
    ["health-monitor", "port-monitor"].iter().all(|name| monitor(status, name)["attached"] == true)
        && ["health", "port"].iter().all(|id| web.check(id)["state"] == "passing")
}

/// One service on the hub, and what the daemon on each machine needs to know of the others.
fn deployed(python: &Path) -> System {
    let system = System::new(&format!(
        r#"
        [supervisor]
        listen = "https://0.0.0.0:7610"
        tls = {{ ca = "pki/ca.pem", cert = "pki/sup.pem", key = "pki/sup.key" }}
        [monitors.health-monitor]
        managed = false
        endpoint = "https://10.77.1.2:7612"
        [monitors.port-monitor]
        managed = false
        endpoint = "https://10.77.2.2:7612"
        [services.web]
        command = ["{}", "web.py"]
        [services.web.health]
        url = "http://10.77.1.1:8000/"
        interval = "1500ms"
        timeout = "1s"
        start_period = "1s"
        failures = 5
        [services.web.port]
        address = "10.77.2.1:8000"
        interval = "1500ms"
        timeout = "1s"
        start_period = "1s"
        failures = 5
        "#,
        python.display()
    ));
    std::fs::write(system.path("web.py"), WEB).expect("written");
    system.ctl(&["pki", "init"]).succeeded();
    system.ctl(&["pki", "issue", "sup", "--role", "operator", "--host", "10.77.1.1,10.77.2.1"]).succeeded();
    for (n, name) in [(1, "health-monitor"), (2, "port-monitor")] {
        let host = format!("10.77.{n}.2");
        system
            .ctl(&["pki", "issue", name, "--role", "monitor", "--services", "web", "--host", &host])
            .succeeded();
        let table = format!(
            "[{name}]\nsupervisor = \"https://10.77.{n}.1:7610\"\nlisten = \"https://{host}:7612\"\n\
             tls = {{ ca = \"pki/ca.pem\", cert = \"pki/{name}.pem\", key = \"pki/{name}.key\" }}\n"
        );
        std::fs::write(system.path(&format!("{name}.toml")), table).expect("written");
    }
    system
}

#[test]
fn a_network_that_is_cut_slow_or_lossy_restarts_nothing_and_a_real_fault_is_still_found() {
    let (Some(python), Some(mut net)) = (wants("python3", None), Net::lay()) else { return };
    let system = deployed(&python);
    net.ctl(&system, &["up", "-d"]).succeeded();
    for (end, name) in [("one", "health-monitor"), ("two", "port-monitor")] {
        net.start(end, name, &system.path(&format!("{name}.toml")));
    }
    eventually("both monitors see it", || all_is_seen(&net.status(&system)));
    let before = Service::of(&net.status(&system), "web");
    let told = |what: &str| {
        let now = Service::of(&net.status(&system), "web");
        let story = system.ctl(&["events"]).out;
        assert_eq!((now.incarnation(), now.pid()), (before.incarnation(), before.pid()), "{what}: {story}");
    };

    // Cut, and healed before either end gives the connection up: what was asked for meanwhile arrives after all.
    for seconds in [8, 9] {
        for n in [1, 2] {
            net.link(n, "down");
        }
        thread::park_timeout(Duration::from_secs(seconds));
        for n in [1, 2] {
            net.link(n, "up");
        }
        eventually("both see it again", || all_is_seen(&net.status(&system)));
        told("cut for a moment");
    }

    // Cut: long enough for both ends to give the connection up, and for many checks to fail.
    for n in [1, 2] {
        net.link(n, "down");
    }
    eventually("both are missed", || {
        let events = system.ctl(&["events"]).out;
        events.matches("detached").count() >= 2
    });
    told("cut");
    for n in [1, 2] {
        net.link(n, "up");
    }
    eventually("both have caught up", || all_is_seen(&net.status(&system)));
    told("healed");

    // Lossy: by the kernel where it can, else by a line that comes and goes.
    let hub = net.name("hub");
    let netem = |what: &str, how: &str| {
        [1, 2]
            .iter()
            .all(|n| works(&format!("ip netns exec {hub} tc qdisc {what} dev to{n} root netem {how}")))
    };
    let asked = || String::from_utf8_lossy(&system.log("web.out.log")).lines().count();
    if netem("add", "delay 100ms 20ms loss 10%") {
        let until = asked() + 15;
        eventually("many checks over a bad line", || asked() >= until);
        assert!(netem("del", ""), "healed");
    } else {
        eprintln!("the kernel has no netem: the line comes and goes instead");
        for turn in 0..40 {
            let state = if turn % 2 == 0 { "down" } else { "up" };
            for n in [1, 2] {
                net.link(n, state);
            }
            thread::park_timeout(Duration::from_millis(if turn % 2 == 0 { 100 } else { 600 }));
        }
    }
    eventually("all is well again", || all_is_seen(&net.status(&system)));
    told("lossy");

    // A real fault, seen over the network.
    std::fs::write(system.path("sick"), "").expect("written");
    eventually("it is restarted", || {
        let now = Service::of(&net.status(&system), "web");
        now.incarnation() > before.incarnation()
    });
    std::fs::remove_file(system.path("sick")).expect("removed");
    let why = system.why("web");
    assert!(why.iter().any(|line| line.starts_with("health-monitor: health failed 5 of 5")), "{why:?}");
    assert!(net.monitors.iter().all(|monitor| lives(monitor.id())), "no monitor has ended meanwhile");
    system.down();
}
