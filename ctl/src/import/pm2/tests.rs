use serde_json::json;

use super::*;
use crate::import::Dropped;

fn imported(apps: &Value, profile: Option<&str>) -> Imported {
    let Value::Object(whole) = json!({ "apps": apps.clone() }) else { unreachable!("an object") };
    let apps =
        whole["apps"].as_array().expect("a list").iter().map(|app| app.as_object().expect("an app").clone());
    let apps: Vec<App> = apps.collect();
    let dump = apps.iter().any(|app| app.contains_key("pm_exec_path"));
    let source = Source { apps, others: vec!["deploy".into()], dump };
    let folders = Folders { from: "/srv/shop/etc".into(), to: "/srv/shop".into() };
    let env = Env::from([("SAME".into(), "1".into())]);
    import(source, &folders, &Wanted { profile, env: &env, processors: 4 })
}

fn dropped<'a>(imported: &'a Imported, option: &str) -> &'a Dropped {
    let found = imported.dropped.iter().find(|dropped| dropped.option.starts_with(option));
    found.unwrap_or_else(|| panic!("{option} was not dropped: {:?}", imported.dropped))
}

#[test]
fn options_are_mapped() {
    let imported = imported(
        &json!([{
            "name": "api", "script": "server.js", "cwd": "../api", "args": "--a 'b c'", "node_args": "--inspect",
            "exp_backoff_restart_delay": 100, "maxRestarts": 5, "min_uptime": "10s", "kill_timeout": 3000,
            "instances": 1, "autorestart": true, "stop_exit_codes": [0], "error_file": "logs/e.log",
            "out_file": "/var/log/api.log", "namespace": "shop", "uid": "www", "gid": 33, "autostart": false,
            "env": { "A": "x${B}", "PORT": 8000 }, "env_production": { "A": "y" }, "max_memory_restart": "300M",
            "watch": ["src"], "ignore_watch": ["node_modules"], "watch_delay": 1000
        }]),
        None,
    );
    let text = imported.draft.text();
    for wanted in [
        "[services.api]\n",
        "command = [\"node\", \"--inspect\", \"server.js\", \"--a\", \"b c\"]\n",
        "cwd = \"api\"\n",
        "env = { A = \"x$${B}\", PORT = \"8000\" }\n",
        "initial = \"100ms\"",
        "factor = 1.5",
        "max_wait = \"15s\"",
        "max = 5",
        "policy = \"on-failure\"",
        "success_codes = [0]",
        "stop = { timeout = \"3s\" }\n",
        "log = { stdout = \"/var/log/api.log\", stderr = \"api/logs/e.log\" }\n",
        "user = \"www\"\ngroup = 33\nautostart = false\ntags = [\"shop\"]\n",
        "port = 8000",
        "memory_max = \"300MiB\"",
        "watch = { paths = [\"api/src\"], ignore = [\"node_modules\"], debounce = \"1s\" }",
    ] {
        assert!(text.contains(wanted), "{wanted} in\n{text}");
    }
    assert!(dropped(&imported, "env_production").reason.contains("--env production"));
    assert!(dropped(&imported, "deploy").service.is_empty());
    assert_eq!(imported.dropped.len(), 2, "{:?}", imported.dropped);
}

#[test]
fn a_profile_lies_over_the_environment() {
    let app = json!([{ "script": "a.js", "env": { "A": "1", "B": "2" }, "env_prod": { "A": "3" },
        "append_env_to_name": true }]);
    let text = imported(&app, Some("prod")).draft.text();
    assert!(text.contains("[services.a-prod]") && text.contains("env = { B = \"2\", A = \"3\" }"), "{text}");
}

#[test]
fn what_has_no_place_says_why() {
    let imported = imported(
        &json!([
            { "script": "a.js", "wait_ready": true, "cron_restart": "every night", "max_restart": 3, "exec_mode": "cluster",
              "instances": "max", "port": 80, "error_file": "x", "out_file": "x", "interpreter": "node@18" },
            { "script": "serve" }, { "name": "empty" }
        ]),
        None,
    );
    for (option, reason) in [
        ("wait_ready", "node's own channel"),
        ("cron_restart", "must be a line of cron"),
        ("max_restart = 3", "PM2 does not know this option"),
        ("exec_mode", "process of its own"),
        ("error_file", "can not share a file"),
        ("interpreter = node@18", "nvm"),
        ("the whole app", "file server"),
    ] {
        assert!(
            dropped(&imported, option).reason.contains(reason),
            "{option}: {:?}",
            dropped(&imported, option)
        );
    }
    let text = imported.draft.text();
    assert!(text.contains("instances = 4") && !text.contains("\nport"), "{text}");
    assert_eq!(imported.draft.services.len(), 1);
}

