//! Reads `port`, `health` and `checks.<id>`: what monitors check.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::Name;

use super::keys::{self, ON_FAILURE};
use super::model::{Check, CheckSpec, HttpCheck};
use super::net;
use super::problem::Wrong;
use super::reader::Reader;
use super::service::{check_name, variable};
use super::tree::Node;
use super::value::{argv, failures, filled, flag, json_members, regex};

/// The checks of a service, and how long it may take to be ready.
pub(super) struct Checks {
    pub(super) checks: BTreeMap<Name, Check>,
    pub(super) ready_timeout: Duration,
}

/// A check whose `start_period` depends on the other checks.
struct Draft<'a> {
    check: Check,
    start_period: Option<Duration>,
    table: Reader<'a>,
}

/// Reads every check of a service.
pub(super) fn read(service: &Reader<'_>, cwd: &Path) -> Checks {
    let mut drafts: BTreeMap<Name, Draft<'_>> = BTreeMap::new();
    for (id, name) in [("port", "tcp"), ("health", "http")] {
        let table = service.sub(id);
        if let (Some(table), Ok(id)) = (table, Name::new(id)) {
            drafts.insert(id, draft(table, name, cwd));
        }
    }
    let more = service.get("checks").and_then(|node| Reader::open(service.scope, node, service.service));
    for (id, node) in more.iter().flat_map(Reader::entries) {
        if let Some((id, draft)) = other(service, id, node, cwd)
            && let Some(first) = drafts.insert(id.clone(), draft)
        {
            service.scope.key(
                node.key_at,
                &node.path,
                service.service,
                format!("is the same as {}: give one of them", first.table.node.path),
            );
        }
    }
    settle(service, drafts)
}

/// Reads an entry of `checks`.
fn other<'a>(service: &Reader<'a>, id: &str, node: &'a Node, cwd: &Path) -> Option<(Name, Draft<'a>)> {
    let bad_id = |wrong: Wrong| service.scope.key(node.key_at, &node.path, service.service, wrong);
    let name = check_name(id).map_err(bad_id).ok()?;
    if matches!(id, "started" | "notify") {
        bad_id("is a word of ready: give the check another id".into());
    }
    let any = Reader::open(service.scope, node, service.service)?;
    let Some(given) = any.get("kind") else {
        // In `[defaults]` it is a template for services that give the kind.
        if !service.template {
            any.lacks("needs a kind, such as \"http\", \"tcp\" or \"exec\"");
        }
        return None;
    };
    let kind_name = any.read(given, filled)?;
    let table = Reader::new(service.scope, node, service.service, keys::of_check(&kind_name))?;
    let table = if service.template { table.template() } else { table };
    Some((name, draft(table, &kind_name, cwd)))
}

fn draft<'a>(table: Reader<'a>, name: &str, cwd: &Path) -> Draft<'a> {
    let interval = table.duration("interval");
    let (failures, window) = table.or_default("failures", failures(table.keys.whole("failures")));
    let check = Check {
        kind: name.into(),
        spec: match name {
            "tcp" => tcp(&table),
            "http" => http(&table),
            "exec" => exec(&table, cwd),
            _ => CheckSpec::Options(table.map("options", |_, _| Ok(()))),
        },
        interval,
        timeout: timeout(&table, interval),
        retry_interval: table.opt_duration("retry_interval").unwrap_or(interval),
        start_period: Duration::ZERO,
        failures,
        window,
        successes: table.whole("successes"),
        on_failure: table.choice("on_failure", &ON_FAILURE),
    };
    Draft { check, start_period: table.opt_duration("start_period"), table }
}

/// Reads `timeout`. It must be less than the interval, so that two checks of one target never overlap.
fn timeout(table: &Reader<'_>, interval: Duration) -> Duration {
    let Some(given) = table.opt_duration("timeout") else {
        let default = table.keys.default_duration("timeout");
        return if default < interval { default } else { interval.mul_f64(0.8) };
    };
    if let Some(node) = table.get("timeout").filter(|_| given >= interval) {
        table.bad(node, format!("must be less than the interval ({})", humantime::format_duration(interval)));
    }
    given
}

/// Reads `ready_timeout` and `start_period`. A run cannot be given up within a start period, so the longest one extends
/// the default of `ready_timeout`; a short one of a single check does not shorten it.
fn settle(service: &Reader<'_>, drafts: BTreeMap<Name, Draft<'_>>) -> Checks {
    let longest = drafts.values().filter_map(|draft| draft.start_period).max().unwrap_or_default();
    let ready_timeout = service
        .opt_duration("ready_timeout")
        .unwrap_or_else(|| service.keys.default_duration("ready_timeout").max(longest));
    let settled = |(id, draft): (Name, Draft<'_>)| {
        let period = draft.start_period.unwrap_or(ready_timeout);
        if let Some(node) = draft.table.get("start_period").filter(|_| period > ready_timeout) {
            let limit = humantime::format_duration(ready_timeout);
            draft.table.bad(node, format!("must be at most ready_timeout ({limit})"));
        }
        (id, Check { start_period: period, ..draft.check })
    };
    Checks { checks: drafts.into_iter().map(settled).collect(), ready_timeout }
}

fn tcp(table: &Reader<'_>) -> CheckSpec {
    let ports = table.opt("port", net::port(table.keys.whole("port")));
    let listed = match table.get("address") {
        Some(node) if node.list().is_some() => table.list("address", "addresses", net::address),
        _ => table.opt("address", net::address).map(|address| vec![address]),
    };
    match (table.get("port"), table.get("address")) {
        (Some(_), Some(node)) => table.bad(node, "can not stand beside port: give one of them"),
        (None, None) => table.lacks("needs a port (or address = \"host:port\")"),
        (None, Some(node)) if node.list().is_some_and(<[_]>::is_empty) => {
            table.bad(node, "must not be empty");
        }
        _ => {}
    }
    let addresses = ports.or(listed).unwrap_or_default();
    let here = addresses.iter().all(|address| net::is_local(address));
    CheckSpec::Tcp { owner: table.opt("owner", flag).unwrap_or(here), addresses }
}

fn exec(table: &Reader<'_>, cwd: &Path) -> CheckSpec {
    if table.get("command").is_none() {
        table.lacks("needs a command");
    }
    CheckSpec::Exec {
        argv: table.opt("command", argv).unwrap_or_default(),
        cwd: table.path("cwd").unwrap_or_else(|| PathBuf::from(cwd)),
        env: table.map("env", variable),
    }
}

fn http(table: &Reader<'_>) -> CheckSpec {
    if table.get("url").is_none() {
        table.lacks("needs a url");
    }
    let expect = table.sub_or_empty("expect");
    let header = |name: &str, text: &str| {
        if !net::is_header_name(name) {
            return Err(Wrong::from("must be the name of an HTTP header"));
        }
        if !net::is_header_value(text) {
            return Err("must have no line breaks or control characters".into());
        }
        Ok(())
    };
    CheckSpec::Http(HttpCheck {
        url: table.opt("url", net::url).unwrap_or_default(),
        method: table.or_default("method", net::method),
        headers: table.map("headers", header),
        expect_status: expect.or_default("status", net::statuses(expect.keys.whole("status"))),
        expect_body: expect.opt("body", |node| regex(node).map(|regex| regex.to_string())),
        expect_json: expect.opt("json", json_members).unwrap_or_default(),
        redirects: table.whole("redirects"),
        ca_file: table.path("ca_file"),
        insecure: table.flag("insecure"),
    })
}
