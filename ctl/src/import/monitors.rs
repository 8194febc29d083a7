//! Converts scripts that watched other apps and restarted them through PM2: here the monitors do that. A
//! URL or a port that such a script checks becomes a check of the service.

use std::path::Path;

use serde_json::Value;

use super::source::App;
use super::{Imported, tidy};
use crate::draft::Service;

/// A script that watched other apps.
#[derive(Debug)]
pub(super) struct Watcher {
    name: String,
    urls: Vec<String>,
    ports: Vec<u16>,
}

/// Maximum size of such a script, in bytes: a program that only asks for a URL is shorter.
const LONGEST: u64 = 256 * 1024;

/// Recognizes such a script by its name and its content.
pub(super) fn watcher(name: &str, app: &App, cwd: &Path) -> Option<Watcher> {
    let script = app.get("script").and_then(Value::as_str)?;
    let args = super::script::words(app.get("args").cloned());
    // `script: "python", args: "health_monitor.py"` is equally common.
    let candidates = std::iter::once(script.to_owned()).chain(args);
    let is_one = |text: &str| {
        let text = text.to_lowercase();
        let about = ["health", "port", "uptime", "watch"].iter().any(|word| text.contains(word));
        about && ["monitor", "check", "watchdog", "watcher"].iter().any(|word| text.contains(word))
    };
    let source = candidates.clone().find_map(|file| {
        let path = tidy(&cwd.join(&file));
        let meta = std::fs::metadata(&path).ok()?;
        (meta.is_file() && meta.len() <= LONGEST).then(|| std::fs::read_to_string(path).ok())?
    });
    let named = is_one(name) || candidates.into_iter().any(|file| is_one(&file));
    let text = source.unwrap_or_default();
    // A script with such a name that serves something itself is a service.
    let watches =
        text.is_empty() || text.contains("pm2") || text.contains("connect_ex") || !urls(&text).is_empty();
    let serves = app.get("port").is_some() || text.contains("FastAPI(") || text.contains(".listen(");
    if !named || !watches || serves {
        return None;
    }
    let env = app.get("env").map(Value::to_string).unwrap_or_default();
    let all = format!("{text}\n{env}\n{}", app.get("args").map(Value::to_string).unwrap_or_default());
    Some(Watcher { name: name.into(), urls: urls(&all), ports: ports(&all) })
}

/// Adds the checks of each script to the services, and reports where they are now.
pub(super) fn become_checks(watchers: Vec<Watcher>, imported: &mut Imported) {
    for watcher in watchers {
        let mut made = Vec::new();
        for service in &mut imported.draft.services {
            let Some(port) = port_of(service) else { continue };
            if let Some(url) = watcher.urls.iter().find(|url| port_in_url(url) == Some(port)) {
                service.remark("health", url.clone(), &format!("was asked by {}", watcher.name));
                made.push(format!("{}.health", service.name));
            }
            if watcher.ports.contains(&port) {
                made.push(format!("{}.port", service.name));
            }
        }
        let reason = if made.is_empty() {
            "watching is what health-monitor and port-monitor do: add health = \"http://…\" or port = … to what it \
             watched"
                .to_owned()
        } else {
            format!("now a check, made by health-monitor and port-monitor: {}", made.join(", "))
        };
        imported.drop(&watcher.name, "the whole app", reason);
    }
}

fn port_of(service: &Service) -> Option<u16> {
    service.get("port")?.as_integer()?.try_into().ok()
}

fn port_in_url(url: &str) -> Option<u16> {
    let rest = url.split_once("://")?.1;
    let host = rest.split('/').next()?;
    host.rsplit_once(':')?.1.parse().ok()
}

/// Returns the URLs of this machine in a program's text.
fn urls(text: &str) -> Vec<String> {
    let ends = |letter: char| letter.is_whitespace() || "\"'`)>,;{}\\".contains(letter);
    let mut found: Vec<String> = Vec::new();
    for start in ["http://localhost:", "http://127.0.0.1:", "http://0.0.0.0:"] {
        for (at, _) in text.match_indices(start) {
            let url = text[at..].split(ends).next().unwrap_or_default();
            // `localhost` may mean only ::1, and is left as written; 0.0.0.0 is no address to connect to.
            let url = url.replace("//0.0.0.0:", "//127.0.0.1:");
            if port_in_url(&url).is_some() && !found.contains(&url) {
                found.push(url);
            }
        }
    }
    // A health page says more than the first page.
    found.sort_by_key(|url| !url.contains("health"));
    found
}

/// Returns the numbers in a program's text that may be ports.
fn ports(text: &str) -> Vec<u16> {
    let numbers = text.split(|letter: char| !letter.is_ascii_alphanumeric());
    let mut ports: Vec<u16> =
        numbers.filter_map(|word| word.parse().ok()).filter(|port| *port >= 80).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}
