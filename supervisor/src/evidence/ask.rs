//! What `stop.evidence` asks for: the output of a command, and what the service writes after a signal.

use std::io::{PipeReader, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::take::{NotTaken, Slot, after, keep};
use super::{Evidence, Subject, text};
use crate::lifecycle::BootInstant;
use crate::os::{self, Process, signal};

/// The most bytes of a command's output.
const MOST_OUTPUT: usize = 64 * 1024;

/// How often an output of the service is looked at after a signal. What has not grown between two looks is complete.
const LOOK: Duration = Duration::from_millis(150);

/// How long the last output of a run takes into its log at most. The next run may write after that.
const LAST: Duration = Duration::from_millis(50);

/// How much longer than `timeout` a run goes on, so that what came in time is not lost.
pub const SLACK: Duration = Duration::from_millis(250);

/// What ends the wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// The command has closed its output.
    Ended,
    /// The run ends without waiting for more.
    Hurry,
}

/// A command that was started.
#[derive(Debug)]
pub struct Running {
    /// Its program, for people.
    pub words: String,
    /// The process of the command.
    pub process: Process,
    /// Where its output comes from.
    pub output: PipeReader,
}

/// What was asked.
#[derive(Debug)]
pub struct Asked {
    /// The command, or why it could not be started.
    pub command: Option<Result<Running, (String, String)>>,
    /// The name of the signal, and why it could not be sent if so.
    pub signal: Option<(String, Option<String>)>,
    /// How long to wait.
    pub timeout: Duration,
}

/// Waits on a thread for what was asked, and writes the file again with it. `done` is called with what was told.
pub fn hear(
    subject: Arc<Subject>,
    first: Evidence,
    asked: Asked,
    (to, woken): (Sender<Wake>, Receiver<Wake>),
    done: impl FnOnce(String) + Send + 'static,
) -> Result<(), NotTaken> {
    Slot::take(false)?.run(move || {
        let told = wait(&subject, &first, asked, &to, &woken);
        keep(&subject, &first.text(&told));
        done(told);
    })
}

fn wait(
    subject: &Subject,
    first: &Evidence,
    asked: Asked,
    to: &Sender<Wake>,
    woken: &Receiver<Wake>,
) -> String {
    let until = os::now() + asked.timeout;
    let mut told = String::new();
    let mut command = None;
    match asked.command {
        Some(Ok(running)) => {
            let said = Arc::<Mutex<Vec<u8>>>::default();
            match read(running.output, Arc::clone(&said), to.clone()) {
                Ok(()) => command = Some((running.words, running.process, said)),
                Err(why) => told.push_str(&text::section(&running.words, why.to_string().as_bytes())),
            }
        }
        Some(Err((words, why))) => {
            told.push_str(&text::section(&words, format!("could not be started: {why}").as_bytes()));
        }
        None => {}
    }
    let mut hears = asked.signal.as_ref().is_some_and(|(_, failed)| failed.is_none());
    let mut runs = command.is_some();
    let mut written = vec![Vec::new(); subject.outputs.len()];
    let mut late = false;
    while (runs || hears) && !late {
        let rest = until.since(os::now());
        late = rest.is_zero();
        match woken.recv_timeout(if hears { rest.min(LOOK) } else { rest }) {
            Ok(Wake::Ended) => runs = false,
            Ok(Wake::Hurry) | Err(RecvTimeoutError::Disconnected) => {
                late = true;
                // What a run wrote last is still on its way into the log. Nobody waits for this thread any more.
                os::pipe::pause(LAST);
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if hears {
            hears = listen(subject, first, &mut written);
        }
    }
    if let Some((words, process, said)) = command {
        // What it has started itself is ended with the run.
        if runs {
            let _ = process.signal(signal::KILL);
        }
        let said = said.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let ends =
            if runs { format!("{words} (ended after {} ms)", waited(until, asked.timeout)) } else { words };
        let said = if said.is_empty() { b"(no output)".to_vec() } else { said };
        told.push_str(&text::section(&ends, &said));
    }
    if let Some((name, failed)) = asked.signal {
        let title = format!("after {name}");
        if let Some(why) = failed {
            told.push_str(&text::section(&title, format!("could not be sent: {why}").as_bytes()));
        } else if written.iter().all(Vec::is_empty) {
            told.push_str(&text::section(&title, b"(nothing was written)"));
        }
        for (output, bytes) in subject.outputs.iter().zip(&written) {
            told.push_str(&text::section(&format!("{title}, {}", output.name), bytes));
        }
    }
    told
}

fn waited(until: BootInstant, timeout: Duration) -> u128 {
    timeout.saturating_sub(until.since(os::now())).as_millis()
}

/// Reads what the service has written since its first evidence. Returns whether more may come.
fn listen(subject: &Subject, first: &Evidence, written: &mut [Vec<u8>]) -> bool {
    let before: usize = written.iter().map(Vec::len).sum();
    let ends = first.ends.iter().copied().chain(std::iter::repeat(None));
    for ((output, end), into) in subject.outputs.iter().zip(ends).zip(written.iter_mut()) {
        *into = after(output, end, subject.since);
    }
    let now: usize = written.iter().map(Vec::len).sum();
    before == 0 || now != before
}

/// Reads the output of a command until it ends, on a thread: its end may be held open by what the command has started.
fn read(mut from: PipeReader, into: Arc<Mutex<Vec<u8>>>, to: Sender<Wake>) -> Result<(), NotTaken> {
    Slot::take(false)?.run(move || {
        let mut buffer = [0; 4096];
        while let Ok(count) = from.read(&mut buffer) {
            let mut said = into.lock().unwrap_or_else(PoisonError::into_inner);
            let room = MOST_OUTPUT - said.len();
            said.extend_from_slice(&buffer[..count.min(room)]);
            if count == 0 || said.len() == MOST_OUTPUT {
                break;
            }
        }
        // Fails only if nobody waits any more.
        let _ = to.send(Wake::Ended);
    })
}
