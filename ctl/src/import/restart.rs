//! Converts PM2's restart options.

use serde_json::Value;
use sereno_config::Cron;

use super::script::{text, words};
use super::source::App;
use crate::draft::Service;

/// Maximum delay of PM2's backoff, in milliseconds.
const LONGEST: u64 = 15_000;

/// Removes the restart options from the app. Returns those that can not be converted, with the reason.
pub(super) fn take(app: &mut App, service: &mut Service) -> Vec<(String, String)> {
    let mut odd = Vec::new();
    let codes: Vec<i64> =
        words(app.remove("stop_exit_codes")).iter().filter_map(|code| code.parse().ok()).collect();
    let once = app.remove("autorestart") == Some(Value::Bool(false));
    let cron = cron(app, &mut odd);
    match cron {
        Some(line) if once => {
            // The service runs only at the scheduled times: a job.
            service.set("schedule", line);
            let remark =
                "PM2 also runs it when it is started; here \"ctl start\" does, and \"ctl up\" does not";
            odd.push(("the first run of cron_restart".into(), remark.into()));
        }
        Some(line) => service.put("restart", "cron", line),
        None if once => service.put("restart", "policy", "never"),
        None => {}
    }
    match codes {
        codes if !codes.is_empty() && !once => {
            service.put("restart", "policy", "on-failure");
            service.put("restart", "success_codes", codes.into_iter().collect::<toml_edit::Array>());
        }
        _ => {}
    }
    let mut time = |app: &mut App, option: &str| {
        let value = app.remove(option)?;
        let read = milliseconds(&value);
        if read.is_none() {
            odd.push((format!("{option} = {value}"), "it is no time".to_owned()));
        }
        read
    };
    let delay = time(app, "restart_delay");
    let backoff = time(app, "exp_backoff_restart_delay").filter(|time| *time > 0);
    let uptime = time(app, "min_uptime");
    if let Some(first) = backoff {
        service.put("restart", "initial", written(first));
        service.put("restart", "factor", 1.5);
        service.put("restart", "max_wait", written(first.max(LONGEST)));
        service.put("restart", "jitter", 0.0);
        if delay.is_some() {
            odd.push((
                "restart_delay".into(),
                "PM2 takes exp_backoff_restart_delay where both are given".into(),
            ));
        }
    } else if let Some(delay) = delay.filter(|delay| *delay > 0) {
        service.put("restart", "delay", written(delay));
    }
    if let Some(most) = text(app.remove("max_restarts")).and_then(|most| most.parse::<i64>().ok()) {
        service.put("restart", "max", most);
    }
    if let Some(uptime) = uptime {
        service.put("restart", "min_uptime", written(uptime));
    }
    odd
}

/// Returns PM2's restart schedule if it is a cron line; in PM2, `0` means never.
fn cron(app: &mut App, odd: &mut Vec<(String, String)>) -> Option<String> {
    let line = text(app.remove("cron_restart")).filter(|line| !["", "0", "false"].contains(&line.trim()))?;
    match Cron::parse(&line) {
        Ok(cron) => Some(cron.text().to_owned()),
        Err(error) => {
            odd.push((format!("cron_restart = {line:?}"), error.to_string()));
            None
        }
    }
}

/// Parses a duration: a number in milliseconds, or `"10s"`, `"5m"`, `"1h"`.
pub(super) fn milliseconds(value: &Value) -> Option<u64> {
    let text = text(Some(value.clone()))?;
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        return (number.is_finite() && number >= 0.0).then(|| whole(number));
    }
    let units = [("ms", 1.0), ("s", 1e3), ("m", 6e4), ("h", 3.6e6)];
    let (number, unit) = units.iter().find_map(|(ending, unit)| {
        let number = text.strip_suffix(ending)?.trim().parse::<f64>().ok()?;
        Some((number, unit))
    })?;
    (number.is_finite() && number >= 0.0).then(|| whole(number * unit))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and capped")]
fn whole(number: f64) -> u64 {
    number.min(1e12).round() as u64
}

/// Formats a duration for the file.
pub(super) fn written(milliseconds: u64) -> String {
    match milliseconds {
        time if time > 0 && time % 60_000 == 0 => format!("{}m", time / 60_000),
        time if time % 1_000 == 0 => format!("{}s", time / 1_000),
        time => format!("{time}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_are_read_as_pm2_reads_them() {
        for (value, time) in [
            (json!(100), Some("100ms")),
            (json!("10s"), Some("10s")),
            (json!("2m"), Some("2m")),
            (json!("x"), None),
        ] {
            assert_eq!(milliseconds(&value).map(written).as_deref(), time, "{value}");
        }
    }
}
