//! Wires the health monitor: flags and environment in, exit code out.

#![forbid(unsafe_code)]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use health_monitor::{HealthProbe, NAME, launcher, shim};
use sereno_monitor::start::{Flags, start};

/// Watches services over HTTP, and asks the supervisor for a restart when they are sick
#[derive(Debug, Parser)]
#[command(name = NAME, version)]
struct Args {
    #[arg(
        long,
        value_name = "FILE",
        help = "File with the table [health-monitor] [default: $SERENO_CONFIG]"
    )]
    config: Option<PathBuf>,
    #[arg(
        long,
        value_name = "URI",
        help = "Whom to attach to: unix:///path, http://127.0.0.1:PORT, https://host:PORT [default: $SERENO_SUPERVISOR]"
    )]
    supervisor: Option<String>,
    #[arg(long, value_name = "URI", help = "Where to serve, in the same way [default: $SERENO_LISTEN]")]
    listen: Option<String>,
    /// What shows on http:// who this is: a file with a token [default: $`SERENO_TOKEN_FILE`]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Whom to trust on https://: a certificate, PEM
    #[arg(long, value_name = "FILE", requires_all = ["cert", "key"])]
    ca: Option<PathBuf>,
    /// Who this is on https://: a certificate, PEM
    #[arg(long, value_name = "FILE", requires = "ca")]
    cert: Option<PathBuf>,
    /// What proves it: a private key, PEM
    #[arg(long, value_name = "FILE", requires = "ca")]
    key: Option<PathBuf>,
    /// Level of the log: error, warn, info, debug, or a filter
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

fn main() -> ExitCode {
    // Comes first: the launcher of a check is single-threaded, and neither it nor the shim needs the setup below.
    let ended = match std::env::args_os().nth(1).as_ref().and_then(|verb| verb.to_str()) {
        Some(launcher::VERB) => Some(Err(launcher::launch())),
        Some(shim::VERB) => Some(shim::run()),
        _ => None,
    };
    match ended {
        Some(Ok(())) => return ExitCode::SUCCESS,
        Some(Err(error)) => {
            let _ = writeln!(std::io::stderr(), "{NAME}: {error}");
            return ExitCode::from(launcher::FAILED);
        }
        None => {}
    }
    let Args { config, supervisor, listen, token_file, ca, cert, key, log } = Args::parse();
    let flags = Flags { config, supervisor, listen, log, token_file, tls: [ca, cert, key] };
    let env = std::env::vars_os().collect();
    match start(NAME, env!("CARGO_PKG_VERSION"), &flags, &env, HealthProbe::new()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If stderr can not be written, the exit code is still the same.
            let _ = writeln!(std::io::stderr(), "{NAME}: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
