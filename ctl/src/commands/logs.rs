//! `logs`: shows the services' output, byte for byte, or only matching lines.

mod writer;

use std::collections::BTreeMap;

use proto::Endpoint;
use proto::time::to_wire;
use proto::v1::{LogPlace, LogPosition, LogStream, ReadLogsRequest, ReadLogsResponse, Selection};
use tokio::time::Instant;

use crate::args::Logs;
use crate::client::{Feed, Supervisor, reconnect};
use crate::failure::{Done, Failure};
use crate::out::{Out, while_read};
use crate::place::Place;
use crate::render::lines::Matches;
use writer::Writer;

/// Number of lines per output, if none of `-n`, `--since` and `--grep` is given.
const LINES: u32 = 50;

pub(super) async fn run(args: &Logs, place: &Place, out: &mut Out) -> Result<Done, Failure> {
    let stream = match (args.stdout, args.stderr) {
        (true, false) => LogStream::Stdout,
        (false, true) => LogStream::Stderr,
        _ => LogStream::Unspecified,
    };
    let everything = args.since.is_some() || args.grep.is_some();
    let request = ReadLogsRequest {
        selection: Some(Selection { selectors: args.services.clone(), all: false }),
        lines: args.lines.unwrap_or(if everything { u32::MAX } else { LINES }),
        follow: args.follow,
        stream: stream.into(),
        since: args.since.map(to_wire),
        after: Vec::new(),
    };
    match &args.grep {
        None => show(&place.located.supervisor, request, out).await,
        Some(pattern) => while_read(search(&place.located.supervisor, request, pattern, out)).await,
    }
}

/// Shows matching lines. The last of them are known only after all lines are read.
async fn search(
    endpoint: &Endpoint,
    mut request: ReadLogsRequest,
    pattern: &str,
    out: &mut Out,
) -> Result<Done, Failure> {
    let matches = Matches::new(pattern, out.look.colour && !out.json)
        .map_err(|error| Failure::Usage(format!("--grep {pattern:?}: {error}")))?;
    let (last, follow) = (request.lines, request.follow);
    (request.lines, request.follow) = (if last == 0 { 0 } else { u32::MAX }, false);
    let began = Instant::now();
    let supervisor = Supervisor::connect(endpoint).await?;
    let mut writer = Writer::new(&supervisor, &request, out).await?.matching(matches, last);
    let mut places = BTreeMap::new();
    pour(&mut supervisor.read_logs(request.clone()).await?, &mut writer, &mut places, out).await?;
    writer.end_of_past(out)?;
    if !follow {
        return writer.finish(out);
    }
    request.follow = true;
    go_on(&mut request, &places, began);
    keep_showing(endpoint, supervisor, writer, request, places, out).await
}

/// Shows the requested output, and continues with the next supervisor if this one is replaced.
pub(super) async fn show(
    endpoint: &Endpoint,
    request: ReadLogsRequest,
    out: &mut Out,
) -> Result<Done, Failure> {
    let supervisor = Supervisor::connect(endpoint).await?;
    let writer = Writer::new(&supervisor, &request, out).await?;
    while_read(keep_showing(endpoint, supervisor, writer, request, BTreeMap::new(), out)).await
}

async fn keep_showing(
    endpoint: &Endpoint,
    mut supervisor: Supervisor,
    mut writer: Writer,
    mut request: ReadLogsRequest,
    mut places: Places,
    out: &mut Out,
) -> Result<Done, Failure> {
    loop {
        let end = match supervisor.read_logs(request.clone()).await {
            Ok(mut feed) => pour(&mut feed, &mut writer, &mut places, out).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = end
            && (!request.follow || !matches!(failure, Failure::NoSupervisor { .. }))
        {
            return Err(failure);
        }
        if !request.follow {
            return writer.finish(out);
        }
        out.flush()?;
        let gone = Instant::now();
        supervisor = match reconnect(endpoint).await {
            Ok(supervisor) => supervisor,
            Err(failure) => {
                writer.finish(out)?;
                return Err(failure);
            }
        };
        go_on(&mut request, &places, gone);
    }
}

/// Continues at the last position of each output, and includes output of other services written since.
fn go_on(request: &mut ReadLogsRequest, places: &Places, since: Instant) {
    request.lines = u32::MAX;
    request.since = Some(to_wire(since.elapsed()));
    request.after =
        places.iter().map(|((service, stream), place)| position(service, *stream, *place)).collect();
}

/// Position up to which each output has been shown.
type Places = BTreeMap<(String, i32), LogPlace>;

fn position(service: &str, stream: i32, place: LogPlace) -> LogPosition {
    LogPosition { service: service.into(), stream, place: Some(place) }
}

async fn pour(
    feed: &mut Feed<ReadLogsResponse>,
    writer: &mut Writer,
    places: &mut Places,
    out: &mut Out,
) -> Result<(), Failure> {
    loop {
        // Received output is shown before waiting for more; a large amount is written in large pieces.
        let next = tokio::select! {
            biased;
            next = feed.next() => next?,
            () = std::future::ready(()) => {
                out.flush()?;
                feed.next().await?
            }
        };
        match next {
            Some(piece) => {
                writer.write(&piece, out)?;
                if let Some(end) = piece.end {
                    places.insert((piece.service, piece.stream), end);
                }
            }
            None => return Ok(()),
        }
    }
}
