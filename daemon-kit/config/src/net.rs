//! Parses values of network checks: addresses, URLs, status codes, headers.

use std::ops::RangeInclusive;

use super::problem::Wrong;
use super::tree::{Node, Value};
use super::value::{filled, text};

/// Parses a port into the addresses of this machine with it. Both families are tried, as a server may listen on only
/// one.
pub(super) fn port(range: RangeInclusive<i64>) -> impl Fn(&Node) -> Result<Vec<String>, Wrong> {
    move |node| {
        let number = match &node.value {
            Value::Integer(number) => Some(*number),
            // A variable makes a string, as in `port = "${PORT}"`.
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number.filter(|port| range.contains(port)) {
            Some(port) => Ok(vec![format!("127.0.0.1:{port}"), format!("[::1]:{port}")]),
            None => Err(format!("must be a port from {} to {}", range.start(), range.end()).into()),
        }
    }
}

/// Parses `host:port` or `[::1]:port`.
pub(super) fn address(node: &Node) -> Result<String, Wrong> {
    let text = filled(node)?;
    if is_address(&text, true) {
        return Ok(text);
    }
    Err("must be host:port, such as \"127.0.0.1:8000\" or \"[::1]:8000\"".into())
}

fn is_address(text: &str, needs_port: bool) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port_ok = port.map_or(!needs_port, |port| {
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    let host_ok = match host.strip_prefix('[') {
        Some(v6) => v6.strip_suffix(']').is_some_and(|v6| {
            // A link-local address names its interface after a percent sign.
            v6.split('%').next().unwrap_or_default().parse::<std::net::Ipv6Addr>().is_ok()
        }),
        None => !host.is_empty() && host.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_')),
    };
    port_ok && host_ok
}

/// Whether an address certainly belongs to this machine, whose socket table then knows the owner of the port.
pub(super) fn is_local(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
    host == "localhost"
        || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback() || ip.is_unspecified())
}

pub(super) fn url(node: &Node) -> Result<String, Wrong> {
    let text = filled(node)?;
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let authority = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let host = authority.map(|authority| authority.rsplit_once('@').map_or(authority, |(_, host)| host));
    if host.is_some_and(|host| is_address(host, false)) && !text.contains(char::is_whitespace) {
        return Ok(text);
    }
    Err("must be a URL such as \"http://127.0.0.1:8000/health\"".into())
}

pub(super) fn method(node: &Node) -> Result<String, Wrong> {
    let text = text(node)?;
    if !text.is_empty() && text.len() <= 20 && text.bytes().all(|b| b.is_ascii_uppercase()) {
        return Ok(text);
    }
    Err("must be an HTTP method in capitals, such as \"GET\" or \"HEAD\"".into())
}

pub(super) fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

pub(super) fn is_header_value(value: &str) -> bool {
    value.chars().all(|c| c == '\t' || !c.is_control())
}

/// Parses `200`, `"200-399"` or a list of these into inclusive ranges.
pub(super) fn statuses(good: RangeInclusive<i64>) -> impl Fn(&Node) -> Result<Vec<(u16, u16)>, Wrong> {
    move |node| {
        let code = |code: i64| u16::try_from(code).ok().filter(|_| good.contains(&code));
        let one = |node: &Node| match &node.value {
            Value::Integer(number) => code(*number).map(|code| (code, code)),
            Value::Text(text) => {
                let (from, to) = text.split_once('-').unwrap_or((text, text));
                let from = from.trim().parse().ok().and_then(code)?;
                let to = to.trim().parse().ok().and_then(code)?;
                (from <= to).then_some((from, to))
            }
            _ => None,
        };
        let ranges: Option<Vec<_>> = match node.list() {
            Some(items) => items.iter().map(one).collect(),
            None => one(node).map(|range| vec![range]),
        };
        ranges.filter(|ranges| !ranges.is_empty()).ok_or_else(|| {
            let (least, most) = (good.start(), good.end());
            format!(
                "must be a status from {least} to {most}, a range such as \"200-399\", or a list of these"
            )
            .into()
        })
    }
}
