//! The example of the contract, and variables for a file.

use sereno_config::Env;

/// The example of the contract.
pub(crate) const EXAMPLE: &str = r#"
[supervisor]
home = ".sereno"                 # state, logs, sockets; relative to this file

[services.mw-vision-backend]
command = "python main_modular.py"
cwd = "backend"
env = { PORT = "8000", PYTHONUNBUFFERED = "1" }
restart = { delay = "5s", initial = "1s", max = 50, min_uptime = "30s" }
port = 8000
health = "http://127.0.0.1:8000/health"

[services.mw-vision-frontend]
command = "npm run dev"
cwd = "mw-vision-app"
depends_on = ["mw-vision-backend"]
restart = { delay = "5s", max = 50, min_uptime = "30s" }
port = 5189
"#;

/// Makes an environment of these variables.
pub(crate) fn env(pairs: &[(&str, &str)]) -> Env {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
