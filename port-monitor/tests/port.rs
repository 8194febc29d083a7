//! The port check against real listeners. What is said about owners and queues is read from Linux's tables.
#![cfg(target_os = "linux")]

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;

use port_monitor::PortProbe;
use port_monitor::probe::PortCheck;
use proto::time::to_wire;
use proto::v1;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use sereno_monitor::{Check as _, Probe as _, Target, TargetError, Verdict};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

/// Longer than anything here takes on a loaded machine.
const CEILING: Duration = Duration::from_secs(30);

/// One port under watch.
struct Port {
    target: Target,
    check: PortCheck,
}

impl Port {
    /// Of a service whose leader is `pid`.
    fn of(pid: u32, addresses: &[String]) -> Self {
        Self::try_of(pid, addresses).expect("a good target")
    }

    fn try_of(pid: u32, addresses: &[String]) -> Result<Self, TargetError> {
        let spec = v1::TcpCheck { addresses: addresses.to_vec(), owner: true };
        let target = Target::try_from(v1::Target {
            service: "web".into(),
            incarnation: 1,
            pid,
            check: "port".into(),
            interval: Some(to_wire(Duration::from_secs(1))),
            timeout: Some(to_wire(Duration::from_millis(500))),
            failures: 3,
            successes: 1,
            spec: Some(v1::target::Spec::Tcp(spec)),
            ..v1::Target::default()
        })?;
        Ok(Self { check: PortProbe::default().prepare(&target)?, target })
    }

    async fn look(&mut self) -> Verdict {
        tokio::time::timeout(CEILING, self.check.run(&self.target)).await.expect("in time")
    }
}

fn me() -> u32 {
    std::process::id()
}

fn listener(at: &str) -> (TcpListener, String) {
    let listener = TcpListener::bind(at).expect("binds");
    let address = listener.local_addr().expect("has one").to_string();
    (listener, address)
}

/// An address at which nobody listens.
fn nobody() -> String {
    listener("127.0.0.1:0").1
}

/// Accepts whatever comes.
fn serve(listener: TcpListener) {
    listener.set_nonblocking(true).expect("non-blocking");
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
}

#[tokio::test]
async fn an_open_port_is_own() {
    let (socket, address) = listener("127.0.0.1:0");
    serve(socket);
    let mut port = Port::of(me(), &[address]);
    for _ in 0..3 {
        let seen = port.look().await;
        assert_eq!((seen.passing, seen.detail.as_str(), seen.foreign), (true, "own", false));
    }
}

#[tokio::test]
async fn a_closed_port_is_named() {
    let seen = Port::of(me(), &[nobody()]).look().await;
    assert_eq!((seen.passing, seen.detail.as_str()), (false, "ECONNREFUSED"));
    assert_eq!(seen.evidence.errno, "ECONNREFUSED");
}

#[tokio::test]
async fn a_listener_that_is_closed_is_news_at_once() {
    let (socket, address) = listener("127.0.0.1:0");
    let mut port = Port::of(me(), &[address]);
    assert!(port.look().await.passing);
    drop(socket);
    // Some kernels tell only root.
    let told = tokio::time::timeout(CEILING / 10, port.check.news()).await.is_ok();
    assert!(told || !rustix::process::getuid().is_root());
    assert!(!port.look().await.passing);
}

#[tokio::test]
async fn any_one_address_will_do() {
    let (socket, v6) = listener("[::1]:0");
    serve(socket);
    let v4 = v6.replace("[::1]", "127.0.0.1");
    let seen = Port::of(me(), &[v4, v6.clone()]).look().await;
    assert_eq!((seen.passing, seen.detail.as_str()), (true, "own"));
    let by_name = v6.replace("[::1]", "localhost");
    let seen = Port::of(me(), &[nobody(), by_name, v6]).look().await;
    assert_eq!((seen.passing, seen.detail.as_str()), (true, "own"));
}

#[tokio::test]
async fn somebody_elses_port_fails_and_is_named() {
    let (socket, address) = listener("127.0.0.1:0");
    serve(socket);
    let mut service =
        Command::new("sleep").arg("600").stderr(Stdio::null()).kill_on_drop(true).spawn().expect("starts");
    let mut port = Port::of(service.id().expect("runs"), &[address]);
    let seen = port.look().await;
    assert!(!seen.passing && seen.foreign && !seen.stalled, "{seen:?}");
    assert!(seen.detail.starts_with(&format!("foreign pid {} ", me())), "{}", seen.detail);
    assert_eq!(seen.evidence.owner_pid, me());
    assert!(seen.evidence.owner_command.contains("port"), "{}", seen.evidence.owner_command);
    service.kill().await.expect("killed");
    let mut unknown = Port::of(0, &[port.target_address()]);
    assert_eq!(unknown.look().await.detail, "unknown", "without a leader nobody is a stranger");
}

