//! Runs other programs and returns their output.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs a program with an empty stdin, and returns its output and exit status.
#[expect(clippy::disallowed_methods, reason = "a tool that answers at once, and no service")]
pub(crate) fn ask<A: AsRef<OsStr>>(
    program: impl AsRef<Path>,
    args: impl IntoIterator<Item = A>,
) -> io::Result<Output> {
    Command::new(program.as_ref()).args(args).stdin(Stdio::null()).output()
}
