//! Takes the evidence of a run, on a thread of its own.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::telling::{Known, telling};
use super::{Evidence, Subject, Written, store, text};
use crate::lifecycle::BootInstant;
use crate::lifecycle::unit::EXAMINATION;
use crate::logs::{Limits, Place, Reader};
use crate::os;

/// How many threads may take evidence, or wait for some, at the same time: one that hangs in the kernel stays for ever.
const MOST_THREADS: usize = 32;

/// What is left of [`EXAMINATION`] when the processes were looked at: for the outputs, the text and the file.
const REST: Duration = Duration::from_millis(100);

/// How long a look at processes must last to count as stuck in the kernel.
const STUCK: Duration = Duration::from_secs(1);

/// Bytes of the end of an output, and how many lines.
const TAIL: u64 = 16 * 1024;
const LINES: u32 = 20;

/// Why no evidence is taken.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// Too many threads take evidence already.
    #[error("evidence of {MOST_THREADS} other runs is being taken")]
    TooMany,
    /// The system gives no thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// The threads at work; those that look at processes with the time since when.
static AT_WORK: Mutex<BTreeMap<u64, Option<BootInstant>>> = Mutex::new(BTreeMap::new());

fn at_work() -> MutexGuard<'static, BTreeMap<u64, Option<BootInstant>>> {
    AT_WORK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The place of a thread among those that may be at work.
#[derive(Debug)]
pub(super) struct Slot(u64);

impl Slot {
    pub(super) fn take(looks: bool) -> Result<Self, NotTaken> {
        let mut all = at_work();
        if all.len() >= MOST_THREADS {
            return Err(NotTaken::TooMany);
        }
        let number = all.last_key_value().map_or(0, |(last, _)| last + 1);
        all.insert(number, looks.then(os::now));
        Ok(Self(number))
    }

    /// Starts the thread that has this place.
    pub(super) fn run(self, work: impl FnOnce() + Send + 'static) -> Result<(), NotTaken> {
        let work = move || {
            work();
            drop(self);
        };
        std::thread::Builder::new().name("evidence".into()).spawn(work)?;
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        at_work().remove(&self.0);
    }
}

/// Returns whether a thread hangs in the kernel: this process can then neither end nor become another program.
pub fn is_stuck() -> bool {
    let now = os::now();
    at_work().values().flatten().any(|since| now.since(*since) > STUCK)
}

/// Begins to take evidence. `done` is called on the thread, when the file is written.
pub fn take(subject: &Subject, done: impl FnOnce(Evidence) + Send + 'static) -> Result<(), NotTaken> {
    let (slot, subject) = (Slot::take(true)?, subject.clone());
    let until = os::now() + EXAMINATION.saturating_sub(REST);
    slot.run(move || {
        let evidence = of(&subject, until);
        keep(&subject, &evidence.text(""));
        done(evidence);
    })
}

fn of(subject: &Subject, until: BootInstant) -> Evidence {
    let seen = os::examine(subject.leader, subject.cgroup.as_deref(), until);
    let known = Known { for_memory: subject.for_memory, idle: subject.idle };
    let telling = telling(&seen, known);
    let tails: Vec<_> =
        subject.outputs.iter().map(|output| (output.name, tail(output, subject.since))).collect();
    let ends = tails.iter().map(|(_, (_, end))| *end).collect();
    let outputs: Vec<_> = tails.into_iter().map(|(name, (bytes, _))| (name, bytes)).collect();
    let head = text::head(subject, &telling);
    Evidence { telling, head, body: text::body(&seen, &outputs), ends }
}

/// Writes the file. Without it the journal has the beginning of the text.
pub(super) fn keep(subject: &Subject, text: &str) {
    if let Err(error) = store::write(&subject.folder, &subject.service, subject.incarnation, text) {
        tracing::warn!(service = %subject.service, %error, "writing its evidence failed");
    }
}

/// Returns the last lines of an output, and where it ends.
fn tail(output: &Written, since: SystemTime) -> (Vec<u8>, Option<Place>) {
    drain(Reader::tail(&output.path, bounded(output), LINES, Some(since)))
}

/// Returns what was written to an output after a place; without a place the run had written nothing to it.
pub(super) fn after(output: &Written, place: Option<Place>, since: SystemTime) -> Vec<u8> {
    let Some(place) = place else { return tail(output, since).0 };
    drain(Reader::after(&output.path, bounded(output), place)).0
}

fn bounded(output: &Written) -> Limits {
    let most = TAIL.min(output.limits.file);
    Limits { file: most, all: most }
}

fn drain(mut reader: Reader) -> (Vec<u8>, Option<Place>) {
    let (mut bytes, mut end) = (Vec::new(), None);
    // An error says that something was left out, or that the file cannot be read: the rest is evidence as well.
    while let Ok(Some(chunk)) = reader.step() {
        bytes.extend(chunk.data);
        end = Some(chunk.end);
    }
    (bytes, end)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use proto::Name;

    use super::*;

    fn subject(folder: &std::path::Path) -> Subject {
        let path = folder.join("web.out.log");
        std::fs::write(&path, "one\ntwo\x1b\n").expect("written");
        let leader = os::Identity { pid: std::process::id(), start: 0 };
        Subject {
            service: Name::new("web").expect("a name"),
            incarnation: 4,
            leader,
            cgroup: None,
            outputs: vec![Written { path, limits: Limits::NONE, name: "stdout" }],
            for_memory: false,
            since: SystemTime::UNIX_EPOCH,
            idle: None,
            folder: folder.join("evidence"),
        }
    }

    /// Both at once, as they share the places of all threads of this process.
    #[test]
    fn evidence_comes_with_its_file_and_no_more_threads_than_wanted_take_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let subject = subject(folder.path());
        let (tell, hear) = mpsc::channel();
        let told = tell.clone();
        take(&subject, move |evidence| told.send(evidence).expect("heard")).expect("a thread");
        let evidence = hear.recv().expect("it comes");
        assert_eq!(evidence.telling, "nothing of it could be looked at");
        assert!(evidence.text("").starts_with("web (incarnation 4): nothing of it could"), "{evidence:?}");
        assert!(
            evidence.text("\nasked\n").contains("\nasked\n\nend of stdout:\n  one\n  two\n"),
            "{evidence:?}"
        );
        let kept = store::read(&subject.folder, &subject.service, 0).expect("read");
        assert_eq!(kept, Some((4, evidence.text(""))));
        // What is written from then on.
        let output = &subject.outputs[0];
        std::fs::write(&output.path, "one\ntwo\x1b\nthree\n").expect("written");
        assert_eq!(after(output, evidence.ends[0], subject.since), b"three\n");
        assert_eq!(after(output, None, subject.since), b"one\ntwo\x1b\nthree\n");

        let slots: Vec<Slot> = (0..MOST_THREADS).map_while(|_| Slot::take(false).ok()).collect();
        let refused = take(&subject, |_| unreachable!()).expect_err("no place is left");
        assert_eq!(refused.to_string(), "evidence of 32 other runs is being taken");
        assert!(!is_stuck());
        drop(slots);
        take(&subject, move |evidence| tell.send(evidence).expect("heard")).expect("a place is free again");
        hear.recv().expect("it comes");
    }
}
