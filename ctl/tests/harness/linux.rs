//! What only the stories of Linux need.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use super::{Service, System, poll, text};

/// Longer than anything may take, also on a machine that does other things.
pub(super) const CEILING: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How a system is brought up.
pub(super) const UP: &[&str] = &["up", "-d", "--wait"];

/// A folder with a short path, as sockets lie in it.
pub(super) fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("sereno-").tempdir_in("/tmp").expect("a folder")
}

/// The file as it is: it names only what every system knows.
pub(super) fn expanded(text: String, _here: &str) -> String {
    text
}

impl System {
    /// The same without cgroups, as for a user who can not make any.
    pub(crate) fn without_cgroups(mut self) -> Self {
        self.env.push(("SERENO_CGROUP".into(), "off".into()));
        self
    }

    /// Brings it up and does not wait.
    #[track_caller]
    pub(crate) fn up_at_once(self) -> Self {
        self.ctl(&["up", "-d"]).succeeded();
        self
    }

    /// What `status` shows when all is well: monitors may still be on their way, a daemon that is starved answers too late.
    #[track_caller]
    pub(crate) fn well(&self) -> String {
        let mut answer = None;
        let is_well = poll(|| answer.insert(self.ctl(&["status"])).code == 0);
        let answer = answer.expect("it was asked");
        assert!(is_well, "stdout: {}\nstderr: {}", answer.out, answer.err);
        answer.out
    }

    /// Waits for a state.
    #[track_caller]
    pub(crate) fn until_state(&self, name: &str, state: &str) -> Service {
        self.until(name, state, |service| service.state() == state)
    }

    /// The supervisor's pid.
    pub(crate) fn supervisor(&self) -> u32 {
        let text = fs::read_to_string(self.path(".sereno/run/supervisor.lock")).expect("it runs");
        text.lines().next().and_then(|line| line.parse().ok()).expect("a pid")
    }

    /// The pids of the supervisor and of every monitor that answers.
    pub(crate) fn daemons(&self) -> Vec<u32> {
        let status = self.status();
        let monitors = status["monitors"].as_array().cloned().unwrap_or_default();
        let pids = monitors.iter().filter_map(|monitor| monitor["pid"].as_u64()?.try_into().ok());
        pids.chain([self.supervisor()]).collect()
    }

    /// What a service has written to an output.
    pub(crate) fn log(&self, file: &str) -> Vec<u8> {
        fs::read(self.path(".sereno/log").join(file)).unwrap_or_default()
    }

    /// Every living process that belongs to this system, by the mark in its environment.
    pub(crate) fn processes(&self) -> Vec<(u32, String)> {
        let id = fs::read_to_string(self.path(".sereno/state/instance")).unwrap_or_default();
        if id.is_empty() { Vec::new() } else { marked(&format!(".{}/", id.trim())) }
    }

    /// Ends everything and holds that nothing is left.
    #[track_caller]
    pub(crate) fn down(&self) {
        self.ctl(&["down"]).succeeded();
        assert_eq!(self.processes(), [], "left behind by `ctl down`");
    }
}

impl Drop for System {
    fn drop(&mut self) {
        let answer = self.ctl(&["down"]);
        let left = self.processes();
        for (pid, _) in &left {
            kill(*pid, "KILL");
        }
        if !thread::panicking() {
            assert_eq!(answer.code, 0, "{}", answer.err);
            assert_eq!(left, [], "left behind at the end of the story");
        }
    }
}

impl Service {
    pub(crate) fn reason(&self) -> String {
        text(&self.0["reason"])
    }
}

/// Sends a signal.
pub(crate) fn kill(pid: u32, signal: &str) {
    let sent =
        Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).stderr(Stdio::null()).status();
    assert!(sent.is_ok(), "kill is there");
}

/// Whether a process is there and not a zombie.
pub(crate) fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Whether a program that a story wants is there; without it the story is skipped aloud, or fails where it must not be.
pub(crate) fn wants(program: &str, path: Option<PathBuf>) -> Option<PathBuf> {
    let path = path.or_else(|| {
        let folders = std::env::var_os("PATH")?;
        std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| path.is_file())
    });
    let required = std::env::var("SERENO_TEST_REQUIRE").unwrap_or_default();
    if path.is_none() {
        assert!(!required.split(',').any(|name| name == program), "{program} is required here and not found");
        eprintln!("SKIPPED: there is no {program}");
    }
    path
}

/// Every living process whose mark holds a text.
fn marked(text: &str) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let environ = fs::read(entry.path().join("environ")).unwrap_or_default();
        let is_marked = environ.split(|byte| *byte == 0).any(|variable| {
            variable.starts_with(b"SERENO_UNIT=") && String::from_utf8_lossy(variable).contains(text)
        });
        if is_marked && lives(pid) {
            let command =
                fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default().replace('\0', " ");
            found.push((pid, command));
        }
    }
    found
}

/// An HTTP server of the story itself, that answers as it is told.
pub(crate) struct Page {
    pub(crate) port: u16,
    answer: std::sync::Arc<std::sync::Mutex<String>>,
}

impl Page {
    /// Begins with `200 ok`.
    pub(crate) fn serve() -> Self {
        use std::io::{Read, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let answer =
            std::sync::Arc::new(std::sync::Mutex::new("200 OK\r\n\r\n{\"status\":\"ok\"}".to_string()));
        let shared = std::sync::Arc::clone(&answer);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let shared = std::sync::Arc::clone(&shared);
                thread::spawn(move || {
                    let _ = stream.read(&mut [0; 4096]);
                    let answer = shared.lock().expect("nobody panics with it").clone();
                    if answer.is_empty() {
                        // Never answers.
                        thread::park_timeout(Duration::from_secs(600));
                    }
                    let _ = stream.write_all(format!("HTTP/1.1 {answer}").as_bytes());
                });
            }
        });
        Self { port, answer }
    }

    /// From now on this status line, headers and body; empty: never answers.
    pub(crate) fn answer(&self, answer: &str) {
        *self.answer.lock().expect("nobody panics with it") = answer.into();
    }
}
