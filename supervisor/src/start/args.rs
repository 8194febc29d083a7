//! The command line, as clap reads it.

use std::path::PathBuf;

use clap::Parser;

/// Keeps services up, for ever. Usually started by `ctl up`.
#[derive(Debug, Parser)]
#[command(name = "supervisor", version)]
pub struct Args {
    /// The file to run; without it the nearest sereno.toml from here upwards
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Run the file that was applied last in this home, instead of a sereno.toml
    #[arg(long, value_name = "FOLDER", conflicts_with = "file")]
    pub resume: Option<PathBuf>,
    /// Take up what is left in that home only to stop it
    #[arg(long, requires = "resume")]
    pub down: bool,
    /// Only guard the supervisor of that home: start it again when it dies, keep its files open. A supervisor runs this
    /// itself where no built-in monitor guards it
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["file", "resume"])]
    pub guard: Option<PathBuf>,
    /// Only say whether this program could take over from the one that runs in this home
    #[arg(long, value_name = "FOLDER", hide = true)]
    pub check_state: Option<PathBuf>,
    /// Only read the home, which nobody supervises, and answer from its files: for ctl
    #[arg(long, value_name = "FOLDER", hide = true, requires = "at")]
    #[arg(conflicts_with_all = ["file", "resume", "guard"])]
    pub read: Option<PathBuf>,
    /// With --read: the folder to listen in
    #[arg(long, value_name = "FOLDER", hide = true, requires = "read")]
    pub at: Option<PathBuf>,
    /// Descriptor of the lock, handed over by the image before this one
    #[arg(long, value_name = "NUMBER", hide = true, requires = "resume")]
    pub lock: Option<i32>,
    /// A guard starts it again: the pid of the one that died
    #[arg(long, value_name = "PID", hide = true, requires = "resume")]
    pub revive: Option<u32>,
    /// With --revive: the name of that guard
    #[arg(long, value_name = "NAME", hide = true, requires = "revive")]
    pub revived_by: Option<String>,
    /// With --revive: when the other died, in milliseconds since the epoch
    #[arg(long, value_name = "NUMBER", hide = true, requires = "revive")]
    pub died: Option<u64>,
    /// Run the file also where what another file started still runs in its home
    #[arg(long, conflicts_with = "resume")]
    pub replace: bool,
    /// Leave the terminal's session: closing it is no news then
    #[arg(long)]
    pub detach: bool,
}
