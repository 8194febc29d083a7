//! Closes files whose last close may wait in the kernel for ever.

use std::mem::ManuallyDrop;
use std::os::fd::OwnedFd;
use std::thread;

/// Closes files on a thread of its own. A process of the service can hold the kernel's lock of a pipe as long as it
/// likes, and whoever closes that pipe last waits for it without a time limit.
pub fn close_apart(files: Vec<OwnedFd>) {
    if files.is_empty() {
        return;
    }
    let files = ManuallyDrop::new(files);
    // Where no thread can be started the files stay open.
    let _ = thread::Builder::new()
        .name("close".into())
        .stack_size(64 * 1024)
        .spawn(move || drop(ManuallyDrop::into_inner(files)));
}
