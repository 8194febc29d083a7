//! The thread that moves bytes: all streams, one `epoll`. No lock of `threads` is held while it touches a pipe.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::flood::LARGE_PIPE;
use super::stream::{RETRY, SMALL_PIPE, Stream};
use super::threads::{Busy, Common, End, STUCK, Slot, Work};
use super::{Command, Key};
use crate::lifecycle::BootInstant;
use crate::os;
use crate::os::pipe::{self, Peeker, Poller};

/// The thread that moves bytes.
pub(super) struct Pump {
    pub(super) common: Arc<Common>,
    pub(super) turn: u64,
    pub(super) poller: Poller,
    pub(super) peeker: Peeker,
}

impl Pump {
    pub(super) fn start(self) -> io::Result<()> {
        thread::Builder::new().name("logs".into()).stack_size(256 * 1024).spawn(move || self.run())?;
        Ok(())
    }

    fn run(mut self) {
        let mut ready = Vec::new();
        while self.is_current() {
            if let Err(error) = self.poller.wait(self.timeout(), &mut ready) {
                tracing::error!(%error, "waiting for output failed");
                pipe::pause(Duration::from_millis(100));
            }
            self.common.stall.set(STUCK);
            if !self.turn_once(&ready) {
                return;
            }
            self.common.stall.set(Duration::ZERO);
        }
    }

    /// Returns whether no other thread has taken over.
    fn is_current(&self) -> bool {
        self.common.state().turn == self.turn
    }

    /// Returns how long to wait for the next bytes.
    fn timeout(&self) -> Option<Duration> {
        let state = self.common.state();
        let visit = state.floods.iter().map(|(_, at)| at.since(os::now())).min();
        visit.or((!state.broken.is_empty()).then_some(RETRY))
    }

    /// Carries out what was asked, then moves what has come. Returns whether the thread goes on.
    fn turn_once(&mut self, ready: &[u64]) -> bool {
        loop {
            let command = {
                let mut state = self.common.state();
                match state.inbox.try_recv() {
                    Ok(Command::End { drain, done }) => {
                        state.end = Some(End { drain, done });
                        None
                    }
                    Ok(command) => Some(command),
                    Err(_) => None,
                }
            };
            let Some(command) = command else { break };
            if !self.dispatch(command) {
                return false;
            }
        }
        let drain = self.common.state().end.as_ref().map(|end| end.drain);
        if let Some(drain) = drain {
            self.end(drain);
            return false;
        }
        let now = os::now();
        let (due, broken) = {
            let state = self.common.state();
            let due = state.floods.iter().filter(|(_, at)| *at <= now).map(|(id, _)| *id);
            (due.collect::<Vec<_>>(), state.broken.clone())
        };
        for id in ready.iter().chain(&due) {
            let goes_on = self.work_on(*id, |stream, peeker, common| {
                stream.pump(&common.rotator, peeker, &*common.tell);
            });
            if !goes_on {
                return false;
            }
        }
        broken.into_iter().all(|id| self.work_on(id, |stream, _, _| stream.tick()))
    }

    /// Tells that all is done; before, moves what is in every pipe if that is wanted.
    fn end(&mut self, drains: bool) {
        let ids: Vec<u64> = self.common.state().streams.keys().copied().collect();
        if drains && !ids.into_iter().all(|id| self.work_on(id, drain)) {
            // The other thread goes on with it.
            return;
        }
        if let Some(end) = self.common.state().end.as_ref() {
            // Fails if nobody waits any more.
            let _ = end.done.send(());
        }
        self.common.stall.set(Duration::from_nanos(1));
    }

    fn slot_of(&self, key: &Key) -> Option<Arc<Slot>> {
        let state = self.common.state();
        state.streams.get(state.keys.get(key)?).cloned()
    }

    /// Does something with the stream of this number, unless another thread is stuck with it. Returns whether this
    /// thread goes on.
    fn work_on(&mut self, id: u64, work: impl FnOnce(&mut Stream, &mut Peeker, &Common)) -> bool {
        let slot = self.common.state().streams.get(&id).cloned();
        slot.is_none_or(|slot| self.try_work_on(slot, work).unwrap_or(true))
    }

    /// Does something with a stream; if another thread is stuck with it, that thread does it later.
    fn work_on_or_later(&mut self, slot: Option<Arc<Slot>>, work: Work) -> bool {
        let Some(slot) = slot else { return true };
        match self.try_work_on(slot, work) {
            Ok(goes_on) => goes_on,
            Err((slot, work)) => {
                slot.later.lock().unwrap_or_else(PoisonError::into_inner).push(work);
                true
            }
        }
    }

    /// Does something with a stream. Returns whether this thread goes on, or all that was given, if another thread is
    /// stuck with the stream.
    fn try_work_on<W: FnOnce(&mut Stream, &mut Peeker, &Common)>(
        &mut self,
        slot: Arc<Slot>,
        work: W,
    ) -> Result<bool, (Arc<Slot>, W)> {
        let (id, key, shared) = (slot.id, slot.key.clone(), Arc::clone(&slot.shared));
        let Ok(mut stream) = slot.stream.try_lock() else { return Err((Arc::clone(&slot), work)) };
        let is_visited = {
            let mut state = self.common.state();
            state.busy = Some(Busy { id, key: key.clone(), shared: Arc::clone(&shared), since: os::now() });
            state.floods.iter().any(|(flood, _)| *flood == id)
        };
        work(&mut stream, &mut self.peeker, &self.common);
        let visit = self.wait_or_visit(&mut stream, id, is_visited);
        let is_broken = stream.is_broken();
        drop(stream);
        if !self.is_current() {
            self.give_back(slot);
            return Ok(false);
        }
        // If it was forgotten, this closes its pipe, which may be stuck as well.
        drop(slot);
        let mut state = self.common.state();
        if state.turn != self.turn {
            drop(state);
            self.common.is_free(key, &shared);
            return Ok(false);
        }
        state.busy = None;
        let is_there = state.streams.contains_key(&id);
        state.floods.retain(|(flood, _)| *flood != id);
        state.floods.extend(visit.filter(|_| is_there).map(|at| (id, at)));
        state.broken.retain(|broken| *broken != id);
        state.broken.extend((is_broken && is_there).then_some(id));
        Ok(true)
    }

