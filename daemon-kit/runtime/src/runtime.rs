//! The runtime of a daemon: one thread does everything, a few others what would block it.

use std::io;
use std::thread;
use std::time::Duration;

/// A thread that waits costs its stack and no wake-up.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// Builds it, with at most so many threads for what blocks; the first of them is there from now on. A host that has no
/// thread left makes what blocks wait for it, where otherwise `spawn_blocking` would panic.
pub fn runtime(blocking: usize) -> io::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(blocking)
        .thread_keep_alive(FOR_EVER)
        .build()?;
    // An error where there is none to be had even now.
    drop(thread::Builder::new().spawn(|| {})?);
    drop(runtime.spawn_blocking(|| {}));
    Ok(runtime)
}
