//! A peer that floods, stalls or never reads costs the others nothing.

use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use proto::v1::supervisor_client::SupervisorClient;
use proto::v1::{WatchEventsRequest, WatchStatusRequest};

use crate::harness::{System, free_port, kill};

/// More than there are places; `SERENO_TEST_FLOOD=10000` for the whole of it.
fn connections() -> usize {
    std::env::var("SERENO_TEST_FLOOD").ok().and_then(|text| text.parse().ok()).unwrap_or(600)
}

/// Kilobytes that a process has in memory.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

/// How long `ctl status` takes, the best of a few. That it answers is the story; how fast, a person reads.
fn status_takes(system: &System) -> Duration {
    let one = || {
        let began = Instant::now();
        system.well();
        began.elapsed()
    };
    (0..5).map(|_| one()).min().unwrap_or_default()
}

#[test]
fn connections_and_streams_that_nobody_reads_cost_the_others_nothing() {
    let port = free_port();
    let system = System::new(&format!(
        r#"
        [supervisor]
        listen = "http://127.0.0.1:{port}"
        [services.quick]
        command = "sleep 1000"
        restart = {{ max = 1000 }}
        "#
    ))
    .up();
    system.ctl(&["reset", "--all"]).succeeded();
    let socket = system.path(".sereno/run/supervisor.sock");
    let (before, memory) = (status_takes(&system), resident(system.supervisor()));

    // Streams first: those that are there already must not be lost to who comes after.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let streams = runtime.block_on(streams(&socket));
    assert!(streams.0 >= 200, "too few were let in: {}", streams.0);
    let mut idle: Vec<Box<dyn std::any::Any>> = Vec::new();
    for n in 0..connections() {
        // Who is sent away sees it; that is no reason to stop.
        if n % 2 == 0 {
            if let Ok(mut stream) = UnixStream::connect(&socket) {
                let _ = stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
                idle.push(Box::new(stream));
            }
        } else if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
            let _ = stream.write_all(b"PRI * HTTP/2.0\r\n");
            idle.push(Box::new(stream));
        }
    }

    let during = status_takes(&system);
    let mut restarts = Vec::new();
    for _ in 0..3 {
        let before = system.service("quick");
        let began = Instant::now();
        kill(before.pid(), "KILL");
        system.until_restarted(&before);
        restarts.push(began.elapsed());
        system.ctl(&["reset", "quick"]).succeeded();
    }
    let grown = resident(system.supervisor()).saturating_sub(memory);
    let count = idle.len();
    eprintln!(
        "{count} connections, {} streams open of {}: status {before:?} before, {during:?} during; restarts {restarts:?}; {grown} kB more",
        streams.0, streams.1
    );
    assert!(grown < 32 * 1024, "{grown} kB more");
    drop(streams);
    drop(idle);
    system.down();
}

/// Streams that are opened and never read: how many were let in, of how many, and what holds them open.
async fn streams(socket: &std::path::Path) -> (usize, usize, Vec<Box<dyn std::any::Any>>) {
    let wanted = 1000;
    let mut held: Vec<Box<dyn std::any::Any>> = Vec::new();
    let mut open = 0;
    for _ in 0..wanted / 100 {
        let path = socket.to_owned();
        let connector = tower::service_fn(move |_: http::Uri| {
            let path = path.clone();
            async move { tokio::net::UnixStream::connect(path).await.map(hyper_util::rt::TokioIo::new) }
        });
        let target = tonic::transport::Endpoint::from_static("http://localhost");
        let Ok(channel) = target.connect_with_connector(connector).await else { continue };
        let mut client = SupervisorClient::new(channel);
        for n in 0..100 {
            let stream: Result<Box<dyn std::any::Any>, tonic::Status> = if n % 2 == 0 {
                client
                    .watch_status(WatchStatusRequest { usage: false })
                    .await
                    .map(|stream| Box::new(stream) as _)
            } else {
                client.watch_events(WatchEventsRequest { from: 1 }).await.map(|stream| Box::new(stream) as _)
            };
            match stream {
                Ok(stream) => {
                    open += 1;
                    held.push(stream);
                }
                Err(status) => assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{status}"),
            }
        }
        held.push(Box::new(client));
    }
    (open, wanted, held)
}
