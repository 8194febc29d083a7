//! Runs the crate `trials`, which tests Sereno as a whole. It is built when it is asked for: what it needs would make the
//! first `cargo deploy demo` slow.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;

use crate::{Failure, place};

/// Arguments for `trials`, which reads them itself.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _all: Vec<OsString>,
}

/// Builds `trials` and becomes it. `arguments` are those of this process, with the name of the command. Returns only if
/// cargo can not be run.
pub fn run(arguments: impl Iterator<Item = OsString>) -> Failure {
    let mut cargo = place::cargo();
    cargo.args(["run", "--quiet", "--package", "trials", "--manifest-path"]);
    cargo.arg(place::tree().join("Cargo.toml")).arg("--").args(arguments);
    Failure::Run { program: "cargo".into(), source: cargo.exec() }
}
