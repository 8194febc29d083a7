//! Watches the files that services are restarted for. There is one thread for each user that services run as, with that
//! user's rights, so that links cannot lead to other files. The manager hears of a service only once its files
//! have changed and are quiet again.
//!
//! ```text
//!  notify (inotify, …) ──▶ rules: which service, does it count? ──▶ debouncer: quiet again? ──▶ News ──▶ manager
//!  manager ── the wanted paths ──▶ dir_watcher: which folders to watch, what cannot be watched ──▶ News
//! ```
//!
//! | file | what it does |
//! |---|---|
//! | [`rules`] | which change counts for which service |
//! | [`debouncer`] | merges changes in quick succession |
//! | `dir_watcher` | which folders are watched |
//! | [`trouble`] | why some are not |

pub mod debouncer;
mod dir_watcher;
pub mod rules;
pub mod trouble;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use proto::Name;

use debouncer::{Changed, Debouncer};
use dir_watcher::DirWatcher;
use rules::Wanted;
use trouble::Trouble;

use crate::os::{self, Ids};

/// A message to the manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Files of a service have changed, and are quiet again.
    Changed(Name, Changed),
    /// Tells which files of a service cannot be watched, and what to do about it; `None` if all are watched.
    Trouble(Name, Option<Trouble>),
}

/// A message to the thread.
enum Message {
    /// The complete list of wanted paths by service; an empty list ends the thread.
    Want(BTreeMap<Name, Wanted>),
    /// An event of the system's watcher.
    Event(notify::Result<notify::Event>),
}

/// The watching threads, one for each user that owns files; there are none if nothing is watched.
#[derive(Debug, Default)]
pub struct Watches {
    threads: BTreeMap<Option<Ids>, mpsc::Sender<Message>>,
}

impl Watches {
    /// Sets what is watched from now on. Returns the services that are not, as no thread could be started for their user.
    pub fn want(
        &mut self,
        wanted: BTreeMap<Name, Wanted>,
        tell: impl Fn(News) + Clone + Send + 'static,
    ) -> Vec<(Name, std::io::ErrorKind)> {
        let mut failed = Vec::new();
        let mut by_user: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for (name, wanted) in wanted {
            by_user.entry(wanted.ids.clone()).or_default().insert(name, wanted);
        }
        self.threads.retain(|ids, inbox| {
            let is_wanted = by_user.contains_key(ids);
            if !is_wanted {
                let _ = inbox.send(Message::Want(BTreeMap::new()));
            }
            is_wanted
        });
        for (ids, wanted) in by_user {
            let inbox = match self.threads.entry(ids) {
                Entry::Occupied(thread) => thread.into_mut(),
                Entry::Vacant(none) => match start(none.key().clone(), tell.clone()) {
                    Ok(thread) => none.insert(thread),
                    Err(error) => {
                        failed.extend(wanted.into_keys().map(|name| (name, error.kind())));
                        continue;
                    }
                },
            };
            // Fails only if the thread is gone, which ends with this process.
            let _ = inbox.send(Message::Want(wanted));
        }
        failed
    }
}

fn start(ids: Option<Ids>, tell: impl Fn(News) + Send + 'static) -> std::io::Result<mpsc::Sender<Message>> {
    let (sender, inbox) = mpsc::channel();
    let (events, backlog) = (sender.clone(), Arc::new(Backlog::default()));
    let body = move || {
        let heard = Arc::clone(&backlog);
        // Set before the library starts its thread, which inherits this thread's rights.
        let eyes = match ids.as_ref().map_or(Ok(()), os::reach_files_as) {
            Ok(()) => DirWatcher::new(move |event| {
                if is_news(&event) && heard.takes_one() {
                    drop(events.send(Message::Event(event)));
                }
            }),
            Err(error) => DirWatcher::shut_by(&error),
        };
        let watcher = Watcher {
            wanted: BTreeMap::new(),
            eyes,
            calm: Debouncer::default(),
            told: BTreeMap::new(),
            troubled: false,
            backlog,
        };
        watcher.run(&inbox, &tell);
    };
    thread::Builder::new().name("watch".into()).spawn(body)?;
    Ok(sender)
}

/// The state of the thread.
struct Watcher {
    wanted: BTreeMap<Name, Wanted>,
    eyes: DirWatcher,
    calm: Debouncer,
    /// The trouble that was reported last.
    told: BTreeMap<Name, Option<Trouble>>,
    /// Whether a new folder could not be watched: all folders are looked at again once it is quiet.
    troubled: bool,
    backlog: Arc<Backlog>,
}

/// The events that wait for the thread. Whoever changes files faster than it can look at them costs neither memory nor
/// all of a processor: what does not fit is left out, and counts as a change of many files.
#[derive(Debug, Default)]
struct Backlog {
    waiting: AtomicUsize,
    overflowed: AtomicBool,
    /// Whether the thread rests, and so waits for no answer of the library.
    rests: AtomicBool,
}

impl Backlog {
    /// The most events that wait, each of about 200 bytes.
    const MOST: usize = 1024;
    /// How long the library rests for an event that does not fit; the system's queue takes up what comes meanwhile.
    const REST: Duration = Duration::from_millis(10);
    /// How long the thread rests after an overflow.
    const PAUSE: Duration = Duration::from_millis(200);

