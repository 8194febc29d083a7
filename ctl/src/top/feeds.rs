//! Sources of inputs: statuses, log and causes of one service, keys; and the execution of actions.

use std::convert::Infallible;
use std::thread;
use std::time::Duration;

use proto::Endpoint;
use proto::v1::{
    GetTimelineRequest, LogStream, Outcome, PauseRequest, ReadLogsRequest, ResetRequest, RestartRequest,
    ResumeRequest, Selection, StartRequest, StopRequest,
};
use ratatui::crossterm::event::{self, Event};
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep, sleep_until};

use super::model::{Act, Input, LogLine};
use crate::client::{StatusFeed, Supervisor, reconnect};
use crate::commands::gather;
use crate::failure::Failure;
use crate::place::Place;
use crate::render::lines::Lines;
use crate::render::one_line;

/// Interval of requests for CPU, memory and times.
const EVERY: Duration = Duration::from_secs(1);
/// Minimum time between two requests after changes.
const CALM: Duration = Duration::from_millis(250);
/// Pause before a missing supervisor is asked again.
const AGAIN: Duration = Duration::from_millis(500);
/// Delay before a log is requested: moving the selection over a service must not load its log.
const PASSING: Duration = Duration::from_millis(120);
/// Number of existing log lines to load.
const LINES: u32 = 100;
/// Maximum number of characters of a line; no screen is wider.
const WIDEST: usize = 1000;

/// Sends the state of all daemons repeatedly; ends when the receiver is closed.
pub(super) async fn statuses(place: &Place, to: &Sender<Input>) -> Result<(), Failure> {
    let mut feed = StatusFeed::new(&place.located.supervisor);
    loop {
        let asked = Instant::now();
        let view = gather(place, true).await?;
        let lost = view.supervisor.is_err();
        if to.send(Input::Status(Box::new(view))).await.is_err() {
            return Ok(());
        }
        if lost {
            sleep(AGAIN).await;
            continue;
        }
        tokio::select! {
            _ = feed.next() => {}
            () = sleep_until(asked + EVERY) => {}
        }
        sleep_until(asked + CALM).await;
    }
}

/// Sends the log of one service for ever, across its restarts and those of the supervisor.
pub(super) async fn log(endpoint: Endpoint, service: String, to: Sender<Input>) {
    sleep(PASSING).await;
    let mut request = ReadLogsRequest {
        selection: Some(Selection { selectors: vec![service.clone()], all: false }),
        lines: LINES,
        follow: true,
        stream: LogStream::Unspecified.into(),
        since: None,
        after: Vec::new(),
    };
    loop {
        let Ok(supervisor) = reconnect(&endpoint).await else {
            sleep(AGAIN).await;
            continue;
        };
        let Ok(mut feed) = supervisor.read_logs(request.clone()).await else { return };
        let mut whole = Lines::default();
        while let Ok(Some(piece)) = feed.next().await {
            let is_error = piece.stream() == LogStream::Stderr;
            let mut lines = Vec::new();
            let Ok(()) = whole.take(&service, piece.stream, &piece.data, |line| {
                lines.push(LogLine { is_error, text: shown(line) });
                Ok::<(), Infallible>(())
            });
            if !piece.trouble.is_empty() {
                lines.push(LogLine { is_error: true, text: shown(piece.trouble.as_bytes()) });
            }
            if !lines.is_empty() && to.send(Input::Log { service: service.clone(), lines }).await.is_err() {
                return;
            }
        }
        // A new supervisor: existing lines have been shown already.
        request.lines = 0;
    }
}

/// Returns a line without colours and cursor movements.
fn shown(line: &[u8]) -> String {
    let head = &line[..line.len().min(WIDEST * 4)];
    let text = String::from_utf8_lossy(head);
    let plain = anstream::adapter::strip_str(&text).to_string();
    one_line(&plain.replace('\t', "    ")).chars().take(WIDEST).collect()
}

/// Sends the causes of the last restart.
pub(super) async fn why(endpoint: Endpoint, service: String, to: Sender<Input>) {
    sleep(PASSING).await;
    let Ok(supervisor) = Supervisor::connect(&endpoint).await else { return };
    let request = GetTimelineRequest { service: service.clone(), why: true, ..GetTimelineRequest::default() };
    if let Ok(events) = supervisor.timeline(request).await {
        let _ = to.send(Input::Why { service, events }).await;
    }
}

/// Performs an action and sends the result.
pub(super) async fn act(endpoint: Endpoint, act: Act, service: String, to: Sender<Input>) {
    let (ok, text) = match perform(&endpoint, act, &service).await {
        Ok(outcomes) => match outcomes.first() {
            Some(outcome) if outcome.message.is_empty() => (outcome.ok, format!("{} {service}", act.word())),
            Some(outcome) => (outcome.ok, format!("{service}: {}", outcome.message)),
            None => (false, format!("{} {service}: nobody was meant", act.word())),
        },
        Err(failure) => (false, format!("{} {service}: {failure}", act.word())),
    };
    let _ = to.send(Input::Acted { ok, text }).await;
}

async fn perform(endpoint: &Endpoint, act: Act, service: &str) -> Result<Vec<Outcome>, Failure> {
    let supervisor = Supervisor::connect(endpoint).await?;
    let selection = Some(Selection { selectors: vec![service.into()], all: false });
    Ok(match act {
        Act::Start => supervisor.start(StartRequest { selection }).await?.outcomes,
        Act::Stop => supervisor.stop(StopRequest { selection }).await?.outcomes,
        Act::Restart => supervisor.restart(RestartRequest { selection }).await?.outcomes,
        Act::Reset => supervisor.reset(ResetRequest { selection }).await?.outcomes,
        Act::Pause => supervisor.pause(PauseRequest { selection, r#for: None }).await?.outcomes,
        Act::Resume => supervisor.resume(ResumeRequest { selection }).await?.outcomes,
    })
}

/// Sends keys and resizes, from a separate thread because reading them blocks.
pub(super) fn keys(to: Sender<Input>) -> Result<(), Failure> {
    let read = move || {
        loop {
            let input = match event::read() {
                Ok(Event::Key(key)) => Input::Key(key),
                Ok(Event::Resize(..)) => Input::Resized,
                Ok(_) => continue,
                // Without keys the program could not be ended: the closed channel tells the receiver.
                Err(_) => return,
            };
            if to.blocking_send(input).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("keys".into()).spawn(read).map(drop).map_err(Failure::Start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_colours_or_moves_is_taken_out_of_a_line() {
        assert_eq!(shown(b"\x1b[32m  VITE\x1b[0m ready\tin\x1b[2J 3 ms\r\n"), "  VITE ready    in 3 ms");
        assert_eq!(shown(b"\xff\n"), "\u{fffd}");
        assert_eq!(shown(&vec![b'x'; 100_000]).len(), WIDEST);
    }
}
