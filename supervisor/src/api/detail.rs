//! What happened, typed, as it goes over the wire.

use std::time::Duration;

use proto::time::to_wire;
use proto::v1;
use proto::v1::event::Detail as Wire;

use super::convert::decision;
use crate::journal::{Began, Detail, MonitorState};

fn milliseconds(number: u64) -> prost_types::Duration {
    to_wire(Duration::from_millis(number))
}

fn state(passing: Option<bool>) -> i32 {
    super::convert::check_state(passing).into()
}

/// Converts a detail.
pub(super) fn detail(detail: Detail) -> Wire {
    match detail {
        Detail::Started { pid } => Wire::Started(v1::RunStarted { pid }),
        Detail::Adopted { pid } => Wire::Adopted(v1::RunAdopted { pid }),
        Detail::Ready { after } => Wire::Ready(v1::RunReady { after: Some(milliseconds(after)) }),
        Detail::Stable => Wire::Stable(v1::RunStable {}),
        Detail::Ended { code, signal, out_of_memory, after, told } => Wire::Ended(v1::RunEnded {
            code,
            signal: signal.unwrap_or_default(),
            out_of_memory,
            after: Some(milliseconds(after)),
            told,
        }),
        Detail::NotStarted { reason } => Wire::NotStarted(v1::RunNotStarted { reason }),
        Detail::NotReady { missing } => Wire::NotReady(v1::RunNotReady { missing }),
        Detail::CheckFlipped { check, old, new, failures, needed, said } => {
            let (old, new) = (state(old), state(new));
            Wire::CheckFlipped(v1::CheckFlipped { check, old, new, failures, needed, said })
        }
        Detail::RestartAsked { fault } => Wire::RestartAsked(v1::RestartAsked { fault }),
        Detail::RestartAnswered { answer } => {
            Wire::RestartAnswered(v1::RestartAnswered { answer: decision(answer).into() })
        }
        Detail::SignalSent { signal, processes } => {
            let processes = u32::try_from(processes).unwrap_or(u32::MAX);
            Wire::SignalSent(v1::SignalSent { signal, processes })
        }
        Detail::Wanted { up, by } => Wire::Wanted(v1::WantedChanged { up, by }),
        Detail::GivenUp { reason } => Wire::GivenUp(v1::GivenUp { reason }),
        Detail::Completed => Wire::Completed(v1::Completed {}),
        Detail::Applied { changes } => {
            let change = |changed: crate::journal::Changed| v1::ServiceChange {
                service: changed.service,
                changes: changed.changes,
            };
            Wire::Applied(v1::ConfigApplied { changes: changes.into_iter().map(change).collect() })
        }
        Detail::Monitor { name, state } => {
            let state = match state {
                MonitorState::Attached => v1::monitor_changed::State::Attached,
                MonitorState::Lost => v1::monitor_changed::State::Lost,
                MonitorState::Blind => v1::monitor_changed::State::Blind,
                MonitorState::Seeing => v1::monitor_changed::State::Seeing,
            };
            Wire::Monitor(v1::MonitorChanged { monitor: name, state: state.into() })
        }
        Detail::Brake { on } => Wire::Brake(v1::BrakeChanged { on }),
        Detail::Supervisor { pid, began, by, unsupervised } => {
            let how = match began {
                Began::Started => v1::supervisor_began::How::Started,
                Began::Revived => v1::supervisor_began::How::Revived,
                Began::Upgraded => v1::supervisor_began::How::Upgraded,
            };
            Wire::Supervisor(v1::SupervisorBegan {
                pid,
                how: how.into(),
                revived_by: by.unwrap_or_default(),
                unsupervised: unsupervised.map(milliseconds),
            })
        }
        Detail::Refused => Wire::Refused(v1::Refused {}),
        Detail::Evidence => Wire::EvidenceTaken(v1::EvidenceTaken {}),
        Detail::IncidentOpened { incident } => Wire::IncidentOpened(v1::IncidentOpened { incident }),
        Detail::IncidentClosed { incident, down } => {
            Wire::IncidentClosed(v1::IncidentClosed { incident, downtime: Some(milliseconds(down)) })
        }
    }
}