    /// Returns whether there is room for an event.
    fn takes_one(&self) -> bool {
        if self.waiting.load(Ordering::Relaxed) < Self::MOST {
            self.waiting.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        self.overflowed.store(true, Ordering::Relaxed);
        if self.rests.load(Ordering::Relaxed) {
            os::pipe::pause(Self::REST);
        }
        false
    }

    fn took_one(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Watcher {
    fn run(mut self, inbox: &mpsc::Receiver<Message>, tell: &dyn Fn(News)) {
        loop {
            let wait = self.calm.deadline().map(|at| at.since(os::now()));
            let message = match wait {
                Some(wait) => inbox.recv_timeout(wait),
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match message {
                Ok(Message::Want(wanted)) if wanted.is_empty() => return,
                Ok(Message::Want(wanted)) => self.want(wanted, tell),
                Ok(Message::Event(event)) => {
                    self.backlog.took_one();
                    match event {
                        Ok(event) => self.happened(&event, tell),
                        Err(error) => tracing::warn!(%error, "watching files failed for a moment"),
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.backlog.overflowed.swap(false, Ordering::Relaxed) && !self.skip(inbox, tell) {
                return;
            }
            for (name, changed) in self.calm.take_quiet(os::now()) {
                tell(News::Changed(name, changed));
            }
            if self.troubled && self.calm.deadline().is_none() {
                self.look_anew(tell);
            }
        }
    }

    fn want(&mut self, wanted: BTreeMap<Name, Wanted>, tell: &dyn Fn(News)) {
        self.calm.keep_only(|name| wanted.contains_key(name));
        self.told.retain(|name, _| wanted.contains_key(name));
        self.wanted = wanted;
        self.look_anew(tell);
    }

    /// Leaves out all events that wait, and rests. Returns whether anything is still to be watched.
    fn skip(&mut self, inbox: &mpsc::Receiver<Message>, tell: &dyn Fn(News)) -> bool {
        while let Ok(message) = inbox.try_recv() {
            match message {
                Message::Event(_) => self.backlog.took_one(),
                Message::Want(wanted) if wanted.is_empty() => return false,
                Message::Want(wanted) => self.want(wanted, tell),
            }
        }
        self.lost(tell);
        self.backlog.rests.store(true, Ordering::Relaxed);
        os::pipe::pause(Backlog::PAUSE);
        self.backlog.rests.store(false, Ordering::Relaxed);
        true
    }

    /// Handles lost events: anything may have happened.
    fn lost(&mut self, tell: &dyn Fn(News)) {
        self.look_anew(tell);
        for (name, wanted) in &self.wanted {
            self.calm.saw(name, "many files".into(), wanted.debounce, os::now());
        }
    }

    /// Watches every wanted folder, and reports changes in what cannot be watched.
    fn look_anew(&mut self, tell: &dyn Fn(News)) {
        self.troubled = false;
        let mut troubles = self.eyes.look_at(&self.wanted);
        for name in self.wanted.keys() {
            let trouble = troubles.remove(name);
            if self.told.get(name) != Some(&trouble) {
                self.told.insert(name.clone(), trouble.clone());
                tell(News::Trouble(name.clone(), trouble));
            }
        }
    }

    fn happened(&mut self, event: &notify::Event, tell: &dyn Fn(News)) {
        if event.need_rescan() {
            return self.lost(tell);
        }
        if !is_change(event.kind) {
            return;
        }
        for path in &event.paths {
            for (name, wanted) in &self.wanted {
                if wanted.counts(path) {
                    self.calm.saw(name, wanted.shown(path), wanted.debounce, os::now());
                }
            }
            if !moves(event.kind) {
                continue;
            }
            let was_folder = self.eyes.forget(path);
            // A limit that was exceeded may hold again.
            self.troubled |= was_folder && self.told.values().any(Option::is_some);
            if self.wanted.values().any(|wanted| wanted.is_above(path)) {
                self.look_anew(tell);
            } else if self.eyes.look_below(path, &self.wanted).is_err() {
                // The trouble is found again and reported then, and not for each of a thousand folders.
                self.troubled = true;
            }
        }
    }
}

/// Returns whether the thread has to know of an event; most only tell that somebody has read something.
fn is_news(event: &notify::Result<notify::Event>) -> bool {
    event.as_ref().map_or(true, |event| event.need_rescan() || is_change(event.kind))
}

/// Returns whether an event changes what a program would read. Opening a file, or closing it unread, does not.
fn is_change(kind: EventKind) -> bool {
    match kind {
        // Closing after writing includes `touch`, which changes nothing but is done on purpose.
        EventKind::Create(_)
        | EventKind::Remove(_)
        | EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Modify(what) => !matches!(what, ModifyKind::Metadata(_) | ModifyKind::Other),
        EventKind::Access(_) | EventKind::Any | EventKind::Other => false,
    }
}

/// Returns whether a path appeared or disappeared, so that other folders may have to be watched.
fn moves(kind: EventKind) -> bool {
    matches!(kind, EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)))
}

#[cfg(test)]
mod tests;
