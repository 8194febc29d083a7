//! The thread that moves bytes: all streams, one `epoll`.

use std::collections::HashMap;
use std::io;
use std::sync::mpsc;
use std::time::Duration;

use super::flood::LARGE_PIPE;
use super::rotate::Rotator;
use super::stream::{RETRY, SMALL_PIPE, Stream};
use super::{Command, Key, LogEvent};
use crate::lifecycle::BootInstant;
use crate::os;
use crate::os::pipe::{self, Peeker, Poller};

pub(super) struct Pump {
    poller: Poller,
    inbox: mpsc::Receiver<Command>,
    rotator: Rotator,
    peeker: Peeker,
    streams: HashMap<u64, Stream>,
    keys: HashMap<Key, u64>,
    /// The flooding streams: not waited for, but emptied when their time has come.
    floods: Vec<u64>,
    next: u64,
    tell: Box<dyn Fn(LogEvent) + Send>,
}

impl Pump {
    pub(super) fn new(
        poller: Poller,
        inbox: mpsc::Receiver<Command>,
        rotator: Rotator,
        tell: Box<dyn Fn(LogEvent) + Send>,
    ) -> io::Result<Self> {
        let peeker = Peeker::new()?;
        Ok(Self {
            poller,
            inbox,
            rotator,
            peeker,
            streams: HashMap::new(),
            keys: HashMap::new(),
            floods: Vec::new(),
            next: 0,
            tell,
        })
    }

    pub(super) fn run(mut self) {
        let mut ready = Vec::new();
        loop {
            let broken = self.streams.values().any(Stream::is_broken);
            let visit = self.next_visit().map(|visit| visit.since(os::now()));
            let timeout = visit.or(broken.then_some(RETRY));
            if let Err(error) = self.poller.wait(timeout, &mut ready) {
                tracing::error!(%error, "waiting for output failed");
                pipe::pause(Duration::from_millis(100));
            }
            while let Ok(command) = self.inbox.try_recv() {
                if let Command::End = command {
                    self.drain();
                    return;
                }
                self.dispatch(command);
            }
            if !self.floods.is_empty() {
                let now = os::now();
                ready.extend(self.floods.iter().filter(|id| self.visit(**id) <= now));
            }
            for id in &ready {
                if let Some(stream) = self.streams.get_mut(id) {
                    stream.pump(&self.rotator, &mut self.peeker, &self.tell);
                    self.wait_or_visit(*id);
                }
            }
            if broken {
                self.streams.values_mut().for_each(Stream::tick);
            }
        }
    }

    /// Returns when a flooding stream must be emptied; at once if its flood has ended meanwhile.
    fn visit(&self, id: u64) -> BootInstant {
        self.streams.get(&id).and_then(Stream::visit).unwrap_or_default()
    }

    fn next_visit(&self) -> Option<BootInstant> {
        self.floods.iter().map(|id| self.visit(*id)).min()
    }

    /// Switches between waiting for a stream and visiting it, as its writer has begun or stopped flooding.
    fn wait_or_visit(&mut self, id: u64) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let is_visited = self.floods.contains(&id);
        if stream.visit().is_some() && !is_visited {
            if stream.output().enlarge(LARGE_PIPE) {
                self.poller.remove(stream.output());
                self.floods.push(id);
            } else {
                stream.stays_small();
            }
        } else if stream.visit().is_none() && is_visited {
            if self.poller.add(stream.output(), id).is_ok() {
                stream.output().shrink(SMALL_PIPE);
                self.floods.retain(|flood| *flood != id);
            } else {
                stream.goes_on();
            }
        }
    }

    fn dispatch(&mut self, command: Command) {
        match command {
            Command::Open { key, output, keep, shared, fresh } => {
                self.close(&key);
                self.next += 1;
                if let Err(error) = self.poller.add(&output, self.next) {
                    tracing::error!(service = %key.service, %error, "watching its output failed");
                }
                self.streams.insert(self.next, Stream::new(key.clone(), output, keep, shared, fresh));
                self.keys.insert(key, self.next);
            }
            Command::Change { key, keep } => {
                if let Some(stream) = self.keys.get(&key).and_then(|id| self.streams.get_mut(id)) {
                    stream.change(keep, &self.rotator);
                }
            }
            Command::Close { key } => self.close(&key),
            Command::Look { key, pattern } => {
                if let Some(stream) = self.keys.get(&key).and_then(|id| self.streams.get_mut(id)) {
                    stream.look_for(pattern);
                }
            }
            Command::Settle { key, since, done } => {
                if let Some(stream) = self.keys.get(&key).and_then(|id| self.streams.get_mut(id)) {
                    drain(stream, &self.rotator, &mut self.peeker, &self.tell);
                    done(stream.last_lines(since));
                }
            }
            Command::Rotated(rotated) => {
                if let Some(stream) = self.keys.get(&rotated.key).and_then(|id| self.streams.get_mut(id)) {
                    stream.rotated(rotated.file, &self.rotator);
                }
            }
            Command::End => {}
        }
    }

    fn close(&mut self, key: &Key) {
        let Some(id) = self.keys.remove(key) else { return };
        self.floods.retain(|flood| *flood != id);
        if let Some(mut stream) = self.streams.remove(&id) {
            self.poller.remove(stream.output());
            drain(&mut stream, &self.rotator, &mut self.peeker, &self.tell);
        }
    }

    fn drain(&mut self) {
        for stream in self.streams.values_mut() {
            drain(stream, &self.rotator, &mut self.peeker, &self.tell);
        }
    }
}

/// Moves what is there now, without waiting for a writer that keeps writing.
fn drain(stream: &mut Stream, rotator: &Rotator, peeker: &mut Peeker, tell: &dyn Fn(LogEvent)) {
    const ROUNDS: usize = 64;
    for _ in 0..ROUNDS {
        if stream.output().waiting() == 0 {
            return;
        }
        stream.pump(rotator, peeker, tell);
    }
}
