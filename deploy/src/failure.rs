//! Every way in which `cargo deploy` fails.

use std::io;
use std::path::PathBuf;

use crate::port::Busy;

/// Why it did not work.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Something else listens where the demo would.
    #[error("start the demo: port {port} is taken by {busy}; end that, or wait until it has ended")]
    Port {
        /// Which port.
        port: u16,
        /// Who has it.
        busy: Busy,
    },
    /// A program could not be started.
    #[error("run {program}: {source}")]
    Run {
        /// Which program.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// A program ended badly; it has said why itself.
    #[error("run {command}: it ended with {status}")]
    Ended {
        /// What was run.
        command: String,
        /// How it ended.
        status: String,
    },
    /// Cargo said something else than it does.
    #[error("read what cargo says: {0}")]
    Cargo(String),
    /// A program could not be put in its place.
    #[error("copy {} to {}: {source}", from.display(), to.display())]
    Copy {
        /// From where.
        from: PathBuf,
        /// Whereto.
        to: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file could not be written or deleted.
    #[error("write {}: {source}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no list of what was installed.
    #[error("uninstall from {}: nothing was installed there ({source})", prefix.display())]
    NotInstalled {
        /// Where.
        prefix: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It took too long.
    #[error("wait for the demo: not all was healthy within {seconds} s (see the table above)")]
    NotHealthy {
        /// How long it was waited for.
        seconds: u64,
    },
    /// The play could not begin.
    #[error("play a supervisor: {0}")]
    Play(String),
    /// Nobody reads what is said.
    #[error("write to stdout: {0}")]
    Say(#[from] io::Error),
    /// The demo's service could not serve.
    #[error("serve on 127.0.0.1:{port}: {source}")]
    Serve {
        /// Where.
        port: u16,
        /// Why not.
        source: io::Error,
    },
}
