//! The tokio runtime of a daemon: one thread for all tasks, and a few threads for blocking work.

use std::io;
use std::thread;
use std::time::Duration;

/// Keep-alive of blocking threads: an idle thread costs its stack and no wake-up.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// Builds a runtime with at most `blocking` threads for blocking work. The first of them is started now: if
/// the host has no thread left later, blocking work waits for it, where otherwise `spawn_blocking` would panic.
pub fn runtime(blocking: usize) -> io::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(blocking)
        .thread_keep_alive(FOR_EVER)
        .build()?;
    // Fails here if the host can not create a thread even now.
    let _ = thread::Builder::new().spawn(|| {})?.join();
    drop(runtime.spawn_blocking(|| {}));
    Ok(runtime)
}
