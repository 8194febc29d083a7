//! Finds the start command of a Python program: a web framework by its server, anything else as a script.

use std::path::Path;

use super::{Service, command, look::port_in, name};

const SCRIPTS: [&str; 6] = ["main.py", "app.py", "server.py", "main_modular.py", "run.py", "wsgi.py"];

/// Drafts a service from Django's `manage.py`, else from the script that is most likely to be started.
pub(super) fn service(folder: &Path, cwd: Option<&str>) -> Option<Service> {
    let mut service = Service::new(&name(cwd.unwrap_or("api")));
    let python = python(folder);
    let (argv, port, health, why) = if folder.join("manage.py").is_file() {
        let argv = vec![python, "manage.py".into(), "runserver".into(), "127.0.0.1:8000".into()];
        (argv, Some(8000), None, "Django".to_owned())
    } else {
        let (script, text) = SCRIPTS.into_iter().find_map(|script| {
            let text = std::fs::read_to_string(folder.join(script)).ok()?;
            Some((script, text))
        })?;
        started(python, script, &text)
    };
    service.remark("command", command(&argv), &why);
    if let Some(cwd) = cwd {
        service.set("cwd", cwd);
    }
    service.put("env", "PYTHONUNBUFFERED", "1");
    if let Some(port) = port {
        service.remark("port", i64::from(port), "ready when it answers; checked every 30 s");
    }
    if let (Some(port), Some(path)) = (port, health) {
        service.remark("health", format!("http://127.0.0.1:{port}{path}"), "checked every 60 s");
    }
    Some(service)
}

fn started(python: String, script: &str, text: &str) -> (Vec<String>, Option<u16>, Option<String>, String) {
    let module = script.trim_end_matches(".py");
    let health =
        ["/health", "/healthz", "/api/health"].into_iter().find(|path| text.contains(&format!("\"{path}\"")));
    let health = health.map(str::to_owned);
    // A script that starts its own server is run directly.
    if text.contains("uvicorn.run(") || text.contains("app.run(") {
        let port = port_in(text).or(Some(if text.contains("uvicorn.run(") { 8000 } else { 5000 }));
        return (vec![python, script.into()], port, health, "it starts its own server".into());
    }
    let app = text.lines().find_map(|line| {
        let (variable, made) = line.split_once('=')?;
        let kind =
            ["FastAPI(", "Starlette(", "Flask("].into_iter().find(|kind| made.trim().starts_with(kind))?;
        Some((variable.split(':').next()?.trim().to_owned(), kind))
    });
    match app {
        Some((variable, "Flask(")) => {
            let words = ["-m", "flask", "--app", &format!("{module}:{variable}"), "run", "--port", "5000"];
            (argv(python, &words), Some(5000), health, "Flask".into())
        }
        Some((variable, _)) => {
            let words = ["-m", "uvicorn", &format!("{module}:{variable}"), "--port", "8000"];
            (argv(python, &words), Some(8000), health, "ASGI, by uvicorn".into())
        }
        None => (vec![python, script.into()], None, health, "a script".into()),
    }
}

fn argv(program: String, words: &[&str]) -> Vec<String> {
    std::iter::once(program).chain(words.iter().map(|word| (*word).to_owned())).collect()
}

/// Returns the Python of the folder's virtual environment, else the one in `PATH`.
pub(crate) fn python(folder: &Path) -> String {
    let own = [".venv/bin/python", "venv/bin/python", ".venv/Scripts/python.exe", "venv/Scripts/python.exe"];
    if let Some(own) = own.into_iter().find(|path| folder.join(path).exists()) {
        return format!("./{own}");
    }
    let path = std::env::var("PATH").ok();
    let there = |program: &&str| sereno_config::resolve_program(program, folder, path.as_deref()).is_ok();
    ["python", "python3"].into_iter().find(there).unwrap_or("python3").into()
}
