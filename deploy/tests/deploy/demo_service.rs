//! The demo's program from outside: real sockets, real processes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use deploy::service::{Break, serve};

/// Nothing here takes longer unless it is broken.
const CEILING: Duration = Duration::from_secs(30);
const BLINK: Duration = Duration::from_millis(300);

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = SystemTime::now();
    while !condition() {
        let waited = began.elapsed().unwrap_or_default();
        assert!(waited < CEILING, "waited {waited:?} until {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Status line and body; `None`: refused, cut off, or no answer within `patience`.
fn ask(address: SocketAddr, path: &str, patience: Duration) -> Option<(String, String)> {
    let mut connection = TcpStream::connect(address).ok()?;
    connection.set_read_timeout(Some(patience)).expect("a time-out can be set");
    connection.write_all(format!("GET {path} HTTP/1.1\r\nHost: demo\r\n\r\n").as_bytes()).ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.lines().next()?.into(), body.into()))
}

fn get(address: SocketAddr, path: &str) -> (String, String) {
    ask(address, path, CEILING).unwrap_or_else(|| panic!("no answer to {path}"))
}

/// A server in this process, for what does not end a process.
fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    // The events of these are nobody's; the server does not mind.
    drop(serve("backend", listener).expect("serves"));
    address
}

#[test]
fn it_is_healthy_shows_its_page_and_knows_no_more() {
    let address = server();
    assert_eq!(get(address, "/health"), ("HTTP/1.1 200 OK".into(), r#"{"status":"healthy"}"#.into()));
    let (status, page) = get(address, "/?x=1");
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(page.contains("href=\"/break/exit\""), "{page}");
    for path in ["/nonsense", "/break/", "/break/everything"] {
        assert_eq!(get(address, path).0, "HTTP/1.1 404 Not Found", "{path}");
    }
}

#[test]
fn sick_is_said_by_health_alone() {
    let address = server();
    assert_eq!(get(address, "/break/sick").1.trim_end(), Break::Sick.told());
    until("it is sick", || get(address, "/health").0 == "HTTP/1.1 503 Service Unavailable");
    assert_eq!(get(address, "/health").1, r#"{"status":"sick"}"#);
    assert_eq!(get(address, "/").0, "HTTP/1.1 200 OK");
}

#[test]
fn hanging_it_accepts_and_never_answers() {
    let address = server();
    get(address, "/break/hang");
    until("it hangs", || ask(address, "/health", BLINK).is_none());
    assert!(TcpStream::connect(address).is_ok(), "it must still accept");
}

#[test]
fn closed_it_refuses() {
    let address = server();
    get(address, "/break/close");
    until("it refuses", || TcpStream::connect(address).is_err());
}

/// A server in a process of its own, killed when the test ends.
struct Process(Child, SocketAddr);

impl Process {
    fn start() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the program itself is what is tested")]
        let mut command = Command::new(env!("CARGO_BIN_EXE_deploy"));
        command.args(["demo-service", "--name", "backend", "--port", "0"]).stdout(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        let stdout = child.stdout.take().expect("is piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("says where it listens");
        let (_, address) = line.split_once("http://").expect("an address");
        let address = address.trim_end().trim_end_matches('/').parse().expect("an address");
        Self(child, address)
    }

    /// Answers first, as the person who asks must know that it worked.
    fn broken(how: Break) -> Self {
        let process = Self::start();
        let (status, told) = get(process.1, &format!("/break/{}", how.name()));
        assert_eq!((&*status, told.trim_end()), ("HTTP/1.1 200 OK", how.told()));
        process
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn exit_ends_it_with_3() {
    let mut process = Process::broken(Break::Exit);
    assert_eq!(process.0.wait().expect("ends").code(), Some(3));
}

#[test]
fn abort_ends_it_without_a_word() {
    let mut process = Process::broken(Break::Abort);
    let status = process.0.wait().expect("ends");
    assert!(!status.success(), "{status}");
    if cfg!(unix) {
        assert_eq!(status.code(), None, "a signal ends it: {status}");
    }
}

#[test]
fn closing_does_not_end_it() {
    let mut process = Process::broken(Break::Close);
    until("it refuses", || TcpStream::connect(process.1).is_err());
    assert_eq!(process.0.try_wait().expect("can be looked at"), None, "it must live on");
}

#[cfg(target_os = "linux")]
#[test]
fn frozen_it_neither_runs_nor_ends() {
    let process = Process::broken(Break::Freeze);
    let stat = format!("/proc/{}/stat", process.0.id());
    until("it is stopped", || std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T ")));
}

#[test]
fn a_port_that_is_taken_is_said_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    #[expect(clippy::disallowed_methods, reason = "the program itself is what is tested")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_deploy"));
    let output =
        command.args(["demo-service", "--name", "x", "--port", &port.to_string()]).output().expect("runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with(&format!("cargo deploy: serve on 127.0.0.1:{port}: ")), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}
