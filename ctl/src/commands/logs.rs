//! `logs`: what services wrote, byte for byte.

use std::borrow::Cow;
use std::collections::BTreeMap;

use proto::time::{to_wire, unstamp};
use proto::v1::{LogPlace, LogPosition, LogStream, ReadLogsRequest, ReadLogsResponse, Selection};
use proto::{Endpoint, Name, UNARY_DEADLINE};
use serde::Serialize;
use tokio::time::Instant;

use crate::args::Logs;
use crate::client::{Feed, Supervisor, reconnect};
use crate::failure::{Done, Failure};
use crate::out::Out;
use crate::place::Place;
use crate::render::lines::{Lines, Prefixes};
use crate::render::time::rfc3339;

/// Lines of each output, where neither `-n` nor `--since` says otherwise.
const LINES: u32 = 50;

/// Shows them.
pub(super) async fn run(args: &Logs, place: &Place, out: &mut Out) -> Result<Done, Failure> {
    let stream = match (args.stdout, args.stderr) {
        (true, false) => LogStream::Stdout,
        (false, true) => LogStream::Stderr,
        _ => LogStream::Unspecified,
    };
    let request = ReadLogsRequest {
        selection: Some(Selection { selectors: args.services.clone(), all: false }),
        lines: args.lines.unwrap_or(if args.since.is_some() { u32::MAX } else { LINES }),
        follow: args.follow,
        stream: stream.into(),
        since: args.since.map(to_wire),
        after: Vec::new(),
    };
    show(&place.located.supervisor, request, out).await
}

/// Shows what is asked for, and goes on with the next supervisor when this one is replaced.
pub(super) async fn show(
    endpoint: &Endpoint,
    mut request: ReadLogsRequest,
    out: &mut Out,
) -> Result<Done, Failure> {
    let mut supervisor = Supervisor::connect(endpoint).await?;
    let mut writer = Writer::new(&supervisor, &request, out).await?;
    let mut places = BTreeMap::new();
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
            return writer.finish(out).map(|()| Done::Well);
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
        // The services have been writing meanwhile: goes on where it was, and with what has come from others since.
        request.lines = u32::MAX;
        request.since = Some(to_wire(gone.elapsed()));
        request.after =
            places.iter().map(|((service, stream), place)| position(service, *stream, *place)).collect();
    }
}

/// Where each output has been shown up to.
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
        // What has come is shown before more is waited for; a flood is written in large pieces.
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

/// How what comes is written.
enum Writer {
    /// One service: its bytes.
    Raw,
    /// Several: whole lines with names.
    Named(Lines, Prefixes),
    /// Whole lines as JSON, one document a line.
    Json(Lines),
}

/// One line, for `--json`.
#[derive(Serialize)]
struct LineJson<'a> {
    service: &'a str,
    stream: &'static str,
    time: Option<&'a str>,
    text: Cow<'a, str>,
}

impl Writer {
    async fn new(supervisor: &Supervisor, request: &ReadLogsRequest, out: &Out) -> Result<Self, Failure> {
        if out.json {
            return Ok(Self::Json(Lines::default()));
        }
        let selectors = request.selection.as_ref().map(|selection| selection.selectors.as_slice());
        let selectors = selectors.unwrap_or_default();
        let status = supervisor.status(false, UNARY_DEADLINE).await?;
        let services: Vec<String> = status.services.into_iter().map(|service| service.name).collect();
        // A name that is spelled out is one service; everything else may be several.
        let single = match selectors {
            [] => services.len() == 1,
            [one] => Name::new(one).is_ok() && !has_instances(one, &services),
            _ => false,
        };
        if single {
            return Ok(Self::Raw);
        }
        let mut names = if selectors.is_empty() { services } else { selectors.to_vec() };
        names.retain(|name| Name::new(name).is_ok());
        Ok(Self::Named(Lines::default(), Prefixes::new(&names, out.look)))
    }

    fn write(&mut self, piece: &ReadLogsResponse, out: &mut Out) -> Result<(), Failure> {
        match self {
            Self::Raw => out.bytes(&piece.data),
            Self::Named(lines, prefixes) => {
                let prefix = prefixes.of(&piece.service);
                lines.take(&piece.service, piece.stream, &piece.data, |line| {
                    out.text(&prefix)?;
                    out.bytes(line)
                })
            }
            Self::Json(lines) => {
                let time = unstamp(piece.time).and_then(rfc3339);
                lines.take(&piece.service, piece.stream, &piece.data, |line| {
                    record(&piece.service, piece.stream, time.as_deref(), line, out)
                })
            }
        }
    }

    fn finish(&mut self, out: &mut Out) -> Result<(), Failure> {
        match self {
            Self::Raw => Ok(()),
            Self::Named(lines, prefixes) => lines.finish(|service, _, line| {
                out.text(&prefixes.of(service))?;
                out.bytes(line)
            }),
            Self::Json(lines) => {
                lines.finish(|service, stream, line| record(service, stream, None, line, out))
            }
        }
    }
}

/// `web` may mean `web:0` and `web:1`.
fn has_instances(name: &str, services: &[String]) -> bool {
    services.iter().any(|service| service.strip_prefix(name).is_some_and(|rest| rest.starts_with(':')))
}

fn record(service: &str, stream: i32, time: Option<&str>, line: &[u8], out: &mut Out) -> Result<(), Failure> {
    let stream = LogStream::try_from(stream).unwrap_or_default().word();
    let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line));
    out.record(&LineJson { service, stream, time, text })
}
