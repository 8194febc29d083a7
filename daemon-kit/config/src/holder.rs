//! Tells whether the process that holds a supervisor lock can still run.
//!
//! A process whose thread waits in the kernel without a time limit (state D) does not end, not even by SIGKILL: its
//! files stay open and its locks stay taken, but it never executes an instruction of its program again. Linux only:
//! elsewhere no process counts as such.

use std::path::Path;

use proto::Endpoint;

/// Returns the process that holds the lock, if it was killed or has exited and only waits in the kernel to end.
///
/// Such a process may still complete the system call that it waits in. A caller that takes its place looks twice, with
/// a pause in between: by then only calls that wait without a time limit are left.
pub fn dead_holder(lock: &Path) -> Option<u32> {
    system::dead_holder(lock)
}

/// Returns the process that holds the lock beside the socket of a supervisor, under the condition of [`dead_holder`].
pub fn dead_holder_at(endpoint: &Endpoint) -> Option<u32> {
    match endpoint {
        Endpoint::Unix(socket) => dead_holder(&socket.with_file_name(super::home::LOCK)),
        _ => None,
    }
}

/// Returns whether a process was killed or has exited, but waits in the kernel before it can end.
pub fn never_runs_again(pid: u32) -> bool {
    system::never_runs_again(pid)
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::path::Path;

    pub(super) fn dead_holder(_: &Path) -> Option<u32> {
        None
    }

    pub(super) fn never_runs_again(_: u32) -> bool {
        false
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;

    /// Bit of SIGKILL in a set of pending signals.
    const KILL: u64 = 1 << (9 - 1);
    /// `PF_EXITING` of the kernel, in the flags of `/proc/PID/task/TID/stat`: the task is on its way out.
    const EXITING: u64 = 0x4;

    /// What a task can still do.
    #[derive(Debug, PartialEq, Eq)]
    enum Task {
        /// It may run its program.
        Alive,
        /// It waits in the kernel, and ends once the kernel lets it go.
        Stuck,
        /// It has released everything that it held.
        Ended,
    }

    pub(super) fn dead_holder(lock: &Path) -> Option<u32> {
        let meta = fs::metadata(lock).ok()?;
        let named = fs::read_to_string(lock).ok()?.trim().parse().ok();
        // The usual case costs one file: the process that the lock names is alive.
        if named.is_some_and(|pid| matches!(task(pid, pid), Some(Task::Alive))) {
            return None;
        }
        let device = (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
        let locks = fs::read_to_string("/proc/locks").ok()?;
        holders(&locks, meta.ino())
            .filter(|(pid, at)| named == Some(*pid) || *at == device)
            .map(|(pid, _)| pid)
            .find(|pid| never_runs_again(*pid))
    }

    pub(super) fn never_runs_again(pid: u32) -> bool {
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
        let mut is_stuck = false;
        for entry in tasks.flatten() {
            let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
            match number.and_then(|number| task(pid, number)) {
                Some(Task::Alive) => return false,
                Some(Task::Stuck) => is_stuck = true,
                // A task that is gone has ended.
                Some(Task::Ended) | None => {}
            }
        }
        // Where all have ended, nothing is held by the process any more: a copy of its file in another one is.
        is_stuck
    }

    fn task(pid: u32, number: u32) -> Option<Task> {
        let read = |file| fs::read_to_string(format!("/proc/{pid}/task/{number}/{file}")).ok();
        // In this order: a task begins to exit when it takes its SIGKILL, so one of the two shows it.
        let status = read("status")?;
        Some(judge(&read("stat")?, &status))
    }

    /// Judges a task by its `stat` and `status`. What is not understood counts as alive.
    ///
    /// A killed process has SIGKILL pending for each task or for all; one that exits has it pending for every task but
    /// the one that exits, which carries [`EXITING`] as soon as it can wait.
    fn judge(stat: &str, status: &str) -> Task {
        // The name before may hold anything, also parentheses.
        let Some((_, rest)) = stat.rsplit_once(") ") else { return Task::Alive };
        let mut fields = rest.split(' ');
        let state = fields.next();
        let is_exiting = fields.nth(5).and_then(|flags| flags.parse().ok()).unwrap_or(0) & EXITING != 0;
        let is_killed = ["SigPnd:", "ShdPnd:"].iter().any(|name| {
            let set = status.lines().find_map(|line| line.strip_prefix(name));
            set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).is_some_and(|set| set & KILL != 0)
        });
        match state {
            Some("Z" | "X") => Task::Ended,
            Some("D") if is_exiting || is_killed => Task::Stuck,
            _ => Task::Alive,
        }
    }

    /// Returns the processes that hold a `flock` for writing on a file with this inode number, and the device of that
    /// file. Some file systems (btrfs) show another device there than `stat` does.
    fn holders(locks: &str, inode: u64) -> impl Iterator<Item = (u32, (u32, u32))> {
        locks.lines().filter_map(move |line| {
            let mut words = line.split_ascii_whitespace().skip(1);
            // A process that waits for a lock has an arrow in its line.
            if [words.next()?, words.next()?, words.next()?] != ["FLOCK", "ADVISORY", "WRITE"] {
                return None;
            }
            let pid = words.next()?.parse().ok()?;
            let mut file = words.next()?.split(':');
            let mut hexadecimal = || u32::from_str_radix(file.next()?, 16).ok();
            let device = (hexadecimal()?, hexadecimal()?);
            (file.next()?.parse() == Ok(inode)).then_some((pid, device))
        })
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn status(own: &str, shared: &str) -> String {
            format!(
                "Name:\tlogs\nState:\tD (disk sleep)\nSigPnd:\t{own}\nShdPnd:\t{shared}\nSigBlk:\t0000000000000100\n"
            )
        }

        const NONE: &str = "0000000000000000";
        const KILLED: &str = "0000000000000100";

        /// Lines of Linux 6.18, of a supervisor whose thread reads a pipe that another process has locked.
        #[test]
        fn a_task_is_judged_by_its_state_and_what_is_pending() {
            let stat = |state: &str, flags: u64| {
                format!(
                    "22573 (lo) D (gs) {state} 22515 22514 16801 0 -1 {flags} 349 0 0 0 0 0 0 0 20 0 3 0 1503445"
                )
            };
            let waits = stat("D", 4_194_368);
            assert_eq!(judge(&waits, &status(NONE, NONE)), Task::Alive, "it may get what it waits for");
            assert_eq!(judge(&waits, &status(KILLED, KILLED)), Task::Stuck, "kill -9");
            assert_eq!(
                judge(&waits, &status(KILLED, NONE)),
                Task::Stuck,
                "another task has exited the process"
            );
            assert_eq!(judge(&waits, &status(NONE, "0000000000004000")), Task::Alive, "SIGTERM");
            assert_eq!(judge(&stat("D", 4_228_172), &status(NONE, NONE)), Task::Stuck, "it closes its files");
            assert_eq!(judge(&stat("Z", 4_228_172), &status(NONE, KILLED)), Task::Ended);
            assert_eq!(judge(&stat("R", 4_194_368), &status(KILLED, KILLED)), Task::Alive, "it ends soon");
            assert_eq!(judge("", ""), Task::Alive);
        }

        #[test]
        fn the_holder_is_found_by_its_file() {
            let locks = "1: FLOCK  ADVISORY  WRITE 22572 fe:00:10011548 0 EOF\n\
                         1: -> FLOCK  ADVISORY  WRITE 7 fe:00:10011548 0 EOF\n\
                         2: FLOCK  ADVISORY  READ 8 fe:00:10011548 0 EOF\n\
                         3: POSIX  ADVISORY  WRITE 9 fe:00:10011548 0 0\n\
                         4: FLOCK  ADVISORY  WRITE 10 fe:00:100115480 0 EOF\n\
                         5: OFDLCK ADVISORY  WRITE -1 fe:00:10011548 0 EOF\n";
            assert_eq!(holders(locks, 10_011_548).collect::<Vec<_>>(), [(22_572, (0xfe, 0))]);
            assert_eq!(holders("", 1).count(), 0);
        }

        #[test]
        fn neither_this_process_nor_one_that_is_gone_counts_as_dead() {
            assert!(!never_runs_again(std::process::id()));
            assert!(!never_runs_again(u32::MAX));
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("supervisor.lock");
            assert_eq!(dead_holder(&path), None, "there is no lock");
            let lock = fs::File::create(&path).expect("made");
            rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("taken");
            assert_eq!(dead_holder(&path), None, "it names nobody, and this process holds it");
            fs::write(&path, format!("{}\n", std::process::id())).expect("written");
            assert_eq!(dead_holder(&path), None);
        }
    }
}
