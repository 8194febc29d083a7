//! The command line: arguments in, an exit code out.

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use deploy::service;

use crate::{Failure, attack, chaos, conformance, stress};

/// Tests Sereno as a whole, from outside
#[derive(Debug, Parser)]
#[command(name = "cargo deploy", bin_name = "cargo deploy", version, disable_help_subcommand = true)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Kill everything at random moments, and see that no line is lost and nothing runs twice
    Chaos {
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
    Stress {
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
    Conformance(conformance::Args),
    /// Play a monitor that means harm against a supervisor, and say which attack it gives way to
    Attack(attack::Args),
    /// What keeps the processors busy
    #[command(hide = true)]
    Burn,
    /// What chaos keeps up
    #[command(hide = true)]
    ChaosService(chaos::service::Args),
    /// What stress keeps up
    #[command(hide = true)]
    DemoService {
        /// What it calls itself
        #[arg(long)]
        name: String,
        /// Where it listens, on 127.0.0.1
        #[arg(long)]
        port: u16,
    },
}

fn minutes(text: &str) -> Result<f64, Box<dyn Error + Send + Sync>> {
    const MOST: f64 = 7.0 * 24.0 * 60.0;
    let minutes = text.parse::<f64>()?;
    let fits = (0.0..=MOST).contains(&minutes);
    fits.then_some(minutes).ok_or_else(|| format!("must be from 0 to {MOST}").into())
}

/// Runs what the command line says; returns the exit code.
pub fn run() -> ExitCode {
    dispatch(Args::parse().command).unwrap_or_else(|failure| {
        // If stderr can not be written, the exit code is still the same.
        let _ = writeln!(std::io::stderr(), "cargo deploy: {failure}");
        ExitCode::FAILURE
    })
}

fn dispatch(command: Command) -> Result<ExitCode, Failure> {
    let mut out = std::io::stdout();
    let passed = match command {
        Command::Chaos { minutes, seed, services, without_cgroups } => {
            chaos::start(minutes, seed, services.into(), !without_cgroups, &mut out)?
        }
        Command::Stress { minutes, faults, services, times } => {
            let calm = Duration::from_secs_f64(minutes * 60.0);
            stress::start(stress::Options { calm, faults, services, times }, &mut out)?
        }
        Command::Conformance(args) => conformance::start(&args, &mut out)?,
        Command::Attack(args) => attack::start(&args, &mut out)?,
        Command::Burn => return stress::burn(),
        Command::ChaosService(args) => return Ok(chaos::service::run(&args)?),
        Command::DemoService { name, port } => {
            let served = service::run(&name, port, &mut out);
            return served.map_err(|source| deploy::Failure::Serve { port, source }.into());
        }
    };
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
