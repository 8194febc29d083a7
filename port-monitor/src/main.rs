//! Wires the port monitor: flags and environment in, exit code out.

#![forbid(unsafe_code)]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use daemon_kit::monitor::start::{Flags, start};
use port_monitor::{NAME, PortProbe};

/// Watches TCP ports, and asks the supervisor for a restart when they are closed
#[derive(Debug, Parser)]
#[command(name = NAME, version)]
struct Args {
    #[arg(long, value_name = "FILE", help = "File with the table [port-monitor] [default: $SERENO_CONFIG]")]
    config: Option<PathBuf>,
    #[arg(
        long,
        value_name = "URI",
        help = "Whom to attach to, as unix:///path [default: $SERENO_SUPERVISOR]"
    )]
    supervisor: Option<String>,
    #[arg(long, value_name = "URI", help = "Where to serve, as unix:///path [default: $SERENO_LISTEN]")]
    listen: Option<String>,
    /// Level of the log: error, warn, info, debug, or a filter
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

fn main() -> ExitCode {
    let Args { config, supervisor, listen, log } = Args::parse();
    let flags = Flags { config, supervisor, listen, log };
    let env = std::env::vars_os().collect();
    match start(NAME, env!("CARGO_PKG_VERSION"), &flags, &env, PortProbe::default()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody reading it is no reason to fail differently.
            let _ = writeln!(std::io::stderr(), "{NAME}: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
