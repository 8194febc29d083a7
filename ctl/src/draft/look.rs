//! Finds how the programs of a folder, and of the folders directly below it, are started.

use std::path::{Path, PathBuf};

use super::{Draft, Service, node, procfile, python};

const PASSED_OVER: [&str; 7] = ["node_modules", "target", "dist", "build", "venv", "vendor", "tests"];

/// Returns a draft of the programs found, or an example service to change.
pub(crate) fn folder(root: &Path) -> Draft {
    let mut draft = procfile_of(root).unwrap_or_default();
    if draft.services.is_empty() {
        let below: Vec<PathBuf> = folders(root);
        for folder in std::iter::once(root.to_owned()).chain(below) {
            let cwd = folder.strip_prefix(root).ok().and_then(Path::to_str).filter(|cwd| !cwd.is_empty());
            let found = [python::service(&folder, cwd), node::service(&folder, cwd), rust(&folder, cwd)];
            for service in found.into_iter().flatten() {
                draft.add(service);
            }
        }
    }
    draft.tail = compose(root);
    if draft.services.is_empty() {
        draft.services.push(example());
    }
    connect(&mut draft);
    draft.head = HEAD.iter().map(|line| (*line).to_owned()).collect();
    draft.tail.extend(TAIL.iter().map(|line| (*line).to_owned()));
    draft
}

const HEAD: [&str; 5] = [
    "What Sereno keeps up here. Made by \"ctl init\" from what it found; change what is not right.",
    "",
    "    ctl check            is it right?",
    "    ctl up -d --wait     start it, or apply what was changed",
    "    ctl status           how is it?   (ctl why NAME: why was it down?)",
];

const TAIL: [&str; 6] = [
    "More keys for a service (all of them: ctl schema, CONFIG.md):",
    "    env_file = \".env\"",
    "    depends_on = [\"db\"]                               # started once db is ready",
    "    health = \"http://127.0.0.1:8000/health\"           # restarted after three failures",
    "    restart = { delay = \"5s\", max = 50, min_uptime = \"30s\" }",
    "    stop = { signal = \"SIGINT\", timeout = \"30s\" }",
];

fn example() -> Service {
    let mut service = Service::new("hello");
    service
        .comments
        .push("Nothing was found here that looks like a program; put yours in place of this.".into());
    service.set("shell", "while true; do date; sleep 5; done");
    service
}

fn folders(root: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            !name.starts_with('.') && !PASSED_OVER.contains(&&*name)
        })
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    found
}

fn procfile_of(root: &Path) -> Option<Draft> {
    let text = std::fs::read_to_string(root.join("Procfile")).ok()?;
    let (mut draft, _) = procfile::read(&text, None);
    procfile::with_ports(&mut draft);
    procfile::with_env_file(&mut draft, root, ".env");
    Some(draft)
}

fn rust(folder: &Path, cwd: Option<&str>) -> Option<Service> {
    let text = std::fs::read_to_string(folder.join("Cargo.toml")).ok()?;
    let manifest: toml_edit::DocumentMut = text.parse().ok()?;
    let package = manifest.get("package")?.get("name")?.as_str()?;
    if !folder.join("src/main.rs").is_file() {
        return None;
    }
    let mut service = Service::new(&super::name(package));
    service.remark("command", "cargo run", "or the built program: target/release/…");
    if let Some(cwd) = cwd {
        service.set("cwd", cwd);
    }
    let main = std::fs::read_to_string(folder.join("src/main.rs")).unwrap_or_default();
    if let Some(port) = port_in(&main) {
        service.remark("port", i64::from(port), "ready when it answers; checked every 30 s");
        // The first build may take long.
        service.set("ready_timeout", "10m");
    }
    Some(service)
}

/// Returns the ports that docker compose publishes. They are not started here, but a service may wait for them.
fn compose(root: &Path) -> Vec<String> {
    let names = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
    let Some(name) = names.into_iter().find(|name| root.join(name).is_file()) else { return Vec::new() };
    let text = std::fs::read_to_string(root.join(name)).unwrap_or_default();
    let file: serde_json::Value = serde_yaml_ng::from_str(&text).unwrap_or_default();
    let Some(services) = file["services"].as_object() else { return Vec::new() };
    let mut lines = vec![format!("{name} has these; take the # away where Sereno should run them:")];
    for (service, what) in services {
        lines.push(String::new());
        lines.push(format!("[services.{}]", super::name(service)));
        lines.push(format!("command = \"docker compose up {service}\""));
        let port = what["ports"].as_array().into_iter().flatten().find_map(published);
        lines.extend(port.map(|port| format!("port = {{ port = {port}, owner = false }}")));
    }
    lines.push(String::new());
    lines
}

