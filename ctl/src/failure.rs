//! Every error of a command and its exit code: 1 not done, 2 usage or configuration, 3 no supervisor,
//! 130 interrupted.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use proto::Endpoint;
use sereno_config::Unmatched;
use sereno_connect::ConnectError;

/// Result of a command that could be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    /// Everything is as requested.
    Well,
    /// Something is not as requested; the reason has been printed.
    NotWell,
}

impl Done {
    /// Returns `Well` if `well`, else `NotWell`.
    pub(crate) fn when(well: bool) -> Self {
        if well { Self::Well } else { Self::NotWell }
    }
}

/// Why a daemon gave no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// No connection could be made.
    #[error("{}", plainly(.0))]
    NotConnected(Arc<ConnectError>),
    /// The daemon is connected, but did not answer in this time.
    #[error("no answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// The call failed; the text is the innermost cause.
    #[error("{0}")]
    Failed(String),
    /// The monitor can only be asked by the supervisor, and is not attached to it.
    #[error("not attached (from here it can not be asked itself)")]
    NotAttached,
}

impl From<ConnectError> for NoAnswer {
    fn from(error: ConnectError) -> Self {
        Self::NotConnected(Arc::new(error))
    }
}

/// Describes a connection error, with a remedy for a user at a terminal.
fn plainly(error: &ConnectError) -> String {
    match error {
        ConnectError::NoCertificate => {
            "it wants a certificate: give --ca, --cert and --key, or a context that has them".into()
        }
        error => error.to_string(),
    }
}

/// Why a command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// No supervisor answers at the endpoint.
    #[error("the supervisor can not be reached at {endpoint}: {why}{}", way_out(endpoint))]
    NoSupervisor { endpoint: Endpoint, why: NoAnswer },
    /// The supervisor could not be started, or ended at once.
    #[error("start the supervisor: {0}")]
    NotStarted(String),
    /// The supervisor does not know this command.
    #[error("{0}: not in this version")]
    NotYet(&'static str),
    /// The supervisor or this command refuses.
    #[error("{0}")]
    Refused(String),
    /// A name or selector that matches nothing. `hint` says what may have been meant, if that is known.
    #[error("{message}{}", .hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default())]
    Unknown { name: String, message: String, hint: Option<String> },
    /// The home runs another file's services; nothing was changed.
    #[error(
        "{0}; nothing was changed. Give each file a home of its own ([supervisor] home), or use --replace"
    )]
    OtherFile(String),
    /// The arguments, the environment or the request are invalid.
    #[error("{0}")]
    Usage(String),
    /// The file is invalid: one line per problem, then the conclusion.
    #[error("{conclusion}")]
    Config { problems: String, conclusion: String },
    /// The output could not be written.
    #[error("write the answer: {0}")]
    Output(io::Error),
    /// The system refused something that the command needs before it begins.
    #[error("start: {0}")]
    Start(io::Error),
    /// The user stopped waiting with Ctrl-C.
    #[error("interrupted; what was asked for goes on")]
    Interrupted,
}

/// Returns a remedy for an unreachable supervisor, if it is on this machine.
fn way_out(endpoint: &Endpoint) -> &'static str {
    if endpoint.is_local() { "; start it with \"ctl up\"" } else { "" }
}

impl From<Unmatched> for Failure {
    fn from(unmatched: Unmatched) -> Self {
        Self::unknown(&*unmatched.0, unmatched.to_string())
    }
}

impl Failure {
    /// Returns the failure for a name or selector that matches nothing.
    pub(crate) fn unknown(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Unknown { name: name.into(), message: message.into(), hint: None }
    }

    fn code(&self) -> u8 {
        match self {
            Self::NoSupervisor { .. } => 3,
            Self::Usage(_) | Self::OtherFile(_) | Self::Config { .. } => 2,
            Self::Interrupted => 130,
            Self::NotStarted(_)
            | Self::NotYet(_)
            | Self::Refused(_)
            | Self::Unknown { .. }
            | Self::Output(_)
            | Self::Start(_) => 1,
        }
    }
}

/// Prints the error, if any, to stderr and returns the exit code.
pub(crate) fn exit_code(result: Result<Done, Failure>) -> ExitCode {
    match result {
        Ok(Done::Well) => ExitCode::SUCCESS,
        Ok(Done::NotWell) => ExitCode::from(1),
        // The reader has closed the pipe, as in `ctl logs | head`.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            if let Failure::Config { problems, .. } = &failure {
                let _ = writeln!(io::stderr(), "{}", lines(problems.trim_end()));
            }
            note(&failure.to_string());
            ExitCode::from(failure.code())
        }
    }
}

/// Prints a line to stderr, beside the command's output.
pub(crate) fn note(text: &str) {
    // A closed stderr is ignored: there is no other place to report it.
    let _ = writeln!(io::stderr(), "ctl: {}", lines(text));
}

/// Makes a text of several lines safe for a terminal: parts of it may come from a file, a service or a daemon.
fn lines(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '\n' | '\t') { c } else { proto::text::printable(c) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_says_does_nothing_to_a_terminal() {
        assert_eq!(lines("line 1\n\tname = \"\x1b[2Jweb\""), "line 1\n\tname = \" [2Jweb\"");
    }

    #[test]
    fn no_supervisor_is_told_with_the_way_out() {
        let failure = Failure::NoSupervisor {
            endpoint: Endpoint::parse("unix:///h/run/supervisor.sock").expect("an endpoint"),
            why: ConnectError::Nobody("no socket").into(),
        };
        assert_eq!(
            failure.to_string(),
            "the supervisor can not be reached at unix:///h/run/supervisor.sock: not running (no socket); \
             start it with \"ctl up\""
        );
        assert_eq!(failure.code(), 3);
    }
}
