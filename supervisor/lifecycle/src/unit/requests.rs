//! Requests, and what they change at once.

use super::{Answer, BootInstant, Ended, Phase, Rest, Stage, Unit, WhyEnd};

impl Unit {
    pub(super) fn start(&mut self, now: BootInstant) -> Answer {
        let was_wanted = std::mem::replace(&mut self.wanted, true);
        match &mut self.phase {
            Phase::Alive(_) | Phase::Spawning => return Answer::Already,
            Phase::Idle(_) => self.phase = Phase::Due { at: now },
            Phase::Due { at } => *at = now.min(*at),
            // The stop is finished first; `swept` sees that the service is wanted again.
            Phase::Stopping { .. } | Phase::Draining { .. } | Phase::Sweeping { .. } if was_wanted => {
                return Answer::Already;
            }
            Phase::Stopping { end, .. }
            | Phase::Draining { last: Ended { end, .. }, .. }
            | Phase::Sweeping { last: Ended { end, .. }, .. } => {
                // After a finished stop a job would otherwise wait for its time.
                if self.rules.is_job {
                    *end = WhyEnd::Restart;
                }
            }
        }
        self.begin_anew();
        Answer::Accepted
    }

    /// Makes a job wait for its time; any other service is started.
    pub(super) fn arm(&mut self, now: BootInstant) -> Answer {
        if !self.rules.is_job {
            return self.start(now);
        }
        let was_wanted = std::mem::replace(&mut self.wanted, true);
        if self.phase_is_stopped() {
            self.phase = Phase::Idle(Rest::Armed);
        }
        if was_wanted { Answer::Already } else { Answer::Accepted }
    }

    fn phase_is_stopped(&self) -> bool {
        matches!(self.phase, Phase::Idle(Rest::Stopped))
    }

    /// Resets the counts; the runs of a job are not restarts of each other.
    fn begin_anew(&mut self) {
        self.streak = 0;
        if self.rules.is_job {
            self.starts = 0;
        }
    }

    pub(super) fn stop(&mut self) -> Answer {
        let was_wanted = std::mem::replace(&mut self.wanted, false);
        match &mut self.phase {
            // Also after it was given up or ended well, a person's stop means that it is not wanted any more.
            Phase::Idle(_) | Phase::Due { .. } => {
                self.hindrance = None;
                self.phase = Phase::Idle(Rest::Stopped);
            }
            Phase::Alive(_) => return self.end_run(WhyEnd::Stop),
            // The start is withdrawn, or its run is told to end once it has begun.
            Phase::Spawning => {}
            Phase::Stopping { end, .. }
            | Phase::Draining { last: Ended { end, .. }, .. }
            | Phase::Sweeping { last: Ended { end, .. }, .. } => {
                // A job that is ending for its next run: that run is cancelled, even if the job is armed again
                // meanwhile.
                if self.rules.is_job && *end == WhyEnd::Restart {
                    *end = WhyEnd::Stop;
                }
            }
        }
        if was_wanted { Answer::Accepted } else { Answer::Already }
    }

    pub(super) fn restart(&mut self, now: BootInstant) -> Answer {
        self.wanted = true;
        self.begin_anew();
        match &mut self.phase {
            Phase::Idle(_) | Phase::Due { .. } => self.phase = Phase::Due { at: now },
            Phase::Alive(_) => return self.end_run(WhyEnd::Restart),
            Phase::Spawning => return Answer::Already,
            Phase::Stopping { end, .. }
            | Phase::Draining { last: Ended { end, .. }, .. }
            | Phase::Sweeping { last: Ended { end, .. }, .. } => {
                let was = std::mem::replace(end, WhyEnd::Restart);
                return if was == WhyEnd::Restart { Answer::Already } else { Answer::Accepted };
            }
        }
        Answer::Accepted
    }

    pub(super) fn reset(&mut self, now: BootInstant) -> Answer {
        self.streak = 0;
        self.starts = u64::from(matches!(self.phase, Phase::Alive(_) | Phase::Stopping { .. }));
        match &mut self.phase {
            Phase::Idle(Rest::Failed(_)) if self.wanted => self.phase = Phase::Due { at: now },
            Phase::Due { at } => *at = now.min(*at),
            _ => {}
        }
        Answer::Accepted
    }

    /// Begins to end the current run; the signal goes out with the next poll.
    pub fn end_run(&mut self, end: WhyEnd) -> Answer {
        match std::mem::replace(&mut self.phase, Phase::Spawning) {
            Phase::Alive(run) => {
                self.phase = Phase::Stopping { run, stage: Stage::Untold, end };
                Answer::Accepted
            }
            other => {
                self.phase = other;
                Answer::Already
            }
        }
    }
}
