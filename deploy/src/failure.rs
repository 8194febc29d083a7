//! Errors of `cargo deploy`.

use std::io;
use std::path::PathBuf;

use crate::port::Busy;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Another process listens on a port of the demo.
    #[error("start the demo: port {port} is taken by {busy}; end that, or wait until it has ended")]
    Port {
        /// The port number.
        port: u16,
        /// Process that holds it.
        busy: Busy,
    },
    /// A program could not be started.
    #[error("run {program}: {source}")]
    Run {
        /// Name of the program.
        program: String,
        /// Cause of the error.
        source: io::Error,
    },
    /// A program exited with an error, which it has printed itself.
    #[error("run {command}: it ended with {status}")]
    Ended {
        /// The command line.
        command: String,
        /// Its exit status.
        status: String,
    },
    /// The output of cargo has an unexpected form.
    #[error("read what cargo says: {0}")]
    Cargo(String),
    /// A program could not be copied.
    #[error("copy {} to {}: {source}", from.display(), to.display())]
    Copy {
        /// Source of the copy.
        from: PathBuf,
        /// Target of the copy.
        to: PathBuf,
        /// Cause of the error.
        source: io::Error,
    },
    /// A file could not be written or deleted.
    #[error("write {}: {source}", path.display())]
    Write {
        /// Path of the file.
        path: PathBuf,
        /// Cause of the error.
        source: io::Error,
    },
    /// The list of installed files is missing.
    #[error("uninstall from {}: nothing was installed there ({source})", prefix.display())]
    NotInstalled {
        /// Folder of the installation.
        prefix: PathBuf,
        /// Cause of the error.
        source: io::Error,
    },
    /// The time limit was exceeded.
    #[error("wait for the demo: not all was healthy within {seconds} s (see the table above)")]
    NotHealthy {
        /// The time limit, in seconds.
        seconds: u64,
    },
    /// The output could not be written.
    #[error("write to stdout: {0}")]
    Say(#[from] io::Error),
    /// The demo's service could not serve.
    #[error("serve on 127.0.0.1:{port}: {source}")]
    Serve {
        /// Its port number.
        port: u16,
        /// Cause of the error.
        source: io::Error,
    },
}
