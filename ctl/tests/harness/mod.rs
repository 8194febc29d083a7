//! Vocabulary of the stories, the same on every system; `linux` and `windows` hold what only one of them has.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as system;
#[cfg(target_os = "linux")]
pub(crate) use linux::{Page, kill, lives, wants};
#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as system;
#[cfg(windows)]
pub(crate) use windows::{HERE, PART, get, is_wine, kill, lives};

use std::env::consts::EXE_SUFFIX;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Instant;

use serde_json::Value;

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
        let system = Self { folder: system::folder(), env: Vec::new() };
        system.write(file);
        system
    }

    /// Replaces the file.
    pub(crate) fn write(&self, file: &str) {
        let here = self.folder.path().display().to_string();
        let text = file.replace("{bin}", &binaries().display().to_string()).replace("{here}", &here);
        fs::write(self.path("sereno.toml"), system::expanded(text, &here)).expect("written");
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
        let mut command = Command::new(binaries().join(format!("ctl{EXE_SUFFIX}")));
        command.args(args).current_dir(self.folder.path()).stdin(Stdio::null());
        // Not what the person who runs the tests has set.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().to_uppercase().starts_with("SERENO_") {
                command.env_remove(name);
            }
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Brings it up and waits until all is ready.
    #[track_caller]
    pub(crate) fn up(self) -> Self {
        let answer = self.ctl(system::UP);
        assert_eq!(answer.code, 0, "{}{}\n{}", answer.out, answer.err, self.story());
        self
    }

    /// What `status --json` says.
    pub(crate) fn status(&self) -> Value {
        let answer = self.ctl(&["status", "--json"]);
        serde_json::from_str(&answer.out).unwrap_or(Value::Null)
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

    /// Waits until a service runs as another incarnation than this.
    #[track_caller]
    pub(crate) fn until_restarted(&self, before: &Service) -> Service {
        let name = before.name();
        self.until(&name, "restarted", |now| {
            now.state() == "running" && now.incarnation() > before.incarnation()
        })
    }

    /// The messages of `ctl why`, but for the evidence: on a busy machine it comes too late for the chain.
    pub(crate) fn why(&self, name: &str) -> Vec<String> {
        let answer = self.ctl(&["why", name, "--json"]);
        let value: Value = serde_json::from_str(&answer.out).unwrap_or(Value::Null);
        let events = value["events"].as_array().cloned().unwrap_or_default();
        events
            .iter()
            .filter(|event| event["kind"] != "evidence")
            .map(|event| format!("{}: {}", text(&event["source"]), text(&event["message"])))
            .collect()
    }

    /// Everything that happened, for a story that fails.
    pub(crate) fn story(&self) -> String {
        let events = self.ctl(&["events"]).out;
        let log = |name: &str| fs::read_to_string(self.path(".sereno/log").join(name)).unwrap_or_default();
        let [supervisor, health, port] =
            ["supervisor.log", "health-monitor.log", "port-monitor.log"].map(log);
        format!("--- events\n{events}--- supervisor.log\n{supervisor}--- monitors\n{health}{port}")
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
#[derive(Default, Clone, Debug)]
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
    let ceiling = Instant::now() + system::CEILING;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() > ceiling {
            return false;
        }
        thread::park_timeout(system::LOOK_AGAIN);
    }
}

/// Holds that a condition comes about.
#[track_caller]
pub(crate) fn eventually(what: &str, holds: impl FnMut() -> bool) {
    assert!(poll(holds), "never came about: {what}");
}

/// A port that nobody listens on now.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

/// The folder of the binaries under test: above the one of this program.
pub(crate) fn binaries() -> PathBuf {
    let me = std::env::current_exe().expect("this program");
    let folder = me.ancestors().nth(2).expect("two folders up").to_path_buf();
    for name in ["ctl", "supervisor", "health-monitor", "port-monitor", "deploy", "trials"] {
        let is_there = folder.join(format!("{name}{EXE_SUFFIX}")).is_file();
        assert!(is_there, "{name} is not built: run `cargo build --workspace --bins` first");
    }
    folder
}
