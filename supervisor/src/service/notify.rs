//! Messages of a service over its notify socket (the protocol of `sd_notify`).

use std::collections::BTreeMap;

use sereno_config::Ready;

use super::{Run, Service, World};
use crate::os::Tree;

/// What the current run has reported that is only shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// The text of `STATUS=`.
    pub status: String,
    /// `STOPPING=1` came: the run is about to end by itself.
    pub stopping: bool,
    /// `MAINPID=` was ignored, which is logged once.
    pub main_pid_ignored: bool,
}

/// The most lines of one message that are read; `sd_notify` messages have a handful.
const MOST_LINES: usize = 64;

/// A line of a message that Sereno understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word<'a> {
    /// `READY=1`: it is ready.
    Ready,
    /// `STATUS=`: a status text.
    Status(&'a str),
    /// `STOPPING=1`: it is about to end.
    Stopping,
    /// `WATCHDOG=1`: it is alive.
    Alive,
    /// `MAINPID=`: ignored, as Sereno keeps to the process that it started.
    MainPid(&'a str),
}

/// Returns the lines that Sereno understands, of the first 64; all other lines are ignored.
pub fn words(text: &str) -> impl Iterator<Item = Word<'_>> {
    text.lines().take(MOST_LINES).filter_map(|line| match line.split_once('=')? {
        ("READY", "1") => Some(Word::Ready),
        ("STATUS", status) => Some(Word::Status(status)),
        ("STOPPING", "1") => Some(Word::Stopping),
        ("WATCHDOG", "1") => Some(Word::Alive),
        ("MAINPID", pid) => Some(Word::MainPid(pid)),
        _ => None,
    })
}

impl Service {
    /// Returns whether it has a notify socket.
    pub fn is_listened_to(&self) -> bool {
        self.promise().is_some() || self.spec.ready.iter().any(|ready| matches!(ready, Ready::Notify))
    }

    /// Returns the longest time that it promises to leave between two `WATCHDOG=1`.
    fn promise(&self) -> Option<std::time::Duration> {
        self.spec.watchdog.as_ref()?.notify
    }

    /// Returns whether a message on its notify socket came from a process of its current run. `pid` is `None` where the
    /// system does not tell the sender: then it counts as its own.
    pub fn is_sender(&self, pid: Option<u32>) -> bool {
        let Some(pid) = pid else { return true };
        let leads = |run: &Option<Run>| run.as_ref().is_some_and(|run| run.process.pid() == pid);
        leads(&self.processes.run)
            || leads(&self.processes.stopper)
            || self.processes.tree.as_ref().is_some_and(|tree: &Tree| tree.has(pid))
    }

    /// Returns its environment variables for the notify socket.
    pub(super) fn notify_env(&self, world: &World) -> BTreeMap<String, String> {
        if !self.is_listened_to() {
            return BTreeMap::new();
        }
        let mut env = BTreeMap::from([("NOTIFY_SOCKET".into(), world.notify_address(self))]);
        env.extend(self.promise().map(|often| ("WATCHDOG_USEC".into(), often.as_micros().to_string())));
        env
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_words_of_the_protocol_and_passes_over_the_rest() {
        let text =
            "READY=1\nSTATUS=serving a=b\nFDSTORE=1\nWATCHDOG=1\nREADY=0\nnonsense\nMAINPID=12\nSTOPPING=1";
        let expected =
            [Word::Ready, Word::Status("serving a=b"), Word::Alive, Word::MainPid("12"), Word::Stopping];
        assert_eq!(words(text).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_message_of_ever_the_same_line_is_cut() {
        let text = "MAINPID=1\n".repeat(400);
        assert_eq!(words(&text).count(), MOST_LINES);
    }
}
