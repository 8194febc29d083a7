//! Commands that come before and around the daily ones: a first file, another tool's file, this machine.

use std::path::PathBuf;

use clap::{Args as Group, Subcommand};

#[derive(Debug, Group)]
pub(crate) struct Init {
    /// Where to write it [default: sereno.toml here]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long)]
    pub(crate) force: bool,
    /// Only print it
    #[arg(long)]
    pub(crate) print: bool,
}

#[derive(Debug, Group)]
pub(crate) struct Import {
    #[command(subcommand)]
    pub(crate) from: From,
}

#[derive(Debug, Subcommand)]
pub(crate) enum From {
    /// From PM2: ecosystem.config.js, .json, .yml, or ~/.pm2/dump.pm2
    Pm2(ImportPm2),
    /// From a Procfile
    Procfile(ImportProcfile),
}

#[derive(Debug, Group)]
pub(crate) struct ImportPm2 {
    /// The file of PM2's; JavaScript is run by node
    #[arg(value_name = "FILE")]
    pub(crate) path: PathBuf,
    /// Take `env_NAME` of each app over its `env`
    #[arg(long, value_name = "NAME")]
    pub(crate) env: Option<String>,
    #[command(flatten)]
    pub(crate) to: ImportTo,
}

#[derive(Debug, Group)]
pub(crate) struct ImportProcfile {
    /// The Procfile
    #[arg(value_name = "FILE", default_value = "Procfile")]
    pub(crate) path: PathBuf,
    #[command(flatten)]
    pub(crate) to: ImportTo,
}

#[derive(Debug, Group)]
pub(crate) struct ImportTo {
    /// Where to write it; - prints it [default: sereno.toml here]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long)]
    pub(crate) force: bool,
    /// Start it, too: as "ctl up -d --wait"
    #[arg(long)]
    pub(crate) up: bool,
}

#[derive(Debug, Group)]
pub(crate) struct Man {
    /// Where they are written
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Group)]
pub(crate) struct Startup {
    #[command(subcommand)]
    pub(crate) what: AtBoot,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AtBoot {
    /// Write and enable what starts the supervisor at boot
    Install(BootArgs),
    /// Disable and delete it again
    Remove(BootArgs),
    /// Show what would be installed, and whether it is
    Show(BootArgs),
}

#[derive(Debug, Group)]
pub(crate) struct BootArgs {
    /// For the whole machine; as root this is the default
    #[arg(long, conflicts_with = "user")]
    pub(crate) system: bool,
    /// For you, also while you are not logged in (lingering)
    #[arg(long)]
    pub(crate) user: bool,
    /// Name of the unit [default: sereno, or sereno-FOLDER for a file elsewhere]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
}
