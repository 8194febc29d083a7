//! How requests for a restart about a service's current run were answered, so that a repeat is counted and not written down
//! again.

use std::collections::BTreeMap;

use proto::Name;

use crate::lifecycle::arbiter::{Decision, Fault, RestartRequest};

/// How often each monitor, and the supervisor itself, got each answer for each fault, and the event that reports it.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    by_request: BTreeMap<(Option<Name>, Fault, Decision), Answer>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Answer {
    times: u64,
    seq: u64,
}

/// Whether a request is worth a line in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The first request with this answer, or the tenth, hundredth, …: worth a line.
    Notable {
        /// How often this answer was given.
        times: u64,
    },
    /// A repeat, with the number of the event that reported it.
    Again {
        /// The event's number in the journal.
        seq: u64,
    },
}

impl Answers {
    /// Counts a request that gets this answer.
    pub fn count(&mut self, request: &RestartRequest, decision: Decision) -> Asked {
        let answer = self.by_request.entry(key(request, decision)).or_default();
        answer.times += 1;
        let round = 10_u64.checked_pow(answer.times.ilog10()) == Some(answer.times);
        if round { Asked::Notable { times: answer.times } } else { Asked::Again { seq: answer.seq } }
    }

    /// Stores the event that reports the request counted last.
    pub fn told(&mut self, request: &RestartRequest, decision: Decision, seq: u64) {
        if let Some(answer) = self.by_request.get_mut(&key(request, decision)) {
            answer.seq = seq;
        }
    }

    /// Clears the counts when a new run begins: they were about another run.
    pub fn clear(&mut self) {
        self.by_request.clear();
    }
}

fn key(request: &RestartRequest, decision: Decision) -> (Option<Name>, Fault, Decision) {
    (request.monitor.clone(), request.fault.clone(), decision)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_the_same_request_is_a_line_for_each_power_of_ten() {
        let name = |text| Name::new(text).expect("a name");
        let request = |check| RestartRequest {
            monitor: Some(name("evil")),
            fault: Fault::Check(name(check)),
            incarnation: 1,
        };
        let port = request("port");
        let mut answers = Answers::default();
        let mut lines = Vec::new();
        for _ in 0..36_000 {
            match answers.count(&port, Decision::Stale) {
                Asked::Notable { times } => {
                    lines.push(times);
                    answers.told(&port, Decision::Stale, times);
                }
                Asked::Again { seq } => assert_eq!(Some(&seq), lines.last()),
            }
        }
        assert_eq!(lines, [1, 10, 100, 1_000, 10_000]);
        assert_eq!(answers.count(&port, Decision::InGrace), Asked::Notable { times: 1 }, "news");
        assert_eq!(answers.count(&request("health"), Decision::Stale), Asked::Notable { times: 1 });
    }
}
