//! Reads a `Procfile`: one `name: command` per line, run by a shell.

use std::path::Path;

use super::{Draft, Service, name};

/// Returns a draft with every process of the file, and the malformed lines with their numbers.
pub(crate) fn read(text: &str, cwd: Option<&str>) -> (Draft, Vec<(usize, String)>) {
    let mut draft = Draft::default();
    let mut odd = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((process, command)) = line.split_once(':').filter(|(_, command)| !command.trim().is_empty())
        else {
            odd.push((number + 1, line.to_owned()));
            continue;
        };
        let mut service = Service::new(&name(process.trim()));
        // Run by a shell, as in foreman and Heroku: `$PORT` and `a && b` are common there.
        service.set("shell", command.trim());
        if let Some(cwd) = cwd {
            service.set("cwd", cwd);
        }
        if process.trim() == "release" {
            service.comments.push("A release step: runs once, and is not kept up.".into());
            service.set("restart", "never");
        }
        draft.add(service);
    }
    (draft, odd)
}

/// Gives `.env` to all services, as foreman does, if the file exists.
pub(crate) fn with_env_file(draft: &mut Draft, folder: &Path, written: &str) {
    if folder.join(".env").is_file() {
        for service in &mut draft.services {
            service.set("env_file", written);
        }
    }
}

/// Sets `$PORT`, which the tool that runs a Procfile does: 5000, 5100, … in foreman.
pub(crate) fn with_ports(draft: &mut Draft) {
    let mut port = 5000;
    for service in &mut draft.services {
        let shell = service.get("shell").and_then(toml_edit::Value::as_str).unwrap_or_default();
        if shell.contains("$PORT") || shell.contains("${PORT") {
            service.put("env", "PORT", port.to_string());
            service.remark("port", port, "checked every 30 s");
        }
        port += 100;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_services() {
        let (mut draft, odd) = read("# c\nweb: node a.js -p $PORT\nrelease: migrate\nnonsense\n", None);
        with_ports(&mut draft);
        assert_eq!(odd, [(4, "nonsense".to_owned())]);
        let text = draft.text();
        assert!(text.contains("[services.web]\nshell = \"node a.js -p $PORT\"\n"), "{text}");
        assert!(text.contains("env = { PORT = \"5000\" }\nport = 5000"), "{text}");
        assert!(text.contains("restart = \"never\""), "{text}");
    }
}