impl Port {
    fn target_address(&self) -> String {
        let sereno_monitor::Spec::Tcp(spec) = &self.target.spec else { unreachable!("made so") };
        spec.addresses[0].clone()
    }
}

/// A shell with a listener as its descriptor 3; what it started is killed with it. It says who holds the listener.
struct Service {
    leader: u32,
    holder: u32,
}

impl Service {
    async fn begin(script: &str, socket: TcpListener) -> Self {
        let script = format!("exec 3<&0; {script}; exec sleep 600 3<&- >/dev/null");
        let mut command = Command::new("sh");
        command.args(["-c", &script]).env("SERENO_UNIT", "home/web/1").process_group(0);
        // The listener goes with its only other holder, this command.
        command.stdin(OwnedFd::from(socket)).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("starts");
        drop(command);
        let leader = child.id().expect("runs");
        let mut service = Self { leader, holder: leader };
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).await.expect("it says who holds the listener");
        service.holder = line.trim().parse().expect("a pid");
        service
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let pid = |pid: u32| i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid");
        let _ = kill_process_group(pid(self.leader), Signal::KILL);
        let _ = kill_process(pid(self.holder), Signal::KILL);
    }
}

#[tokio::test]
async fn a_descendant_is_own() {
    let (socket, address) = listener("127.0.0.1:0");
    let service = Service::begin(
        "sh -c 'sleep 600 >/dev/null & echo $!; exec sleep 600 3<&- >/dev/null' & true",
        socket,
    )
    .await;
    let seen = Port::of(service.leader, &[address]).look().await;
    assert_eq!((seen.passing, seen.detail.as_str()), (true, "own"));
}

#[tokio::test]
async fn one_that_left_the_tree_is_own_by_its_mark() {
    let (socket, address) = listener("127.0.0.1:0");
    let service = Service::begin("setsid sh -c 'sleep 600 >/dev/null & echo $!'", socket).await;
    let seen = Port::of(service.leader, std::slice::from_ref(&address)).look().await;
    assert_eq!((seen.passing, seen.detail.as_str()), (true, "own"));
    // And where the leader is not known.
    assert_eq!(Port::of(0, &[address]).look().await.detail, "own");
}

#[tokio::test]
async fn a_listener_that_does_not_accept_is_stalled() {
    let (socket, address) = listener("127.0.0.1:0");
    let mut port = Port::of(me(), &[address]);
    let first = port.look().await;
    assert!(
        first.passing && first.detail == "own",
        "one connection, ours, waits: that says nothing: {first:?}"
    );
    for waiting in [2, 3] {
        let seen = port.look().await;
        assert!(!seen.passing && seen.stalled && !seen.foreign, "{seen:?}");
        assert_eq!(seen.detail, format!("own, stalled: {waiting} connections wait"));
    }
    serve(socket);
    let drained = async { while !port.look().await.passing {} };
    tokio::time::timeout(CEILING, drained).await.expect("it accepts again");
    let seen = port.look().await;
    assert!(seen.passing && !seen.stalled, "{seen:?}");
}

#[tokio::test]
async fn connections_that_wait_for_another_process_on_the_same_port_do_not_count() {
    let (socket, address) = listener("127.0.0.1:0");
    let port = address.rsplit_once(':').expect("a port").1.to_owned();
    let Ok(other) = TcpListener::bind(format!("[::1]:{port}")) else { return };
    let v6 = other.local_addr().expect("bound");
    let waiting: Vec<_> = (0..9).map(|_| std::net::TcpStream::connect(v6).expect("it waits")).collect();
    let service = Service::begin("echo $$", socket).await;
    let mut port = Port::of(service.leader, &[address, v6.to_string()]);
    assert_eq!(port.look().await.detail, "own");
    // Only those of the service's own listener, which does not accept either.
    assert_eq!(port.look().await.detail, "own, stalled: 2 connections wait");
    drop((waiting, other));
}

#[test]
fn what_can_not_be_checked_names_its_field() {
    let refused = |addresses: &[&str]| {
        let addresses: Vec<_> = addresses.iter().map(|address| (*address).to_owned()).collect();
        Port::try_of(1, &addresses).err().expect("refused").to_string()
    };
    assert!(refused(&[]).starts_with("tcp.addresses: "));
    assert!(refused(&["8000"]).starts_with("tcp.addresses: "));
}
