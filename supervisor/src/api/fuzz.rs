//! Decodes wire messages, up to the commands that the manager would get.

use prost::{Message, Name};
use proto::{bounds, v1};
use tonic::Status;

use super::requests;
use crate::manager::command::Speaker;

/// Decodes a message; the first byte chooses its type.
pub(crate) fn message(bytes: &[u8]) {
    let Some((which, rest)) = bytes.split_first() else { return };
    match which % 6 {
        0 => take(rest, |wire| requests::hello(wire, speaker())),
        1 => take(rest, |wire| requests::report(wire, speaker())),
        2 => take(rest, |wire| requests::ask(wire, speaker())),
        3 => take(rest, |wire: v1::ApplyRequest| requests::source(wire.source)),
        4 => take(rest, requests::new_service),
        _ => take(rest, |wire: v1::ReadLogsRequest| {
            requests::places(&wire.after);
            requests::selection(wire.selection)
        }),
    }
}

fn speaker() -> Speaker {
    Speaker { who: "uid 0, pid 7".into(), pid: Some(7), name: None }
}

fn take<M: Message + Name + Default, T>(bytes: &[u8], to_domain: impl FnOnce(M) -> Result<T, Status>) {
    if bounds::check(&M::full_name(), bytes).is_ok()
        && let Ok(wire) = M::decode(bytes)
    {
        // A refusal names the field, as text that can be sent.
        if let Err(status) = to_domain(wire) {
            assert!(!status.message().is_empty());
        }
    }
}
