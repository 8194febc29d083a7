//! Writes log output: bytes, lines with names, or JSON; all of it, or only matching lines.

use std::borrow::Cow;

use proto::time::unstamp;
use proto::v1::{LogStream, ReadLogsRequest, ReadLogsResponse};
use proto::{Name, UNARY_DEADLINE};
use serde::Serialize;
use sereno_config::Selector;

use crate::client::Supervisor;
use crate::failure::{Done, Failure, note};
use crate::out::Out;
use crate::render::Look;
use crate::render::lines::{Last, Lines, Matches, Prefixes};
use crate::render::time::rfc3339;

/// Writes the received log output.
pub(super) struct Writer {
    form: Form,
    lines: Lines,
    matches: Option<Matches>,
    /// Set while only the last matching lines of the past are wanted.
    last: Option<Last<Vec<u8>>>,
    /// Buffer for the line that is being built.
    text: Vec<u8>,
    /// An output could not be read; the reason has been printed.
    troubled: bool,
}

enum Form {
    /// Output of one service: its bytes, until another service appears.
    Raw {
        /// The service; `None` before the first output.
        service: Option<String>,
        look: Look,
    },
    /// Several services: whole lines with names.
    Named(Prefixes),
    /// Whole lines as JSON, one document per line.
    Json,
}

/// One log line, for `--json`.
#[derive(Serialize)]
struct LineJson<'a> {
    service: &'a str,
    stream: &'static str,
    time: Option<&'a str>,
    text: Cow<'a, str>,
}

impl Writer {
    pub(super) async fn new(
        supervisor: &Supervisor,
        request: &ReadLogsRequest,
        out: &Out,
    ) -> Result<Self, Failure> {
        let form = if out.json { Form::Json } else { Form::of(supervisor, request, out).await? };
        Ok(Self {
            form,
            lines: Lines::default(),
            matches: None,
            last: None,
            text: Vec::new(),
            troubled: false,
        })
    }

    /// Writes only matching lines, and of the past only the last `last` of them; `u32::MAX` means all.
    pub(super) fn matching(self, matches: Matches, last: u32) -> Self {
        let last = (last != u32::MAX).then(|| Last::new(last));
        Self { matches: Some(matches), last, ..self }
    }

    pub(super) fn write(&mut self, piece: &ReadLogsResponse, out: &mut Out) -> Result<(), Failure> {
        if !piece.trouble.is_empty() {
            self.troubled = true;
            note(&format!("{}: {}", piece.service, piece.trouble));
            return Ok(());
        }
        let Self { form, lines, matches, last, text, .. } = self;
        form.tell_apart(&piece.service);
        if matches!(form, Form::Raw { .. }) && matches.is_none() {
            return out.written_by_service(&piece.data);
        }
        let time = if matches!(form, Form::Json) { unstamp(piece.time).and_then(rfc3339) } else { None };
        lines.take(&piece.service, piece.stream, &piece.data, |line| {
            let Some(line) = found(matches.as_ref(), line) else { return Ok(()) };
            text.clear();
            form.write(&piece.service, piece.stream, time.as_deref(), &line, text);
            match last {
                None => out.written_by_service(text),
                Some(last) => {
                    last.push(&piece.service, piece.stream, text.clone());
                    Ok(())
                }
            }
        })
    }

    /// Marks the end of the past output.
    pub(super) fn end_of_past(&mut self, out: &mut Out) -> Result<(), Failure> {
        self.last
            .take()
            .map_or(Ok(()), |last| last.into_iter().try_for_each(|text| out.written_by_service(&text)))
    }

    /// Writes the last lines that lack a line end. Returns `NotWell` if an output could not be read.
    pub(super) fn finish(&mut self, out: &mut Out) -> Result<Done, Failure> {
        let Self { form, lines, matches, text, troubled, .. } = self;
        lines.finish(|service, stream, line| {
            let Some(line) = found(matches.as_ref(), line) else { return Ok(()) };
            text.clear();
            form.write(service, stream, None, &line, text);
            out.written_by_service(text)
        })?;
        Ok(Done::when(!*troubled))
    }
}

fn found<'a>(matches: Option<&Matches>, line: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    match matches {
        None => Some(Cow::Borrowed(line)),
        Some(matches) => matches.find(line),
    }
}

impl Form {
    async fn of(supervisor: &Supervisor, request: &ReadLogsRequest, out: &Out) -> Result<Self, Failure> {
        let selectors = request.selection.as_ref().map(|selection| selection.selectors.as_slice());
        let selectors = selectors.unwrap_or_default();
        let status = supervisor.status(false, UNARY_DEADLINE).await?;
        // A full name means one service; any other selector may match several.
        let meant = |text: &String| {
            let selector = Selector::new(text);
            let services = status.services.iter();
            let own = services.filter(|service| selector.selects(&service.name, &service.tags));
            let mut names: Vec<String> = own.map(|service| service.name.clone()).collect();
            if names.is_empty() && Name::new(text).is_ok() {
                names.push(text.clone());
            }
            names
        };
        let mut names: Vec<String> = match selectors {
            [] => status.services.iter().map(|service| service.name.clone()).collect(),
            selectors => selectors.iter().flat_map(meant).collect(),
        };
        names.sort();
        names.dedup();
        Ok(if names.len() == 1 {
            Self::Raw { service: None, look: out.look }
        } else {
            Self::Named(Prefixes::new(&names, out.look))
        })
    }

    /// Switches to named lines when a second service appears while following.
    fn tell_apart(&mut self, service: &str) {
        let Self::Raw { service: one, look } = self else { return };
        match one {
            Some(one) if one == service => {}
            Some(one) => *self = Self::Named(Prefixes::new(&[one.clone(), service.into()], *look)),
            None => *one = Some(service.into()),
        }
    }

    fn write(&mut self, service: &str, stream: i32, time: Option<&str>, line: &[u8], to: &mut Vec<u8>) {
        match self {
            Self::Raw { .. } => to.extend_from_slice(line),
            Self::Named(prefixes) => {
                let is_error = stream == i32::from(LogStream::Stderr);
                to.extend_from_slice(prefixes.of(service, is_error).as_bytes());
                to.extend_from_slice(line);
            }
            Self::Json => {
                let stream = LogStream::try_from(stream).unwrap_or_default().word();
                let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line));
                serde_json::to_writer(&mut *to, &LineJson { service, stream, time, text })
                    .expect("texts become JSON, and a vector takes them");
                to.push(b'\n');
            }
        }
    }
}
