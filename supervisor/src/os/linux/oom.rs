//! Keeps the kernel's OOM killer from the supervisor: without it nothing is started again. What it starts is not spared.

use std::fs;
use std::sync::OnceLock;

const FILE: &str = "/proc/self/oom_score_adj";

/// As dbus has it; -1000 would make the supervisor the last process of a full memory cgroup, which then hangs.
const SPARED: &str = "-900";

/// What every other process gets; unset if the supervisor has the same.
static OTHERS: OnceLock<String> = OnceLock::new();

/// From now on the OOM killer takes other processes first. Only root may have that; for all others nothing changes.
pub fn spare_from_oom() {
    let before = fs::read_to_string(FILE).unwrap_or_default();
    // The program that `ctl upgrade` replaced has done the same.
    let others = if before.trim() == SPARED { "0" } else { before.trim() };
    if !others.is_empty() && fs::write(FILE, SPARED).is_ok() {
        let _ = OTHERS.set(others.into());
    }
}

/// What a started process has to write to be like all others.
pub(super) fn of_others() -> Option<&'static [u8]> {
    OTHERS.get().map(String::as_bytes)
}

/// Undoes it, in a child between clone and exec.
///
/// # Safety
///
/// Only system calls are made, and `score` must be readable.
pub(super) unsafe fn undo(score: &[u8]) {
    // SAFETY: the texts outlive the calls.
    unsafe {
        let file = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if file >= 0 {
            libc::write(file, score.as_ptr().cast(), score.len());
            libc::close(file);
        }
    }
}
