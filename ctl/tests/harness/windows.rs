//! What only the stories of Windows need.

use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use winsafe::{HPROCESS, co};

use super::{System, poll};

/// Which part this program plays when it is started as a service.
pub(crate) const PART: &str = "TEST_PART";
/// Where the story takes place.
pub(crate) const HERE: &str = "TEST_HERE";

/// Longer than anything may take, also under wine on a machine that does other things.
pub(super) const CEILING: Duration = Duration::from_secs(120);
/// How often a condition is looked at.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How a system is brought up.
pub(super) const UP: &[&str] = &["up", "-d", "--wait", "--timeout", "100s"];

pub(super) fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("sereno-").tempdir().expect("a folder")
}

/// The file with `{actor PART}` replaced by the lines of a service that is this program in a part.
pub(super) fn expanded(mut text: String, here: &str) -> String {
    let me = std::env::current_exe().expect("this program").display().to_string();
    while let Some((before, rest)) = text.split_once("{actor ") {
        let (part, after) = rest.split_once('}').expect("a part");
        let actor = format!(
            "command = ['{me}', '--exact', 'plays_its_part', '--nocapture']\n\
             env = {{ {PART} = '{part}', {HERE} = '{here}' }}"
        );
        text = format!("{before}{actor}{after}");
    }
    text
}

impl System {
    /// With a variable that the file names.
    pub(crate) fn with(mut self, name: &str, value: &Path) -> Self {
        self.env.push((name.into(), value.display().to_string()));
        self
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

/// Asks a server for a page.
pub(crate) fn get(port: u16, path: &str) {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("sent");
    let _ = stream.read(&mut [0; 1024]);
}
