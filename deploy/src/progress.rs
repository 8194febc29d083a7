//! Finds what changed in a status: one short line for each daemon and service that has changed.

use std::collections::BTreeMap;

use serde_json::Value;

/// Last known state by name.
pub type Seen = BTreeMap<String, String>;

/// Remembers a status (the JSON of `ctl status`), and returns the entries that have changed.
pub fn news(seen: &mut Seen, status: &Value) -> Vec<(String, String)> {
    let monitors = rows(status, "monitors").map(|row| (name(row), monitor(row)));
    let services = rows(status, "services").map(|row| (name(row), service(row)));
    let now: Seen = monitors.chain(services).collect();
    let changed = |(name, what): &(&String, &String)| seen.get(*name) != Some(*what);
    let news = now.iter().filter(changed).map(|(name, what)| (name.clone(), what.clone())).collect();
    *seen = now;
    news
}

fn rows<'a>(status: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    status[key].as_array().into_iter().flatten()
}

fn name(row: &Value) -> String {
    row["name"].as_str().unwrap_or("?").into()
}

fn monitor(row: &Value) -> String {
    match (row["state"].as_str(), row["attached"].as_bool()) {
        (Some("up"), Some(true)) => "up, attached".into(),
        (Some("up"), _) => "up, not attached yet".into(),
        _ => "does not answer yet".into(),
    }
}

fn service(row: &Value) -> String {
    let state = row["state"].as_str().unwrap_or("?");
    let failing: Vec<&str> = rows(row, "checks")
        .filter(|check| check["state"] != "passing")
        .filter_map(|c| c["id"].as_str())
        .collect();
    match (state, failing.is_empty()) {
        ("running", true) => "running, all checks pass".into(),
        (_, true) => state.into(),
        (_, false) => format!("{state}, not passing yet: {}", failing.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status(state: &str, check: &str) -> Value {
        json!({
            "monitors": [{ "name": "port-monitor", "state": "up", "attached": true }],
            "services": [{ "name": "web", "state": state, "checks": [{ "id": "port", "state": check }] }],
        })
    }

    fn told(seen: &mut Seen, status: &Value) -> Vec<String> {
        news(seen, status).into_iter().map(|(name, what)| format!("{name}: {what}")).collect()
    }

    #[test]
    fn each_change_is_said_once() {
        let mut seen = Seen::new();
        assert_eq!(
            told(&mut seen, &status("starting", "unknown")),
            ["port-monitor: up, attached", "web: starting, not passing yet: port"]
        );
        assert_eq!(told(&mut seen, &status("starting", "unknown")), [""; 0]);
        assert_eq!(told(&mut seen, &status("running", "passing")), ["web: running, all checks pass"]);
    }

    #[test]
    fn a_status_of_another_shape_is_no_news() {
        assert_eq!(news(&mut Seen::new(), &json!({ "services": 3 })), []);
        assert_eq!(news(&mut Seen::new(), &json!({ "services": [1] })), [("?".into(), "?".into())]);
    }
}
