//! Errors that end a test before its result.

use std::io;
use std::path::PathBuf;

/// Why a test has no result.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The programs under test could not be built, copied, started or set up.
    #[error(transparent)]
    Deploy(#[from] deploy::Failure),
    /// The conformance test or the attack could not begin.
    #[error("play a supervisor: {0}")]
    Play(String),
    /// The output, or a file of the test, could not be written or read.
    #[error("write to stdout: {0}")]
    Say(#[from] io::Error),
}

impl Failure {
    pub(crate) fn run(program: impl Into<String>, source: io::Error) -> Self {
        deploy::Failure::Run { program: program.into(), source }.into()
    }

    pub(crate) fn write(path: impl Into<PathBuf>, source: io::Error) -> Self {
        deploy::Failure::Write { path: path.into(), source }.into()
    }
}
