//! Converts wire types to domain types. Errors name the field.

use std::path::PathBuf;
use std::time::Duration;

use proto::{Name, v1};
use tonic::Status;

use crate::logs::{Place, Which};
use sereno_serve::Caller;

use crate::lifecycle::check_runs::CheckRuns;
use crate::manager::command::{
    Ask, CheckResult, ConfigError, Evidence, Hello, MonitorError, NewService, PortOwner, Report, Selection,
    Source, Speaker,
};

/// Checks a name in a field.
pub(super) fn name(field: &str, text: &str) -> Result<Name, Status> {
    Name::new(text).map_err(|error| Status::invalid_argument(format!("{field}: {error}")))
}

/// Converts a selection that must select something.
pub(super) fn selection(wire: Option<v1::Selection>) -> Result<Selection, Status> {
    let selection = some_selection(wire);
    if selection.selectors.is_empty() && !selection.all {
        return Err(Status::invalid_argument("selection: names nobody; give selectors or all"));
    }
    Ok(selection)
}

/// Converts a selection that may be empty.
pub(super) fn some_selection(wire: Option<v1::Selection>) -> Selection {
    let wire = wire.unwrap_or_default();
    Selection { selectors: wire.selectors, all: wire.all }
}

/// Converts a duration in a field; absent is `None`.
pub(super) fn duration(
    field: &'static str,
    wire: Option<prost_types::Duration>,
) -> Result<Option<Duration>, Status> {
    if wire.is_none() {
        return Ok(None);
    }
    let read = proto::time::from_wire(field, wire);
    read.map(Some).map_err(|error| Status::invalid_argument(error.to_string()))
}

/// Converts a configuration file.
pub(super) fn source(wire: Option<v1::Source>) -> Result<Source, Status> {
    let wire = wire.ok_or_else(|| Status::invalid_argument("source: is missing"))?;
    let path = PathBuf::from(&wire.path);
    if !path.is_absolute() {
        return Err(Status::invalid_argument(format!("source.path: {:?} is not absolute", wire.path)));
    }
    Ok(Source { path, text: wire.text, env: wire.env.into_iter().collect() })
}

/// Converts a service that no file names.
pub(super) fn new_service(wire: v1::AddServiceRequest) -> Result<NewService, Status> {
    let folder = PathBuf::from(&wire.folder);
    if !folder.is_absolute() {
        return Err(Status::invalid_argument(format!("folder: {:?} is not absolute", wire.folder)));
    }
    let name = name("name", &wire.name)?;
    Ok(NewService { name, toml: wire.toml, folder, env: wire.env.into_iter().collect() })
}

/// Converts the positions of a follower. Invalid positions are ignored, so that those logs are read from their end as
/// without a position.
pub(super) fn places(wire: &[v1::LogPosition]) -> Vec<(String, Which, Place)> {
    let place = |position: &v1::LogPosition| {
        let which = match position.stream() {
            v1::LogStream::Stdout => Which::Out,
            v1::LogStream::Stderr => Which::Err,
            v1::LogStream::Unspecified => return None,
        };
        let at = position.place?;
        Some((position.service.clone(), which, Place { file: at.file, offset: at.offset }))
    };
    wire.iter().filter_map(place).collect()
}

/// Returns the caller that speaks in a monitor's name.
pub(super) fn speaker(caller: &Caller) -> Speaker {
    let name = caller.identity.as_ref().map(|identity| identity.name.clone());
    Speaker { who: caller.who.clone(), pid: caller.pid, name }
}

/// Converts a monitor's request to attach.
pub(super) fn hello(wire: v1::WatchTargetsRequest, speaker: Speaker) -> Result<Hello, Status> {
    let monitor = name("monitor", &wire.monitor)?;
    for (field, text) in [("kind", &wire.kind), ("session", &wire.session)] {
        if text.is_empty() {
            return Err(Status::invalid_argument(format!("{field}: is empty")));
        }
    }
    Ok(Hello { monitor, kind: wire.kind, session: wire.session, endpoint: wire.endpoint, speaker })
}

