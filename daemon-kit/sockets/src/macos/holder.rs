//! Who a process is, as far as it matters for whose a port is. Nothing here fails: what can not be read is not there.

use sysctl::Ctl;

use super::super::kinfo;

/// `CTL_KERN`, and below it `KERN_PROC` `KERN_PROC_PID` and `KERN_PROCARGS2`: `sys/sysctl.h`.
const KERN: i32 = 1;
const PROC: i32 = 14;
const BY_PID: i32 = 1;
const ARGUMENTS: i32 = 49;

/// A process that has used a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its pid.
    pub pid: u32,
    /// Who started it, or launchd.
    pub parent: u32,
    /// The leader of its group.
    pub group: u32,
}

impl Holder {
    /// One that lives, or has not been reaped.
    pub fn of(pid: u32) -> Option<Self> {
        let bytes = super::bytes(&Ctl::Oid(vec![KERN, PROC, BY_PID, i32::try_from(pid).ok()?]))?;
        let (parent, group) = kinfo::relatives(&bytes, pid)?;
        Some(Self { pid, parent, group })
    }

    /// What it was started as, in one line, and the value of a variable in its environment. macOS hides the environment of
    /// its own programs.
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
