//! Held sockets: a restart, a crash, an upgrade refuse nobody.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Stdio;
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

    asked_meanwhile(port, || {
        for _ in 0..3 {
            let before = system.service("web");
            system.ctl(&["restart", "web"]).succeeded();
            system.until_restarted(&before);
            let before = system.service("web");
            kill(before.pid(), "KILL");
            system.until_restarted(&before);
            system.ctl(&["upgrade"]).succeeded();
            let supervisor = system.supervisor();
            kill(supervisor, "KILL");
            crate::harness::eventually("another supervisor", || {
                system.supervisor() != supervisor && system.status()["supervisor"]["state"] == "up"
            });
        }
    });
    assert_eq!(ask(port).expect("answered"), system.service("web").pid().to_string());
    system.ctl(&["stop", "web"]).succeeded();
    crate::harness::eventually("it is closed", || TcpStream::connect(("127.0.0.1", port)).is_err());
}

/// Says when it is ready, and is asked to fail by a file.
const NOTIFIER: &str = r#"
import os, socket, sys, time
if os.path.exists("broken"):
    sys.exit(7)
held = socket.socket(fileno=3)
tell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
tell.connect(os.environ["NOTIFY_SOCKET"])
tell.send(b"READY=1")
while True:
    peer, _ = held.accept()
    peer.recv(100)
    peer.sendall(b"%d" % os.getpid())
    peer.close()
"#;

/// Asks for ever; every question must be answered, also by a run that is about to go.
fn asked_meanwhile(port: u16, then: impl FnOnce()) {
    let (going, asked, failed) = (AtomicBool::new(true), AtomicU32::new(0), AtomicU32::new(0));
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
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        then();
    });
    assert!(asked.load(Ordering::Relaxed) > 10);
    assert_eq!(failed.load(Ordering::Relaxed), 0, "of {}", asked.load(Ordering::Relaxed));
}

fn reloads(system: System, port: u16) {
    std::fs::write(system.path("server.py"), NOTIFIER).expect("written");
    let system = system.up();
    let first = system.service("web");
    asked_meanwhile(port, || {
        for _ in 0..3 {
            let before = system.service("web");
            let answer = system.ctl(&["reload", "web"]).succeeded();
            let after = system.service("web");
            assert_eq!(after.incarnation(), before.incarnation() + 1, "{}", answer.out);
            let gone = || !std::path::Path::new(&format!("/proc/{}", before.pid())).exists();
            crate::harness::eventually("the old run has gone", gone);
        }
    });
    assert_eq!(ask(port).expect("answered"), system.service("web").pid().to_string());

    // One that can not begin: the old one goes on, and it is said why.
    std::fs::write(system.path("broken"), "").expect("written");
    let before = system.service("web");
    let answer = system.ctl(&["reload", "web"]);
    assert_eq!(answer.code, 1, "{}", answer.out);
    assert!(answer.out.contains("exit 7"), "{}", answer.out);
    assert_eq!(system.service("web").pid(), before.pid(), "{}", system.story());
    std::fs::remove_file(system.path("broken")).expect("removed");
    system.ctl(&["reload", "web"]).succeeded();
    assert_eq!(system.service("web").incarnation(), first.incarnation() + 5, "no number is used twice");

    // A SIGKILL of the supervisor after it: the new run is the one that is known.
    let (before, supervisor) = (system.service("web"), system.supervisor());
    kill(supervisor, "KILL");
    crate::harness::eventually("another supervisor", || {
        system.supervisor() != supervisor && system.status()["supervisor"]["state"] == "up"
    });
    assert_eq!(system.service("web").pid(), before.pid());
    assert_eq!(ask(port).expect("answered"), before.pid().to_string());
    system.down();
}

fn notifier(python: &std::path::Path, port: u16) -> System {
    System::new(&format!(
        r#"
        [services.web]
        command = ["{}", "{{here}}/server.py"]
        sockets = [{{ name = "http", listen = "127.0.0.1:{port}" }}]
        ready = "notify"
        port = {port}
        "#,
        python.display()
    ))
}

#[test]
fn a_reload_begins_the_new_run_beside_the_old_one() {
    let Some(python) = wants("python", None).or_else(|| wants("python3", None)) else { return };
    let port = free_port();
    reloads(notifier(&python, port), port);
}

#[test]
fn a_reload_too_without_cgroups() {
    let Some(python) = wants("python", None).or_else(|| wants("python3", None)) else { return };
    let port = free_port();
    reloads(notifier(&python, port).without_cgroups(), port);
}

