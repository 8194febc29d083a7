//! What an attack achieves that it must not, or why it can not be tried.

use proto::v1::Decision;
use tonic::{Code, Status};

/// Why an attack does not count as held.
#[derive(Debug, thiserror::Error)]
pub(super) enum Breach {
    #[error("refused for another reason: {:?}: {}", .0.code(), .0.message())]
    Refused(#[from] Status),
    #[error("let through in place of {0:?}")]
    LetThrough(Code),
    #[error("answered {decision} ({message}) in place of {wanted}")]
    Decided { decision: Decision, message: String, wanted: Decision },
    #[error("the stream of targets ended at once")]
    NoTargets,
    #[error("the attacker has no check of that service: see --service")]
    NoCheck,
    #[error("the older stream ended with {0:?} in place of Aborted")]
    StreamEnd(Option<Code>),
    #[error("{0} of 50 names were let in")]
    Names(usize),
    #[error("{0} of 3 MiB is taken")]
    Taken(String),
    #[error("{0} events for 1,000 asks")]
    Events(usize),
}
