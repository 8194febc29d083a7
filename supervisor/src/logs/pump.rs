//! The thread that moves bytes: all streams, one `epoll`.

use std::collections::HashMap;
use std::io;
use std::sync::mpsc;
use std::time::Duration;

use super::rotate::Rotator;
use super::stream::{RETRY, Stream};
use super::{Command, Key, LogEvent};
use crate::os::pipe::{self, Peeker, Poller};

/// While a stream floods, its pipe is left alone for a moment before each move: `splice` holds the pipe's lock, and a
/// writer that finds it free gets further than one that waits.
const PAUSE: Duration = Duration::from_micros(80);

pub(super) struct Pump {
    poller: Poller,
    inbox: mpsc::Receiver<Command>,
    rotator: Rotator,
    peeker: Peeker,
    streams: HashMap<u64, Stream>,
    keys: HashMap<Key, u64>,
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
            next: 0,
            tell,
        })
    }

    pub(super) fn run(mut self) {
        let mut ready = Vec::new();
        loop {
            let broken = self.streams.values().any(Stream::is_broken);
            if let Err(error) = self.poller.wait(broken.then_some(RETRY), &mut ready) {
                tracing::error!(%error, "waiting for output failed");
                pipe::pause(Duration::from_millis(100));
            }
            while let Ok(command) = self.inbox.try_recv() {
                if let Command::End = command {
                    self.drain();
                    return;
                }
                self.obey(command);
            }
            if ready.iter().any(|key| self.streams.get(key).is_some_and(Stream::is_flooding)) {
                pipe::pause(PAUSE);
            }
            for key in &ready {
                if let Some(stream) = self.streams.get_mut(key) {
                    stream.pump(&self.rotator, &mut self.peeker, &self.tell);
                }
            }
            if broken {
                self.streams.values_mut().for_each(Stream::tick);
            }
        }
    }

    fn obey(&mut self, command: Command) {
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
                    done(stream.settle(since));
                }
            }
            Command::Rotated(rotated) => {
                if let Some(stream) = self.keys.get(&rotated.key).and_then(|id| self.streams.get_mut(id)) {
                    stream.rotated(rotated.file);
                }
            }
            Command::End => {}
        }
    }

    fn close(&mut self, key: &Key) {
        let Some(id) = self.keys.remove(key) else { return };
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

/// Moves what is left now; a writer that goes on writing is not waited for.
fn drain(stream: &mut Stream, rotator: &Rotator, peeker: &mut Peeker, tell: &dyn Fn(LogEvent)) {
    const ROUNDS: usize = 64;
    for _ in 0..ROUNDS {
        if stream.output().waiting() == 0 {
            return;
        }
        stream.pump(rotator, peeker, tell);
    }
}
