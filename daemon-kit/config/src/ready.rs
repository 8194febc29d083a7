//! Reads `ready`: the conditions for a run to count as ready.

use std::collections::BTreeMap;

use proto::Name;

use super::keys;
use super::model::{Check, Ready};
use super::problem::Wrong;
use super::reader::Reader;
use super::tree::Node;
use super::value::regex;

/// Reads `ready`. Its default is every check of the service, or, without checks, that it was started.
pub(super) fn read(service: &Reader<'_>, checks: &BTreeMap<Name, Check>) -> Vec<Ready> {
    let Some(node) = service.get("ready") else { return all(checks) };
    let conditions: Vec<Ready> = match node.list() {
        Some([]) => {
            service.bad(node, "must not be empty");
            Vec::new()
        }
        Some(items) => items.iter().filter_map(|item| condition(service, item, checks)).collect(),
        None => condition(service, node, checks).into_iter().collect(),
    };
    if conditions.is_empty() { all(checks) } else { conditions }
}

/// Returns the condition for Sereno's own daemons to be ready: a notification, or, on Windows, which has no notify
/// socket, the start.
pub fn notified() -> Vec<Ready> {
    vec![if cfg!(windows) { Ready::Started } else { Ready::Notify }]
}

fn all(checks: &BTreeMap<Name, Check>) -> Vec<Ready> {
    if checks.is_empty() { vec![Ready::Started] } else { checks.keys().cloned().map(Ready::Check).collect() }
}

fn condition(service: &Reader<'_>, node: &Node, checks: &BTreeMap<Name, Check>) -> Option<Ready> {
    const RULE: &str = "must be \"started\", \"port\", \"health\", \"notify\", the id of a check, \
                        { log = \"regex\" }, { delay = \"5s\" }, or a list of these";
    if node.table().is_some() {
        let table = Reader::new(service.scope, node, service.service, &keys::READY)?;
        let log = table.opt("log", regex).map(Ready::Log);
        let delay = table.opt_duration("delay").map(Ready::Delay);
        if table.get("log").is_some() == table.get("delay").is_some() {
            service.bad(node, "must have either log or delay; for both, give a list");
        }
        return log.or(delay);
    }
    match node.text() {
        Some("started") => Some(Ready::Started),
        Some("notify") if cfg!(windows) && !service.template => {
            let rule = "is not to be had on Windows, which has no notify socket: say it by a check or by { log = \"regex\" }";
            service.bad(node, rule);
            None
        }
        Some("notify") if cfg!(target_os = "macos") && !service.template && service.get("user").is_some() => {
            let rule = "is not to be had on macOS together with user, as nobody says there who speaks: say it by a check or by \
                        { log = \"regex\" }";
            service.bad(node, rule);
            None
        }
        Some("notify") => Some(Ready::Notify),
        Some(id) if checks.contains_key(id) => Some(Ready::Check(Name::new(id).ok()?)),
        // In `[defaults]` the check is unknown: it is looked up in each service that uses them.
        Some(_) if service.template => None,
        Some(id @ ("port" | "health")) => {
            service.bad(node, format!("needs a {id} check, and this service has none"));
            None
        }
        id => {
            let words = checks.keys().map(Name::as_str).chain(["started", "notify", "port", "health"]);
            service
                .bad(node, Wrong { rule: RULE.into(), hint: keys::nearest(id.unwrap_or_default(), words) });
            None
        }
    }
}
