//! Finds the start command of a `package.json`.

use std::path::Path;

use serde_json::Value;

use super::{Service, command, look::port_in, name};

/// Drafts a service from the script that a developer runs, with the package manager whose lock file exists.
pub(super) fn service(folder: &Path, cwd: Option<&str>) -> Option<Service> {
    let text = std::fs::read_to_string(folder.join("package.json")).ok()?;
    let package: Value = serde_json::from_str(&text).ok()?;
    let scripts = package.get("scripts").and_then(Value::as_object);
    let script = ["dev", "start", "serve"].into_iter().find_map(|script| {
        let line = scripts?.get(script)?.as_str()?;
        Some((script, line))
    });
    let fallback = package.get("name").and_then(Value::as_str).unwrap_or("web");
    let mut service = Service::new(&name(cwd.unwrap_or(fallback)));
    let line = if let Some((script, line)) = script {
        let argv: Vec<String> = vec![manager(folder).into(), "run".into(), script.into()];
        service.remark("command", command(&argv), &format!("scripts.{script} of package.json: {line}"));
        line
    } else {
        let main = package.get("main").and_then(Value::as_str).unwrap_or("index.js");
        if !folder.join(main).is_file() {
            return None;
        }
        service.set("command", command(&["node".into(), main.into()]));
        ""
    };
    if let Some(cwd) = cwd {
        service.set("cwd", cwd);
    }
    let port = port_in(line).or_else(|| port_of_tool(folder, line));
    if let Some(port) = port {
        service.remark("port", i64::from(port), "ready when it answers; checked every 30 s");
    }
    Some(service)
}

fn manager(folder: &Path) -> &'static str {
    let locks = [
        ("pnpm-lock.yaml", "pnpm"),
        ("yarn.lock", "yarn"),
        ("bun.lockb", "bun"),
        ("bun.lock", "bun"),
        ("package-lock.json", "npm"),
    ];
    locks.into_iter().find(|(lock, _)| folder.join(lock).is_file()).map_or("npm", |(_, manager)| manager)
}

/// Returns the default port of a tool.
fn port_of_tool(folder: &Path, line: &str) -> Option<u16> {
    let tool = line.split_whitespace().next()?;
    let usual = match tool {
        "vite" => 5173,
        "next" | "nuxt" | "react-scripts" => 3000,
        "astro" => 4321,
        "ng" => 4200,
        _ => return None,
    };
    let configs = ["vite.config.js", "vite.config.ts", "vite.config.mjs"];
    let own = configs.iter().find_map(|config| {
        let text = std::fs::read_to_string(folder.join(config)).ok()?;
        let after = text.split("port").nth(1)?.trim_start().strip_prefix(':')?.trim_start().to_owned();
        after.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
    });
    Some(own.unwrap_or(usual))
}
