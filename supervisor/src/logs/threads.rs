//! The threads of the pump: one moves bytes, and another takes over when that one is stuck.
//!
//! A service can hold up whoever touches its pipe. On Linux a process that splices an idle socket into its output holds
//! the lock of the pipe meanwhile, and nothing, not even SIGKILL, ends another thread's wait for that lock. So nobody
//! waits for the thread that moves bytes, it holds nothing that others need while it touches a pipe, and if that takes
//! too long the thread `stall` starts another, which goes on with all other streams. The thread that was stuck gives its
//! stream back when it can, and ends.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use super::pump::Pump;
use super::rotate::Rotator;
use super::stream::Stream;
use super::{Command, Key, LogEvent, Logs, Shared};
use crate::lifecycle::BootInstant;
use crate::os;
use crate::os::pipe::{Peeker, Poller, StallTimer};

/// A thread that touches one pipe for this long is stuck; on a healthy host it takes microseconds.
pub(super) const STUCK: Duration = Duration::from_millis(250);

/// A stream, and what is to be done with it by the thread that is stuck with it.
pub(super) struct Slot {
    pub(super) id: u64,
    pub(super) key: Key,
    pub(super) shared: Arc<Shared>,
    pub(super) stream: Mutex<Stream>,
    pub(super) later: Mutex<Vec<Work>>,
}

pub(super) type Work = Box<dyn FnOnce(&mut Stream, &mut Peeker, &Common) + Send>;

/// What all threads of the pump have in common.
pub(super) struct Common {
    pub(super) state: Mutex<State>,
    pub(super) logs: Logs,
    pub(super) rotator: Rotator,
    pub(super) tell: Box<dyn Fn(LogEvent) + Send + Sync>,
    pub(super) stall: StallTimer,
}

pub(super) struct State {
    pub(super) inbox: mpsc::Receiver<Command>,
    pub(super) streams: HashMap<u64, Arc<Slot>>,
    pub(super) keys: HashMap<Key, u64>,
    /// The flooding streams, and when each must be emptied: they are not waited for.
    pub(super) floods: Vec<(u64, BootInstant)>,
    /// The streams whose file cannot be written.
    pub(super) broken: Vec<u64>,
    pub(super) next: u64,
    /// The number of the thread that moves bytes now. Any other ends as soon as it can.
    pub(super) turn: u64,
    pub(super) busy: Option<Busy>,
    /// Set when the threads must end.
    pub(super) end: Option<End>,
}

/// How the threads are to end.
pub(super) struct End {
    /// Whether the remaining bytes of every pipe are moved before.
    pub(super) drain: bool,
    /// Who waits for the end.
    pub(super) done: mpsc::Sender<()>,
}

/// The pipe that is touched now.
pub(super) struct Busy {
    pub(super) id: u64,
    pub(super) key: Key,
    pub(super) shared: Arc<Shared>,
    pub(super) since: BootInstant,
}

impl Common {
    /// Notes that a stream is touched by no stuck thread any more.
    pub(super) fn is_free(&self, key: Key, shared: &Shared) {
        shared.set_trouble(None);
        self.logs.is_stuck(key, false);
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the thread, and the one that looks whether it is stuck.
pub(super) fn start(
    inbox: mpsc::Receiver<Command>,
    poller: Poller,
    logs: Logs,
    rotator: Rotator,
    tell: Box<dyn Fn(LogEvent) + Send + Sync>,
) -> io::Result<()> {
    let state = State {
        inbox,
        streams: HashMap::new(),
        keys: HashMap::new(),
        floods: Vec::new(),
        broken: Vec::new(),
        next: 0,
        turn: 0,
        busy: None,
        end: None,
    };
    let common =
        Arc::new(Common { state: Mutex::new(state), logs, rotator, tell, stall: StallTimer::new()? });
    if StallTimer::IS_NEEDED {
        let common = Arc::clone(&common);
        thread::Builder::new().name("stall".into()).stack_size(64 * 1024).spawn(move || watch(&common))?;
    }
    Pump { common, turn: 0, poller, peeker: Peeker::new()? }.start()
}

/// Starts another thread whenever the current one is stuck.
fn watch(common: &Arc<Common>) {
    while common.stall.rings() {
        let mut state = common.state();
        if state.end.is_some() && state.busy.is_none() {
            return;
        }
        match &state.busy {
            Some(busy) if os::now().since(busy.since) >= STUCK => replace(common, &mut state),
            Some(_) => common.stall.set(STUCK),
            None => {}
        }
    }
}

/// Starts another thread, which goes on with everything but the stream that the current thread is stuck with.
fn replace(common: &Arc<Common>, state: &mut State) {
    let started = Poller::new().and_then(|(poller, waker)| {
        for slot in state.streams.values() {
            if let Ok(stream) = slot.stream.try_lock()
                && !state.floods.iter().any(|(id, _)| *id == slot.id)
            {
                poller.add(stream.output(), slot.id)?;
            }
        }
        let pump = Pump { common: Arc::clone(common), turn: state.turn + 1, poller, peeker: Peeker::new()? };
        pump.start()?;
        Ok(waker)
    });
    match started {
        Ok(waker) => {
            state.turn += 1;
            common.logs.wake_by(waker);
            if let Some(Busy { id, key, shared, .. }) = state.busy.take() {
                tracing::warn!(
                    service = %key.service,
                    "a process holds the lock of its own std{}, which is not read meanwhile",
                    key.which.word()
                );
                state.floods.retain(|(flood, _)| *flood != id);
                state.broken.retain(|broken| *broken != id);
                shared.set_trouble(Some(format!("a process of it holds up its own std{}", key.which.word())));
                common.logs.is_stuck(key, true);
            }
        }
        Err(error) => {
            tracing::error!(%error, "the thread of the logs is stuck, and no other could be started");
            common.stall.set(STUCK);
        }
    }
}
