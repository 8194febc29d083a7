//! Vocabulary of the stories.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use winsafe::{HPROCESS, co};

/// Which part this program plays when it is started as a service.
pub(crate) const PART: &str = "TEST_PART";
/// Where the story takes place.
pub(crate) const HERE: &str = "TEST_HERE";

/// Longer than anything may take, also under wine on a machine that does other things.
const CEILING: Duration = Duration::from_secs(120);

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
    /// With this `sereno.toml`; nothing runs yet.
    ///
    /// `{bin}` in it is the folder of our binaries, `{here}` the system's own; `{actor PART}` are the lines of a
    /// service that is this program in a part.
    pub(crate) fn new(file: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("sereno-").tempdir().expect("a folder");
        let here = folder.path().display().to_string();
        let me = std::env::current_exe().expect("this program").display().to_string();
        let mut text = file.replace("{bin}", &binaries().display().to_string()).replace("{here}", &here);
        while let Some((before, rest)) = text.split_once("{actor ") {
            let (part, after) = rest.split_once('}').expect("a part");
            let actor = format!(
                "command = ['{me}', '--exact', 'plays_its_part', '--nocapture']\n\
                 env = {{ {PART} = '{part}', {HERE} = '{here}' }}"
            );
            text = format!("{before}{actor}{after}");
        }
        fs::write(folder.path().join("sereno.toml"), text).expect("written");
        Self { folder, env: Vec::new() }
    }

    /// With a variable that the file names.
    pub(crate) fn with(mut self, name: &str, value: &Path) -> Self {
        self.env.push((name.into(), value.display().to_string()));
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `ctl` in its folder.
    pub(crate) fn ctl(&self, args: &[&str]) -> Answer {
        let mut command = Command::new(binaries().join("ctl.exe"));
        command.args(args).current_dir(self.folder.path()).stdin(Stdio::null());
        // Not what the person who runs the tests has set.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().to_uppercase().starts_with("SERENO_") {
                command.env_remove(name);
            }
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        Answer::of(&command.output().expect("ctl runs"))
    }

    /// Brings it up and waits until all is ready.
    #[track_caller]
    pub(crate) fn up(self) -> Self {
        let answer = self.ctl(&["up", "-d", "--wait", "--timeout", "100s"]);
        assert_eq!(answer.code, 0, "{}{}\n{}", answer.out, answer.err, self.story());
        self
    }

    /// What `status --json` says.
    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&self.ctl(&["status", "--json"]).out).unwrap_or(Value::Null)
    }

    /// One service of it. A supervisor that does not answer in time on a busy machine is asked again.
    pub(crate) fn service(&self, name: &str) -> Service {
        let mut last = Service::default();
        poll(|| {
            last = Service::of(&self.status(), name);
            !last.0.is_null()
        });
        last
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
        self.until(&text(&before.0["name"]), "restarted", |now| {
            now.state() == "running" && now.incarnation() > before.incarnation()
        })
    }

    /// Waits until both monitors are attached to a supervisor that answers.
    #[track_caller]
    pub(crate) fn until_attached(&self) -> Value {
        let mut last = Value::Null;
        let found = poll(|| {
            last = self.status();
            let of = |monitor: &Value| monitor["attached"] == true && monitor["state"] == "up";
            let monitors = last["monitors"].as_array();
            last["supervisor"]["state"] == "up"
                && monitors.is_some_and(|all| all.len() == 2 && all.iter().all(of))
        });
        assert!(found, "not all daemons are up: {last}\n{}", self.story());
        last
    }

    /// The messages of `ctl why`.
    pub(crate) fn why(&self, name: &str) -> Vec<String> {
        let answer = self.ctl(&["why", name, "--json"]);
        let value: Value = serde_json::from_str(&answer.out).unwrap_or(Value::Null);
        let events = value["events"].as_array().cloned().unwrap_or_default();
        let line = |event: &Value| format!("{}: {}", text(&event["source"]), text(&event["message"]));
        events.iter().map(line).collect()
    }

    /// Everything that happened, for a story that fails.
    pub(crate) fn story(&self) -> String {
        let events = self.ctl(&["events"]).out;
        let log = |name: &str| fs::read_to_string(self.path(".sereno/log").join(name)).unwrap_or_default();
        let [supervisor, health, port] =
            ["supervisor.log", "health-monitor.log", "port-monitor.log"].map(log);
        format!("--- events\n{events}--- supervisor.log\n{supervisor}--- monitors\n{health}{port}")
    }

    /// Ends everything.
    #[track_caller]
    pub(crate) fn down(&self) {
        let answer = self.ctl(&["down"]);
        assert_eq!(answer.code, 0, "{}{}\n{}", answer.out, answer.err, self.story());
    }
}

impl Drop for System {
    fn drop(&mut self) {
        let answer = self.ctl(&["down"]);
        if !thread::panicking() {
            assert_eq!(answer.code, 0, "{}", answer.err);
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
#[derive(Default, Clone, Debug)]
pub(crate) struct Service(pub(crate) Value);

impl Service {
    pub(crate) fn of(status: &Value, name: &str) -> Self {
        let services = status["services"].as_array().cloned().unwrap_or_default();
        Self(services.into_iter().find(|service| service["name"] == name).unwrap_or(Value::Null))
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
    let ceiling = Instant::now() + CEILING;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() > ceiling {
            return false;
        }
        thread::park_timeout(Duration::from_millis(50));
    }
}

/// Holds that a condition comes about.
#[track_caller]
pub(crate) fn eventually(what: &str, holds: impl FnMut() -> bool) {
    assert!(poll(holds), "never came about: {what}");
}

/// Ends a process as nothing else could.
#[track_caller]
pub(crate) fn kill(pid: u32) {
    let process = HPROCESS::OpenProcess(co::PROCESS::TERMINATE, false, pid).expect("it lives");
    process.TerminateProcess(1).expect("ours");
}

/// Whether a process runs.
pub(crate) fn lives(pid: u32) -> bool {
    let process = HPROCESS::OpenProcess(co::PROCESS::SYNCHRONIZE, false, pid);
    process.is_ok_and(|process| process.WaitForSingleObject(Some(0)) == Ok(co::WAIT::TIMEOUT))
}

/// Whether this is wine, which does not show all that Windows does.
pub(crate) fn is_wine() -> bool {
    Path::new(r"C:\windows\system32\winecfg.exe").exists()
}

/// A port that nobody listens on now.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

/// Asks a server for a page.
pub(crate) fn get(port: u16, path: &str) {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("sent");
    let _ = stream.read(&mut [0; 1024]);
}

/// The folder of the binaries under test: above the one of this program.
pub(crate) fn binaries() -> PathBuf {
    let me = std::env::current_exe().expect("this program");
    let folder = me.ancestors().nth(2).expect("two folders up").to_path_buf();
    for name in ["ctl", "supervisor", "health-monitor", "port-monitor", "deploy"] {
        let there = folder.join(format!("{name}.exe")).is_file();
        assert!(there, "{name} is not built: build --workspace --bins first");
    }
    folder
}
