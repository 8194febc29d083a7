//! Held sockets: a restart, a crash, an upgrade refuse nobody.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use crate::harness::{System, free_port, kill, wants};

const SERVER: &str = r#"
import os, socket
assert int(os.environ["LISTEN_PID"]) == os.getpid()
assert os.environ["LISTEN_FDNAMES"] == "http"
held = socket.socket(fileno=3)
while True:
    peer, _ = held.accept()
    peer.recv(100)
    peer.sendall(b"%d" % os.getpid())
    peer.close()
"#;

fn ask(port: u16) -> std::io::Result<String> {
    let mut stream =
        TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), Duration::from_secs(30))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(b"x")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Ends the other thread also when this one fails.
struct Ends<'a>(&'a AtomicBool);
impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

#[test]
fn no_connection_is_refused_over_restarts_and_upgrades_and_stop_closes_them() {
    let Some(python) = wants("python", None).or_else(|| wants("python3", None)) else { return };
    let python: PathBuf = python;
    let port = free_port();
    let system = System::new(&format!(
        r#"
        [services.web]
        command = ["{}", "{{here}}/server.py"]
        sockets = [{{ name = "http", listen = "127.0.0.1:{port}" }}]
        restart = {{ min_uptime = "0s" }}
        "#,
        python.display()
    ));
    std::fs::write(system.path("server.py"), SERVER).expect("written");
    let system = system.up();

    let (going, asked, refused) = (AtomicBool::new(true), AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        let _ends = Ends(&going);
        scope.spawn(|| {
            while going.load(Ordering::Relaxed) {
                asked.fetch_add(1, Ordering::Relaxed);
                if TcpStream::connect_timeout(
                    &SocketAddr::from(([127, 0, 0, 1], port)),
                    Duration::from_secs(30),
                )
                .is_err()
                {
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        for _ in 0..3 {
            let before = system.service("web");
            system.ctl(&["restart", "web"]).succeeded();
            system.until_restarted(&before);
            let before = system.service("web");
            kill(before.pid(), "KILL");
            system.until_restarted(&before);
            system.ctl(&["upgrade"]).succeeded();
        }
    });
    assert!(asked.load(Ordering::Relaxed) > 10);
    assert_eq!(refused.load(Ordering::Relaxed), 0, "of {} connections", asked.load(Ordering::Relaxed));
    assert_eq!(ask(port).expect("answered"), system.service("web").pid().to_string());
    system.ctl(&["stop", "web"]).succeeded();
    crate::harness::eventually("it is closed", || TcpStream::connect(("127.0.0.1", port)).is_err());
}