/// Converts a monitor's report. Unknown services and checks are ignored later: the target set may just have changed.
pub(super) fn report(wire: v1::ReportHealthRequest, speaker: Speaker) -> Result<Report, Status> {
    let results = wire.results.iter().map(result).collect::<Result<_, _>>()?;
    let blind = wire.blind.then(|| one_line(&wire.blind_reason));
    Ok(Report {
        monitor: name("monitor", &wire.monitor)?,
        session: wire.session,
        speaker,
        generation: wire.generation,
        blind,
        results,
    })
}

fn result(wire: &v1::CheckResult) -> Result<CheckResult, Status> {
    let passing = match wire.state() {
        v1::CheckState::Passing => Some(true),
        v1::CheckState::Failing => Some(false),
        v1::CheckState::Unknown | v1::CheckState::Unspecified => None,
    };
    Ok(CheckResult {
        service: name("results.service", &wire.service)?,
        incarnation: wire.incarnation,
        check: name("results.check", &wire.check)?,
        passing,
        failures: wire.failures,
        latency: duration("results.latency", wire.latency)?,
        age: duration("results.age", wire.age)?.unwrap_or_default(),
        detail: one_line(&wire.detail),
        foreign: wire.foreign,
        stalled: wire.stalled,
        every: duration("results.every", wire.every)?,
        runs: CheckRuns { passed: wire.passed, failed: wire.failed },
    })
}

/// Converts a monitor's restart request.
pub(super) fn ask(wire: v1::RequestRestartRequest, speaker: Speaker) -> Result<Ask, Status> {
    let seen = wire.evidence.unwrap_or_default();
    let owner = PortOwner { pid: seen.owner_pid, command: seen.owner_command };
    Ok(Ask {
        monitor: name("monitor", &wire.monitor)?,
        session: wire.session,
        speaker,
        service: wire.service,
        incarnation: wire.incarnation,
        check: name("check", &wire.check)?,
        failures: seen.failures,
        summary: one_line(&seen.summary),
        evidence: Evidence {
            http_status: (seen.http_status != 0).then_some(seen.http_status),
            errno: seen.errno,
            owner: (owner.pid != 0).then_some(owner),
            body_head: seen.body_head,
        },
    })
}

/// Returns the status for a file that is refused.
pub(super) fn config_error(error: &ConfigError) -> Status {
    let text = error.to_string();
    match error {
        ConfigError::Problems(_) | ConfigError::OtherHome(..) => Status::invalid_argument(text),
        ConfigError::Added(..)
        | ConfigError::Leaving(_)
        | ConfigError::OfFile(_)
        | ConfigError::Needed(..)
        | ConfigError::Descriptors(_) => Status::failed_precondition(text),
        ConfigError::Exists(_) | ConfigError::OtherFile(_) => Status::already_exists(text),
        ConfigError::Unknown(_) => Status::not_found(text),
        ConfigError::Moved => Status::aborted(text),
        ConfigError::Disk(_) => Status::internal(text),
        ConfigError::NoAnswer(_) => Status::deadline_exceeded(text),
        ConfigError::Going => Status::unavailable(text),
    }
}

/// Returns the status for a monitor's message that is not accepted.
pub(super) fn monitor_error(error: &MonitorError) -> Status {
    let text = error.to_string();
    match error {
        MonitorError::NotAttached => Status::failed_precondition(text),
        MonitorError::Kind { .. } => Status::invalid_argument(text),
        MonitorError::TooMany(_) => Status::resource_exhausted(text),
        MonitorError::Impostor { .. } | MonitorError::Unconfigured(_) | MonitorError::NotItsCheck { .. } => {
            Status::permission_denied(text)
        }
    }
}

/// Replaces characters that would break a table. The length was checked when the message was decoded.
fn one_line(text: &str) -> String {
    text.chars().map(proto::text::printable).collect()
}
