//! Vocabulary of the stories.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longer than anything may take, also on a machine that does other things.
const CEILING: Duration = Duration::from_secs(60);

/// One Sereno, in a folder of its own.
pub(crate) struct System {
    folder: tempfile::TempDir,
    env: Vec<(String, String)>,
}

/// What `ctl` answered.
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl System {
    /// With this `sereno.toml`; nothing runs yet. `{bin}` in it is the folder of our binaries, `{here}` the system's.
    pub(crate) fn new(file: &str) -> Self {
        // Short, as sockets lie in it.
        let folder = tempfile::Builder::new().prefix("sereno-").tempdir_in("/tmp").expect("a folder");
        let system = Self { folder, env: Vec::new() };
        system.write(file);
        system
    }

    /// The same without cgroups, as for a user who can not make any.
    pub(crate) fn without_cgroups(mut self) -> Self {
        self.env.push(("SERENO_CGROUP".into(), "off".into()));
        self
    }

    /// Replaces the file.
    pub(crate) fn write(&self, file: &str) {
        let text = file.replace("{bin}", &binaries().display().to_string());
        let text = text.replace("{here}", &self.folder.path().display().to_string());
        fs::write(self.path("sereno.toml"), text).expect("written");
    }

    /// A path in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `ctl` in its folder.
    pub(crate) fn ctl(&self, args: &[&str]) -> Answer {
        let output = self.command(args).output().expect("ctl runs");
        Answer::of(&output)
    }

    /// `ctl` as a command, to be run in another way.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binaries().join("ctl"));
        command.args(args).current_dir(self.folder.path()).stdin(Stdio::null());
        // Not what the person who runs the tests has set.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SERENO_") {
                command.env_remove(name);
            }
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Brings it up and waits until all is ready.
    #[track_caller]
    pub(crate) fn up(self) -> Self {
        self.ctl(&["up", "-d", "--wait"]).succeeded();
        self
    }

    /// Brings it up and does not wait.
    #[track_caller]
    pub(crate) fn up_at_once(self) -> Self {
        self.ctl(&["up", "-d"]).succeeded();
        self
    }

    /// What `status --json` says.
    pub(crate) fn status(&self) -> Value {
        let answer = self.ctl(&["status", "--json"]);
        serde_json::from_str(&answer.out).unwrap_or(Value::Null)
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

    /// One service of it. A supervisor that is starved answers too late for `ctl`, and is asked again.
    pub(crate) fn service(&self, name: &str) -> Service {
        let mut status = Value::Null;
        poll(|| {
            status = self.status();
            status["supervisor"]["state"] == "up"
        });
        Service::of(&status, name)
    }

    /// Polls the status until a condition holds for one service.
    #[track_caller]
    pub(crate) fn until(&self, name: &str, what: &str, holds: impl Fn(&Service) -> bool) -> Service {
        let mut last = Service::default();
        let found = poll(|| {
            last = self.service(name);
            holds(&last)
        });
        assert!(found, "{name} never was {what}; last seen: {}\n{}", last.0, self.story());
        last
    }

    /// Waits for a state.
    #[track_caller]
    pub(crate) fn until_state(&self, name: &str, state: &str) -> Service {
        self.until(name, state, |service| service.state() == state)
    }

    /// Waits until a service runs as another incarnation than this.
    #[track_caller]
    pub(crate) fn until_restarted(&self, before: &Service) -> Service {
        let name = before.name();
        self.until(&name, "restarted", |now| {
            now.state() == "running" && now.incarnation() > before.incarnation()
        })
    }

    /// The messages of `ctl why`.
    pub(crate) fn why(&self, name: &str) -> Vec<String> {
        let answer = self.ctl(&["why", name, "--json"]);
        let value: Value = serde_json::from_str(&answer.out).unwrap_or(Value::Null);
        let events = value["events"].as_array().cloned().unwrap_or_default();
        events
            .iter()
            .map(|event| format!("{}: {}", text(&event["source"]), text(&event["message"])))
            .collect()
    }

    /// Everything that happened, for a story that fails.
    pub(crate) fn story(&self) -> String {
        let events = self.ctl(&["events"]).out;
        let log = fs::read_to_string(self.path(".sereno/log/supervisor.log")).unwrap_or_default();
        format!("--- events\n{events}--- supervisor.log\n{log}")
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

impl Answer {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    /// Holds that it did what was asked.
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }
}

/// One service, as `status --json` shows it.
#[derive(Default, Clone)]
pub(crate) struct Service(pub(crate) Value);

impl Service {
    pub(crate) fn of(status: &Value, name: &str) -> Self {
        let services = status["services"].as_array().cloned().unwrap_or_default();
        Self(services.into_iter().find(|service| service["name"] == name).unwrap_or(Value::Null))
    }

    pub(crate) fn name(&self) -> String {
        text(&self.0["name"])
    }

    pub(crate) fn state(&self) -> String {
        text(&self.0["state"])
    }

    pub(crate) fn reason(&self) -> String {
        text(&self.0["reason"])
    }

    pub(crate) fn pid(&self) -> u32 {
        self.number("pid").try_into().unwrap_or(0)
    }

    pub(crate) fn incarnation(&self) -> u64 {
        self.number("incarnation")
    }

    pub(crate) fn number(&self, field: &str) -> u64 {
        self.0[field].as_u64().unwrap_or(0)
    }

    /// One of its checks.
    pub(crate) fn check(&self, id: &str) -> Value {
        let checks = self.0["checks"].as_array().cloned().unwrap_or_default();
        checks.into_iter().find(|check| check["id"] == id).unwrap_or(Value::Null)
    }
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}

/// Polls a condition under the ceiling.
pub(crate) fn poll(mut holds: impl FnMut() -> bool) -> bool {
    let ceiling = Instant::now() + CEILING;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() > ceiling {
            return false;
        }
        thread::park_timeout(Duration::from_millis(20));
    }
}

/// Holds that a condition comes about.
#[track_caller]
pub(crate) fn eventually(what: &str, holds: impl FnMut() -> bool) {
    assert!(poll(holds), "never came about: {what}");
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

/// A port that nobody listens on now.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

/// The folder of the binaries under test.
pub(crate) fn binaries() -> PathBuf {
    let ctl = Path::new(env!("CARGO_BIN_EXE_ctl"));
    let folder = ctl.parent().expect("a folder").to_path_buf();
    for name in ["supervisor", "health-monitor", "port-monitor", "trials"] {
        assert!(
            folder.join(name).is_file(),
            "{name} is not built: run `cargo build --workspace --bins` first"
        );
    }
    folder
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