#[test]
fn a_supervisor_killed_in_the_middle_of_a_reload_leaves_one_run() {
    let Some(python) = wants("python", None).or_else(|| wants("python3", None)) else { return };
    let port = free_port();
    let system = notifier(&python, port);
    let slow = NOTIFIER.replace("tell.send", "time.sleep(1000 if os.path.exists('slow') else 0); tell.send");
    std::fs::write(system.path("server.py"), slow).expect("written");
    let system = system.up();
    let before = system.service("web");
    std::fs::write(system.path("slow"), "").expect("written");
    assert_eq!(system.ctl(&["reload", "web", "--timeout", "1s"]).code, 1);
    let runs = || system.processes().iter().filter(|(_, command)| command.contains("server.py")).count();
    crate::harness::eventually("two runs", || runs() == 2);
    let supervisor = system.supervisor();
    kill(supervisor, "KILL");
    crate::harness::eventually("another supervisor", || {
        system.supervisor() != supervisor && system.status()["supervisor"]["state"] == "up"
    });
    crate::harness::eventually("one run", || runs() == 1);
    assert_eq!(system.service("web").pid(), before.pid(), "the one that was ready");
    std::fs::remove_file(system.path("slow")).expect("removed");
    system.ctl(&["reload", "web"]).succeeded();
    assert_eq!(system.service("web").incarnation(), before.incarnation() + 2);
    system.down();
}

#[test]
fn a_run_that_is_ready_while_the_old_one_is_told_to_go_is_given_up_and_not_kept_for_ever() {
    let Some(python) = wants("python", None).or_else(|| wants("python3", None)) else { return };
    let port = free_port();
    let system = notifier(&python, port);
    let server = NOTIFIER
        .replace("tell.send", "while os.path.exists('slow'): time.sleep(0.01)\ntell.send")
        .replace("tell =", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntell =");
    std::fs::write(system.path("server.py"), server).expect("written");
    let more = r#"
        stop = { timeout = "2s" }
        [services.web.checks.sick]
        kind = "exec"
        command = "test ! -e {here}/sick"
        interval = "100ms"
        failures = 1
    "#;
    system.write(&(std::fs::read_to_string(system.path("sereno.toml")).expect("there") + more));
    let system = system.up();
    let before = system.service("web");
    std::fs::write(system.path("slow"), "").expect("written");
    let mut asked = system.command(&["reload", "web"]);
    let asked = asked.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("ctl runs");
    let runs = || system.processes().iter().filter(|(_, command)| command.contains("server.py")).count();
    crate::harness::eventually("two runs", || runs() == 2);
    std::fs::write(system.path("sick"), "").expect("written");
    system.until_state("web", "stopping");
    std::fs::remove_file(system.path("slow")).expect("removed");
    std::fs::remove_file(system.path("sick")).expect("removed");
    let told = asked.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&told.stdout);
    assert!(told.status.code() == Some(1) && said.contains("the old run is to go"), "{told:?}");
    let after = system.until("web", "restarted", |now| now.state() == "running" && now.pid() != before.pid());
    crate::harness::eventually("one run", || runs() == 1);
    system.ctl(&["reload", "web"]).succeeded();
    assert!(system.service("web").incarnation() > after.incarnation());
    system.down();
}

#[test]
fn a_reload_without_sockets_says_why_it_restarts() {
    let system = System::new("[services.web]\ncommand = \"sleep 1000\"\n").up();
    let answer = system.ctl(&["reload", "web"]).succeeded();
    assert!(
        answer.out.contains("without `sockets` a new run can not listen beside the old one"),
        "{}",
        answer.out
    );
}

#[test]
fn with_all_daemons_dead_the_socket_is_taken_back_from_the_service_itself() {
    let Some(python) = wants("python", None).or_else(|| wants("python3", None)) else { return };
    let port = free_port();
    let system = notifier(&python, port);
    std::fs::write(system.path("server.py"), NOTIFIER).expect("written");
    let system = system.up();
    let before = system.service("web");
    crate::harness::eventually("all three daemons", || system.daemons().len() == 3);
    let daemons = system.daemons();
    for pid in &daemons {
        kill(*pid, "KILL");
    }
    crate::harness::eventually("they are dead", || !daemons.iter().any(|pid| crate::harness::lives(*pid)));
    system.ctl(&["up", "-d", "--wait"]).succeeded();
    assert_eq!(system.service("web").pid(), before.pid());
    asked_meanwhile(port, || {
        kill(before.pid(), "KILL");
        system.until_restarted(&before);
    });
    assert_eq!(ask(port).expect("answered"), system.service("web").pid().to_string());
    system.down();
}
