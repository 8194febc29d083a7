//! Reads the facts about a process that decide the ownership of a port. Nothing here fails: unreadable data
//! counts as absent.

use sysctl::Ctl;

use super::super::kinfo;

/// `CTL_KERN`, and below it `KERN_PROC`, `KERN_PROC_PID` and `KERN_PROCARGS2`: `sys/sysctl.h`.
const KERN: i32 = 1;
const PROC: i32 = 14;
const BY_PID: i32 = 1;
const ARGUMENTS: i32 = 49;

/// A process that has used a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Pid of the process.
    pub pid: u32,
    /// Pid of its parent, or of launchd.
    pub parent: u32,
    /// Pid of the leader of its process group.
    pub group: u32,
}

impl Holder {
    /// Returns the process with this pid, if it is alive or not yet reaped.
    pub fn of(pid: u32) -> Option<Self> {
        let bytes = super::bytes(&Ctl::Oid(vec![KERN, PROC, BY_PID, i32::try_from(pid).ok()?]))?;
        let (parent, group) = kinfo::relatives(&bytes, pid)?;
        Some(Self { pid, parent, group })
    }

    /// Returns the command line in one line, and the value of a variable in the environment. macOS hides
    /// the environment of its own programs.
    pub fn command_and(&self, variable: &str) -> (String, Option<String>) {
        let number = i32::try_from(self.pid).unwrap_or(0);
        let bytes = super::bytes(&Ctl::Oid(vec![KERN, ARGUMENTS, number])).unwrap_or_default();
        kinfo::command_and(&bytes, variable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_this_process() {
        let me = Holder::of(std::process::id()).expect("we run");
        assert!(me.parent > 0 && me.group > 0);
        let (command, path) = me.command_and("PATH");
        assert!(!command.is_empty() && path == std::env::var("PATH").ok(), "{command}");
    }
}
