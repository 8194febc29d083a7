//! Wires `cargo deploy`: the command line in, an exit code out.

#![forbid(unsafe_code)]

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use deploy::{Failure, demo, service};

/// Puts Sereno on a machine, and shows it at work
#[derive(Debug, Parser)]
#[command(name = "cargo deploy", version, disable_help_subcommand = true)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build everything, keep two small services up, and say how to break them
    Demo {
        /// End it
        #[arg(long)]
        stop: bool,
    },
    /// What the demo keeps up
    #[command(hide = true)]
    DemoService {
        /// What it calls itself
        #[arg(long)]
        name: String,
        /// Where it listens, on 127.0.0.1; 0: wherever is free
        #[arg(long)]
        port: u16,
    },
}

fn main() -> ExitCode {
    let mut out = std::io::stdout();
    let done = match Args::parse().command {
        Command::Demo { stop: false } => demo::start(&mut out).map(|()| ExitCode::SUCCESS),
        Command::Demo { stop: true } => demo::stop(&mut out).map(|()| ExitCode::SUCCESS),
        Command::DemoService { name, port } => {
            service::run(&name, port, &mut out).map_err(|source| Failure::Serve { port, source })
        }
    };
    done.unwrap_or_else(|failure| {
        // Nobody reading it is no reason to fail differently.
        let _ = writeln!(std::io::stderr(), "cargo deploy: {failure}");
        ExitCode::FAILURE
    })
}
