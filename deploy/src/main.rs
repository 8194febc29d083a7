//! Wires `cargo deploy`: the command line in, an exit code out.

#![forbid(unsafe_code)]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use deploy::{Failure, demo, install, service};
#[cfg(target_os = "linux")]
use deploy::{attack, conformance, press, storm};

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
    Storm {
        /// How long
        #[arg(long, default_value_t = 2.0, value_parser = minutes)]
        minutes: f64,
        /// What chance begins with, to do the same again; without it any
        #[arg(long)]
        seed: Option<u64>,
        /// How many services
        #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=500))]
        services: u16,
        /// Do without cgroups, as for a user who can not make any
        #[arg(long)]
        without_cgroups: bool,
    },
    /// Load the machine many times over, and see that nobody is restarted for it and every real fault is healed
    #[cfg(target_os = "linux")]
    Press {
        /// How long nothing is broken
        #[arg(long, default_value_t = 10.0, value_parser = minutes)]
        minutes: f64,
        /// How many faults there are then
        #[arg(long, default_value_t = 200)]
        faults: u32,
        /// How many services
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=500))]
        services: u16,
        /// How many busy processes for each processor
        #[arg(long, default_value_t = 8)]
        times: usize,
    },
    /// Play a supervisor against a monitor of any language, and say which rules of the wire it breaks
    #[cfg(target_os = "linux")]
    Conformance(conformance::Args),
    /// Play a monitor that means harm against a supervisor, and say which attack it gives way to
    #[cfg(target_os = "linux")]
    Attack(attack::Args),
    /// What keeps the processors busy
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    Burn,
    /// What the storm keeps up
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    StormService(storm::service::Args),
}

#[cfg(target_os = "linux")]
fn minutes(text: &str) -> Result<f64, String> {
    const MOST: f64 = 7.0 * 24.0 * 60.0;
    let minutes = text.parse::<f64>().map_err(|error| error.to_string())?;
    let fits = (0.0..=MOST).contains(&minutes);
    fits.then_some(minutes).ok_or_else(|| format!("must be from 0 to {MOST}"))
}

#[cfg(target_os = "linux")]
fn exit_code(well: bool) -> ExitCode {
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Returns the source tree that this program was built from.
fn tree() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    folder.parent().map_or_else(|| folder.clone(), Into::into)
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
            install::install(&tree(), &absolute(prefix), debug, &mut out).map(|()| ExitCode::SUCCESS)
        }
        Command::Uninstall { prefix } => {
            install::uninstall(&absolute(prefix), &mut out).map(|()| ExitCode::SUCCESS)
        }
        Command::Man { folder } => {
            let folder = folder.unwrap_or_else(|| tree().join("target/man"));
            install::man(&tree(), &folder).map(|()| ExitCode::SUCCESS)
        }
        Command::DemoService { name, port } => {
            service::run(&name, port, &mut out).map_err(|source| Failure::Serve { port, source })
        }
        #[cfg(target_os = "linux")]
        Command::Storm { minutes, seed, services, without_cgroups } => {
            storm::start(minutes, seed, services.into(), !without_cgroups, &mut out).map(exit_code)
        }
        #[cfg(target_os = "linux")]
        Command::Press { minutes, faults, services, times } => {
            let calm = std::time::Duration::from_secs_f64(minutes * 60.0);
            press::start(press::Wish { calm, faults, services, times }, &mut out).map(exit_code)
        }
        #[cfg(target_os = "linux")]
        Command::Conformance(args) => conformance::start(&args, &mut out).map(exit_code),
        #[cfg(target_os = "linux")]
        Command::Attack(args) => attack::start(&args, &mut out).map(exit_code),
        #[cfg(target_os = "linux")]
        Command::Burn => press::burn(),
        #[cfg(target_os = "linux")]
        Command::StormService(args) => storm::service::run(&args).map_err(Failure::Say),
    };
    done.unwrap_or_else(|failure| {
        // If stderr can not be written, the exit code is still the same.
        let _ = writeln!(std::io::stderr(), "cargo deploy: {failure}");
        ExitCode::FAILURE
    })
}
