//! Nothing in the daemons waits for a slow or dead peer.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::harness::{Page, System, kill};

#[test]
fn a_page_that_never_answers_and_clients_that_never_read_delay_nobody() {
    let page = Page::serve();
    let system = System::new(&format!(
        r#"
        [services.web]
        command = "sleep 1000"
        health = {{ url = "http://127.0.0.1:{}/", interval = "1s", timeout = "500ms", on_failure = "report" }}
        [services.talker]
        shell = "while :; do echo a line that nobody reads; done"
        log = {{ max_size = "10MB", keep = 1 }}
        [services.quick]
        command = "sleep 1000"
        "#,
        page.port
    ))
    .up();
    page.answer("");

    // A follower that is frozen, and one that opens a connection and says nothing.
    let mut follower =
        system.command(&["logs", "-f", "talker"]).stdout(Stdio::piped()).spawn().expect("ctl runs");
    let mut first = [0; 64];
    follower.stdout.as_mut().expect("piped").read_exact(&mut first).expect("it follows");
    let mut silent = UnixStream::connect(system.path(".sereno/run/supervisor.sock")).expect("connected");
    silent.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("sent");

    system.until("web", "failing", |web| web.check("health")["state"] == "failing");
    for _ in 0..5 {
        let before = system.service("quick");
        let began = Instant::now();
        kill(before.pid(), "KILL");
        system.until_restarted(&before);
        assert!(began.elapsed() < Duration::from_secs(10));
        system.ctl(&["reset", "quick"]).succeeded();
    }
    system.down();
    follower.kill().expect("killed");
    follower.wait().expect("gone");
}
