//! A PM2 user's set-up is taken over and runs, by one command.

use std::os::unix::fs::PermissionsExt as _;

use crate::harness::{System, eventually, free_port, wants};

const BACKEND: &str = r#"
import http.server, os, sys
print("up", file=sys.stderr, flush=True)
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"status":"ok"}')
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Page).serve_forever()
"#;

const FRONTEND: &str = r"
const { spawn } = require('child_process');
const server = 'require(`http`).createServer((q, s) => s.end(`ok`)).listen(+process.env.PORT, `127.0.0.1`)';
spawn(process.execPath, ['-e', server], { stdio: 'inherit' }).on('exit', (code) => process.exit(code ?? 1));
";

const ECOSYSTEM: &str = r"
// The set-up that Sereno replaces.
module.exports = {
  apps: [
    { name: 'mw-vision-backend', script: 'main_modular.py', cwd: './backend', interpreter: 'python3',
      exp_backoff_restart_delay: 1000, max_restarts: 50, min_uptime: '30s', autorestart: true, watch: false,
      env: { PORT: {backend}, PYTHONUNBUFFERED: '1' }, error_file: '../logs/backend-error.log' },
    { name: 'mw-vision-frontend', script: 'start-frontend.cjs', cwd: './mw-vision-app', restart_delay: 5000,
      max_restarts: 50, min_uptime: '30s', env: { PORT: {frontend} } },
    { name: 'health-monitor', script: 'scripts/health_monitor.py', interpreter: 'python3' },
    { name: 'port-monitor', script: 'scripts/port_monitor.py', interpreter: 'python3' },
  ],
};
";

#[test]
fn an_ecosystem_file_is_imported_and_runs_by_one_command() {
    if wants("node", None).is_none() || wants("python3", None).is_none() {
        return;
    }
    let system = System::new("");
    let (backend, frontend) = (free_port().to_string(), free_port().to_string());
    let write = |path: &str, text: &str| {
        let path = system.path(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text.replace("{backend}", &backend).replace("{frontend}", &frontend))
            .expect("written");
    };
    write("ecosystem.config.js", ECOSYSTEM);
    write("backend/main_modular.py", BACKEND);
    write("mw-vision-app/start-frontend.cjs", FRONTEND);
    write(
        "scripts/health_monitor.py",
        "urlopen('http://127.0.0.1:{backend}/health')\nos.system('pm2 restart x')\n",
    );
    write("scripts/port_monitor.py", "PORTS = [{backend}, {frontend}]\ns.connect_ex(('127.0.0.1', port))\n");

    let refused = system.ctl(&["import", "pm2", "ecosystem.config.js"]);
    assert_eq!(refused.code, 1, "a file is never replaced unasked: {}", refused.out);
    let imported = system.ctl(&["import", "pm2", "ecosystem.config.js", "--force", "--up"]);
    assert_eq!(imported.code, 0, "{}{}\n{}", imported.out, imported.err, system.story());
    assert!(imported.out.contains("now a check"), "{}", imported.out);
    let mode = std::fs::metadata(system.path("sereno.toml")).expect("written").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "an ecosystem file may have passwords in it");

    let service = system.service("mw-vision-backend");
    assert_eq!(service.state(), "running");
    let checks = service.0["checks"].as_array().expect("checks").len();
    assert_eq!(checks, 2, "port and health: {}", service.0);
    assert_eq!(system.service("mw-vision-frontend").state(), "running");
    let log = system.path("logs/backend-error.log");
    eventually("logs are where they were", || std::fs::read_to_string(&log).is_ok_and(|text| text == "up\n"));
    assert_eq!(system.ctl(&["check"]).code, 0);
}
