//! What led to the present state of a service: how its events in the journal follow from each other.

use std::time::SystemTime;

use super::{Service, World};
use crate::journal::What;
use crate::lifecycle::{Answer, BootInstant, Request};

/// What led to the present state of a service.
#[derive(Debug, Default)]
pub struct Story {
    /// The event that causes the next event; 0 if none is known.
    cause: u64,
    /// The event that began the current run.
    pub began: u64,
    /// When the last run ended.
    pub ended_at: Option<SystemTime>,
}

impl Story {
    /// Returns the event that causes the next event; 0 if none is known.
    pub fn cause(&self) -> u64 {
        self.cause
    }

    /// Makes an event the cause of the next one; 0 for none.
    pub fn goes_on_from(&mut self, seq: u64) {
        self.cause = seq;
    }

    /// Begins the story of a run, at the event of its start.
    pub(super) fn begin_run(&mut self, start: u64) {
        (self.began, self.cause) = (start, 0);
    }
}

impl Service {
    /// Enters an event into the journal that follows from the last one, and causes the next. Returns its number.
    pub fn tell(&mut self, world: &mut World, what: impl Into<What>, message: String) -> u64 {
        self.tell_because(world, what, self.story.cause, message)
    }

    /// Enters an event into the journal that another event caused, and that causes the next. Returns its number.
    pub fn tell_because(
        &mut self,
        world: &mut World,
        what: impl Into<What>,
        cause: u64,
        message: String,
    ) -> u64 {
        self.story.cause = world.tell(self, what, cause, message);
        self.story.cause
    }

    /// Makes a request because of an event. The event causes what follows, unless the request was made before.
    pub fn request(&mut self, request: Request, because: u64, now: BootInstant) -> Answer {
        let answer = self.unit.request(now, request);
        if answer == Answer::Accepted {
            self.story.cause = because;
        }
        answer
    }
}
