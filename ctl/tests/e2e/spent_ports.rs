//! Any process can bind all ports that the system gives to outgoing connections. No service is restarted for it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{System, eventually, kill, wants};
use crate::other_users::is_root;

/// Binds every port of the range on an address, and says so.
const SPEND: &str = r#"
import select, socket, sys
held, free, said = [], set(range(40000, 40064)), False
while not select.select([sys.stdin], [], [], 0.01)[0]:
    for port in sorted(free):
        one = socket.socket()
        try:
            one.bind((sys.argv[1], port))
            held.append(one)
            free.remove(port)
        except OSError:
            one.close()
    if not said:
        print("bound", flush=True)
        said = True
"#;

/// Answers each request.
const SERVER: &str = r#"
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
"#;

/// A network of its own, with 64 ports for outgoing connections.
const ALONE: &str =
    "ip link set lo up && echo 40000 40063 > /proc/sys/net/ipv4/ip_local_port_range && exec \"$@\"";

/// The ports of an address, which are bound until this is dropped.
struct Spent(Child);

impl Drop for Spent {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Binds all ports of an address in the network of a process.
fn spend(network_of: u32, address: &str) -> Spent {
    let mut command = Command::new("nsenter");
    command.args(["-n", "-t", &network_of.to_string(), "python3", "-c", SPEND, address]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("nsenter runs");
    let mut said = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut said).expect("read");
    assert_eq!(said, "bound\n");
    Spent(child)
}

#[test]
fn no_service_is_restarted_because_all_ports_are_taken() {
    let tools = ["unshare", "nsenter", "ip", "python3"];
    if !is_root() || tools.iter().any(|tool| wants(tool, None).is_none()) {
        return;
    }
    let system = System::new(
        r#"
        [services.web]
        command = "python3 server.py"
        port = "127.0.0.1:8000"
        health = { url = "http://127.0.0.1:8000/", interval = "1s", timeout = "500ms", failures = 2 }
        ready_timeout = "3s"
        restart.delay = "100ms"
        "#,
    );
    std::fs::write(system.path("server.py"), SERVER).expect("written");
    let up = system.command(&["up", "-d"]);
    let mut alone = Command::new("unshare");
    alone.args(["-n", "sh", "-c", ALONE, "sh"]).arg(up.get_program()).args(up.get_args());
    alone.current_dir(up.get_current_dir().expect("a folder"));
    for (name, value) in up.get_envs() {
        match value {
            Some(value) => alone.env(name, value),
            None => alone.env_remove(name),
        };
    }
    assert!(alone.status().expect("unshare runs").success());
    let well = |system: &System| {
        system.until("web", "running and well", |web| {
            web.state() == "running"
                && ["port", "health"].iter().all(|id| web.check(id)["state"] == "passing")
        })
    };
    let before = well(&system);

    // The checks go on from a source that they bind first, and a new run becomes ready.
    let spent = spend(system.supervisor(), "127.0.0.9");
    kill(before.pid(), "KILL");
    let run = system.until("web", "running and checked", |web| {
        web.incarnation() > before.incarnation()
            && web.state() == "running"
            && ["port", "health"].iter().all(|id| web.check(id)["state"] == "passing")
    });
    let until = Instant::now() + Duration::from_secs(5);
    eventually("time passes", || Instant::now() > until);
    let after = system.service("web");
    assert_eq!((after.incarnation(), after.pid()), (run.incarnation(), run.pid()), "{}", system.story());
    assert_eq!(after.check("health")["failures"], 0, "{}", system.story());
    drop(spent);
    system.down();
}