    /// Switches between waiting for a stream and visiting it, as its writer has begun or stopped flooding. Returns when
    /// it must be visited.
    fn wait_or_visit(&self, stream: &mut Stream, id: u64, is_visited: bool) -> Option<BootInstant> {
        if stream.visit().is_some() && !is_visited {
            // A pipe that rests keeps its size: what its service writes meanwhile waits.
            if stream.rests.is_some() || stream.output().enlarge(LARGE_PIPE) {
                self.poller.remove(stream.output());
            } else {
                stream.stays_small();
            }
        } else if stream.visit().is_none() && is_visited {
            if self.poller.add(stream.output(), id).is_ok() {
                stream.output().shrink(SMALL_PIPE);
            } else {
                stream.goes_on();
            }
        }
        stream.visit()
    }

    /// Does what was put off for a stream that this thread was stuck with, and has the other thread go on with it.
    fn give_back(&mut self, slot: Arc<Slot>) {
        let later = || slot.later.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            // The other thread may have it for a moment, as it has been free.
            let mut stream = slot.stream.lock().unwrap_or_else(PoisonError::into_inner);
            let works = std::mem::take(&mut *later());
            for work in works {
                work(&mut stream, &mut self.peeker, &self.common);
            }
            // Whatever was put off while it was taken is there now.
            drop(stream);
            if later().is_empty() {
                break;
            }
        }
        let (id, key, shared) = (slot.id, slot.key.clone(), Arc::clone(&slot.shared));
        drop(slot);
        self.common.is_free(key, &shared);
        self.common.logs.send(Command::Back(id));
    }

    /// Carries out a command. Returns whether this thread goes on.
    fn dispatch(&mut self, command: Command) -> bool {
        match command {
            Command::Open { key, output, keep, shared, fresh } => {
                if !self.close(&key, None) {
                    return false;
                }
                let mut state = self.common.state();
                state.next += 1;
                let id = state.next;
                if let Err(error) = self.poller.add(&output, id) {
                    tracing::error!(service = %key.service, %error, "watching its output failed");
                }
                let stream = Stream::new(key.clone(), output, keep, Arc::clone(&shared), fresh);
                let (stream, later) = (Mutex::new(stream), Mutex::default());
                state.streams.insert(id, Arc::new(Slot { id, key: key.clone(), shared, stream, later }));
                state.keys.insert(key, id);
                true
            }
            Command::Change { key, keep } => self.work_on_or_later(
                self.slot_of(&key),
                Box::new(|stream, _, common| stream.change(keep, &common.rotator)),
            ),
            Command::Close { key, end } => self.close(&key, end),
            Command::Look { key, pattern } => {
                self.work_on_or_later(self.slot_of(&key), Box::new(|stream, _, _| stream.look_for(pattern)))
            }
            Command::Settle { key, since, done } => self.work_on_or_later(
                self.slot_of(&key),
                Box::new(move |stream, peeker, common| {
                    drain(stream, peeker, common);
                    done(stream.last_lines(since));
                }),
            ),
            Command::Rotated(rotated) => self.work_on_or_later(
                self.slot_of(&rotated.key),
                Box::new(|stream, _, common| stream.rotated(rotated.file, &common.rotator)),
            ),
            Command::Back(id) => {
                let slot = self.common.state().streams.get(&id).cloned();
                if let Some(slot) = slot
                    && let Ok(stream) = slot.stream.try_lock()
                    && let Err(error) = self.poller.add(stream.output(), id)
                {
                    tracing::error!(service = %slot.key.service, %error, "watching its output failed");
                }
                true
            }
            Command::End { .. } => true,
        }
    }

    /// Moves what is in the pipe and forgets the stream. `end` is the service's end of the pipe.
    fn close(&mut self, key: &Key, end: Option<pipe::ServiceEnd>) -> bool {
        let slot = {
            let mut state = self.common.state();
            let Some(id) = state.keys.remove(key) else { return true };
            state.floods.retain(|(flood, _)| *flood != id);
            state.broken.retain(|broken| *broken != id);
            state.streams.remove(&id)
        };
        if let Some(stream) = slot.as_ref().and_then(|slot| slot.stream.try_lock().ok()) {
            self.poller.remove(stream.output());
        }
        self.work_on_or_later(
            slot,
            Box::new(|stream, peeker, common| {
                drain(stream, peeker, common);
                drop(end);
            }),
        )
    }
}

/// Moves what is there now, without waiting for a writer that keeps writing.
fn drain(stream: &mut Stream, peeker: &mut Peeker, common: &Common) {
    const ROUNDS: usize = 64;
    for _ in 0..ROUNDS {
        if stream.output().waiting() == 0 {
            return;
        }
        stream.pump(&common.rotator, peeker, &*common.tell);
    }
}