/// Parses `"8080:80"`, `"127.0.0.1:8080:80/tcp"`, `{ published: 8080 }`.
fn published(port: &serde_json::Value) -> Option<u16> {
    if let Some(text) = port.as_str() {
        return text.rsplit(':').nth(1)?.parse().ok();
    }
    let published = &port["published"];
    published.as_str().and_then(|text| text.parse().ok()).or_else(|| published.as_u64()?.try_into().ok())
}

/// Makes every service with a port depend on the only Python service, in the order in which a developer
/// would start them.
fn connect(draft: &mut Draft) {
    let is_api = |service: &Service| {
        service.get("env").is_some_and(|env| env.to_string().contains("PYTHONUNBUFFERED"))
    };
    let apis: Vec<String> =
        draft.services.iter().filter(|service| is_api(service)).map(|service| service.name.clone()).collect();
    let [api] = &*apis else { return };
    for service in draft.services.iter_mut().filter(|service| service.name != *api) {
        if service.get("port").is_some() {
            service.remark(
                "depends_on",
                super::list(std::slice::from_ref(api)),
                "started once that is ready",
            );
        }
    }
}

/// Finds a port in a command line or a program: `--port 3000`, `-p 3000`, `port=3000`, `PORT=3000`,
/// `127.0.0.1:3000`.
pub(crate) fn port_in(text: &str) -> Option<u16> {
    let marks =
        ["--port=", "--port ", "-p ", "PORT=", "port=", "port = ", "127.0.0.1:", "0.0.0.0:", "localhost:"];
    marks.into_iter().find_map(|mark| {
        text.match_indices(mark).find_map(|(at, _)| {
            let rest = &text[at + mark.len()..];
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok().filter(|port| *port > 0)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(files: &[(&str, &str)]) -> String {
        let root = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        let text = folder(root.path()).text();
        let loaded = sereno_config::load(&root.path().join("sereno.toml"), &text, &sereno_config::Env::new());
        assert!(loaded.is_ok(), "{text}\n{:?}", loaded.err());
        text
    }

    #[test]
    fn a_backend_and_a_page_are_found() {
        let text = made(&[
            ("backend/main.py", "app = FastAPI()\n@app.get(\"/health\")\n"),
            ("web/package.json", r#"{"name":"@a/web","scripts":{"dev":"vite --port 5189"}}"#),
            ("web/pnpm-lock.yaml", ""),
        ]);
        for wanted in [
            "-m uvicorn main:app --port 8000\"",
            "health = \"http://127.0.0.1:8000/health\"",
            "command = \"pnpm run dev\"",
            "port = 5189",
            "depends_on = [\"backend\"]",
        ] {
            assert!(text.contains(wanted), "{wanted} in\n{text}");
        }
    }

    #[test]
    fn a_procfile_is_taken_at_its_word() {
        let text = made(&[("Procfile", "web: node a.js $PORT\n"), ("package.json", "{}"), (".env", "A=1")]);
        assert!(
            text.contains("shell = \"node a.js $PORT\"") && text.contains("env_file = \".env\""),
            "{text}"
        );
    }

    #[test]
    fn containers_are_offered() {
        let text = made(&[("compose.yml", "services:\n  db:\n    ports: ['127.0.0.1:5432:5432']\n")]);
        assert!(text.contains("# command = \"docker compose up db\"\n# port = { port = 5432"), "{text}");
    }

    #[test]
    fn an_empty_folder_has_something_to_begin_with() {
        assert!(made(&[]).contains("[services.hello]"));
        assert!(
            made(&[("Cargo.toml", "[package]\nname = \"x\"\n"), ("src/main.rs", "")]).contains("cargo run")
        );
    }

    #[test]
    fn ports_are_found_in_text() {
        for (text, port) in
            [("next dev -p 3001", Some(3001)), ("PORT=80 x", Some(80)), ("bind(\"0.0.0.0:99999\")", None)]
        {
            assert_eq!(port_in(text), port, "{text}");
        }
    }
}