#[test]
fn restarts_by_the_clock_are_restarts_and_what_only_runs_then_is_a_job() {
    let imported = imported(
        &json!([
            { "name": "web", "script": "a.js", "cron_restart": "0 3 * * *", "restart_delay": 1000 },
            { "name": "report", "script": "b.js", "cron_restart": "*/15 * * * *", "autorestart": false },
            { "name": "never", "script": "c.js", "cron_restart": 0 }
        ]),
        None,
    );
    let text = imported.draft.text();
    assert!(text.contains("restart = { cron = \"0 3 * * *\", delay = \"1s\" }"), "{text}");
    assert!(text.contains("schedule = \"*/15 * * * *\"") && !text.contains("policy"), "{text}");
    assert!(dropped(&imported, "the first run of cron_restart").reason.contains("ctl start"));
    assert_eq!(text.matches("cron").count(), 1, "{text}");
}

#[test]
fn lines_and_programs_are_run_as_pm2_runs_them() {
    let app = json!([
        { "name": "line", "script": "npm run dev && x", "args": ["a b"] },
        { "name": "npm", "script": "npm", "args": "run dev" },
        { "name": "bin", "script": "./bin/go-server" },
        { "name": "sh", "script": "./a.sh" },
        { "name": "own", "script": "x.py", "interpreter": "/opt/venv/bin/python" }
    ]);
    let text = imported(&app, None).draft.text();
    for wanted in [
        "shell = \"npm run dev && x 'a b'\"",
        "command = \"npm run dev\"",
        "command = \"./bin/go-server\"",
        "command = \"bash ./a.sh\"",
        "command = \"/opt/venv/bin/python x.py\"",
    ] {
        assert!(text.contains(wanted), "{wanted} in\n{text}");
    }
}

#[test]
fn a_dump_is_read_as_what_was_started() {
    let imported = imported(
        &json!([{
            "name": "api", "pm_exec_path": "/srv/shop/api/main.js", "pm_cwd": "/srv/shop/api", "exec_interpreter": "node",
            "exec_mode": "fork_mode", "node_args": [], "args": ["-x"], "autorestart": true, "watch": false,
            "restart_delay": 5000, "axm_options": {}, "status": "online", "SAME": "1", "unique_id": "u",
            "env": { "PORT": "8000", "SAME": "1", "HOME": "/h", "PM2_HOME": "/p", "unique_id": "u", "api": "{}" }
        }]),
        None,
    );
    let text = imported.draft.text();
    assert!(
        text.contains(
            "command = \"node /srv/shop/api/main.js -x\"\ncwd = \"api\"\nenv = { PORT = \"8000\" }"
        ),
        "{text}"
    );
    assert!(text.contains("restart = { delay = \"5s\" }"), "{text}");
    assert_eq!(imported.dropped.len(), 1, "{:?}", imported.dropped);
    assert!(imported.notes[0].starts_with("5 variables"), "{:?}", imported.notes);
}

#[test]
fn monitor_scripts_become_checks() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
    write("health_monitor.py", "requests.get('http://localhost:8000/health'); os.system('pm2 restart api')");
    write("port_monitor.py", "PORTS = {8000: 'api'}\nsocket.connect_ex(('127.0.0.1', port))");
    let Value::Array(apps) = json!([
        { "name": "api", "script": "a.js", "env": { "PORT": "8000" } },
        { "name": "health", "script": "health_monitor.py", "interpreter": "python3" },
        { "name": "ports", "script": "python", "args": "port_monitor.py" }
    ]) else {
        unreachable!("a list")
    };
    let apps = apps.into_iter().map(|app| app.as_object().expect("an app").clone()).collect();
    let folders = Folders { from: folder.path().into(), to: folder.path().into() };
    let wanted = Wanted { profile: None, env: &Env::new(), processors: 1 };
    let imported = import(Source { apps, others: Vec::new(), dump: false }, &folders, &wanted);
    let text = imported.draft.text();
    assert!(text.contains("health = \"http://localhost:8000/health\"  # was asked by health"), "{text}");
    assert_eq!(imported.draft.services.len(), 1, "{text}");
    assert!(imported.dropped.iter().any(|dropped| dropped.reason.ends_with("api.health, api.port")));
    assert!(imported.dropped.iter().any(|dropped| dropped.reason.ends_with("port-monitor: api.port")));
}
