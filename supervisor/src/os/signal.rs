//! Signals by name. Each system has its own numbers. Windows has no signals: there a signal only tells how a process is
//! asked to end, and its number is that of Linux.

/// The names and numbers that `stop.signal`, `ctl signal` and exits use.
#[cfg(not(target_os = "macos"))]
const SIGNALS: [(&str, i32); 31] = [
    ("SIGHUP", 1),
    ("SIGINT", 2),
    ("SIGQUIT", 3),
    ("SIGILL", 4),
    ("SIGTRAP", 5),
    ("SIGABRT", 6),
    ("SIGBUS", 7),
    ("SIGFPE", 8),
    ("SIGKILL", 9),
    ("SIGUSR1", 10),
    ("SIGSEGV", 11),
    ("SIGUSR2", 12),
    ("SIGPIPE", 13),
    ("SIGALRM", 14),
    ("SIGTERM", 15),
    ("SIGSTKFLT", 16),
    ("SIGCHLD", 17),
    ("SIGCONT", 18),
    ("SIGSTOP", 19),
    ("SIGTSTP", 20),
    ("SIGTTIN", 21),
    ("SIGTTOU", 22),
    ("SIGURG", 23),
    ("SIGXCPU", 24),
    ("SIGXFSZ", 25),
    ("SIGVTALRM", 26),
    ("SIGPROF", 27),
    ("SIGWINCH", 28),
    ("SIGIO", 29),
    ("SIGPWR", 30),
    ("SIGSYS", 31),
];

/// The names and numbers of macOS.
#[cfg(target_os = "macos")]
const SIGNALS: [(&str, i32); 31] = [
    ("SIGHUP", 1),
    ("SIGINT", 2),
    ("SIGQUIT", 3),
    ("SIGILL", 4),
    ("SIGTRAP", 5),
    ("SIGABRT", 6),
    ("SIGEMT", 7),
    ("SIGFPE", 8),
    ("SIGKILL", 9),
    ("SIGBUS", 10),
    ("SIGSEGV", 11),
    ("SIGSYS", 12),
    ("SIGPIPE", 13),
    ("SIGALRM", 14),
    ("SIGTERM", 15),
    ("SIGURG", 16),
    ("SIGSTOP", 17),
    ("SIGTSTP", 18),
    ("SIGCONT", 19),
    ("SIGCHLD", 20),
    ("SIGTTIN", 21),
    ("SIGTTOU", 22),
    ("SIGIO", 23),
    ("SIGXCPU", 24),
    ("SIGXFSZ", 25),
    ("SIGVTALRM", 26),
    ("SIGPROF", 27),
    ("SIGWINCH", 28),
    ("SIGINFO", 29),
    ("SIGUSR1", 30),
    ("SIGUSR2", 31),
];

/// The signal that kills without warning.
pub const KILL: i32 = 9;

/// Continues a process that was stopped.
#[cfg(not(target_os = "macos"))]
pub const CONT: i32 = 18;
/// Continues a process that was stopped.
#[cfg(target_os = "macos")]
pub const CONT: i32 = 19;

/// Returns the number of `"HUP"`, `"SIGHUP"`, `"sighup"` or `"1"`.
pub fn number(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    SIGNALS.iter().find(|(name, _)| &name[3..] == bare).map(|(_, number)| *number)
}

/// Returns `"SIGHUP"`, or `"SIG40"` for a signal without a name.
pub fn name(number: i32) -> String {
    SIGNALS
        .iter()
        .find(|(_, n)| *n == number)
        .map_or_else(|| format!("SIG{number}"), |(name, _)| (*name).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_go_both_ways() {
        for text in ["HUP", "SIGHUP", "sighup", "1"] {
            assert_eq!(number(text), Some(1), "{text}");
        }
        assert_eq!((number("KILL"), number("CONT")), (Some(KILL), Some(CONT)));
        assert_eq!((name(9).as_str(), name(40).as_str()), ("SIGKILL", "SIG40"));
        for bad in ["", "SIG", "0", "65", "-1", "SIGNOPE"] {
            assert_eq!(number(bad), None, "{bad}");
        }
    }
}
