//! Wires `cargo deploy`: the command line in, an exit code out.

#![forbid(unsafe_code)]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
#[cfg(target_os = "linux")]
use deploy::trials;
use deploy::{Failure, demo, install, place, service};

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
    /// Build everything for use, and install programs, man pages, completions and units
    Install {
        /// Below which folder [default: ~/.local; for root /usr/local]
        #[arg(long, value_name = "FOLDER")]
        prefix: Option<PathBuf>,
        /// Build as for development: quick to build, not to run
        #[arg(long)]
        debug: bool,
    },
    /// Delete what was installed
    Uninstall {
        /// Below which folder [default: as of install]
        #[arg(long, value_name = "FOLDER")]
        prefix: Option<PathBuf>,
    },
    /// Write man pages
    Man {
        /// Where [default: target/man]
        folder: Option<PathBuf>,
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
    /// Kill everything at random moments, and see that no line is lost and nothing runs twice
    #[cfg(target_os = "linux")]
    #[command(disable_help_flag = true)]
    Chaos(trials::Args),
    /// Load the machine many times over, and see that nobody is restarted for it and every real fault is healed
    #[cfg(target_os = "linux")]
    #[command(disable_help_flag = true)]
    Stress(trials::Args),
    /// Play a supervisor against a monitor of any language, and say which rules of the wire it breaks
    #[cfg(target_os = "linux")]
    #[command(disable_help_flag = true)]
    Conformance(trials::Args),
    /// Play a monitor that means harm against a supervisor, and say which attack it gives way to
    #[cfg(target_os = "linux")]
    #[command(disable_help_flag = true)]
    Attack(trials::Args),
}

fn absolute(prefix: Option<PathBuf>) -> PathBuf {
    let prefix = prefix.unwrap_or_else(install::default_prefix);
    std::path::absolute(&prefix).unwrap_or(prefix)
}

fn main() -> ExitCode {
    let mut out = std::io::stdout();
    let done = match Args::parse().command {
        Command::Demo { stop: false } => demo::start(&mut out).map(|()| ExitCode::SUCCESS),
        Command::Demo { stop: true } => demo::stop(&mut out).map(|()| ExitCode::SUCCESS),
        Command::Install { prefix, debug } => {
            install::install(&place::tree(), &absolute(prefix), debug, &mut out).map(|()| ExitCode::SUCCESS)
        }
        Command::Uninstall { prefix } => {
            install::uninstall(&absolute(prefix), &mut out).map(|()| ExitCode::SUCCESS)
        }
        Command::Man { folder } => {
            let folder = folder.unwrap_or_else(|| place::tree().join("target/man"));
            install::man(&place::tree(), &folder).map(|()| ExitCode::SUCCESS)
        }
        Command::DemoService { name, port } => {
            service::run(&name, port, &mut out).map_err(|source| Failure::Serve { port, source })
        }
        // The command's name is the first argument: no option of this program stands before it.
        #[cfg(target_os = "linux")]
        Command::Chaos(_) | Command::Stress(_) | Command::Conformance(_) | Command::Attack(_) => {
            Err(trials::run(std::env::args_os().skip(1)))
        }
    };
    done.unwrap_or_else(|failure| {
        // If stderr can not be written, the exit code is still the same.
        let _ = writeln!(std::io::stderr(), "cargo deploy: {failure}");
        ExitCode::FAILURE
    })
}
