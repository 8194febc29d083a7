//! The pid of a child, written down by the child itself before it becomes another program: a supervisor that is killed
//! during a start leaves no process with an unknown pid.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags};

use crate::os::Born;

/// A page of a file that is shared with future children: what they write there outlives every process.
#[derive(Debug)]
pub struct Birth {
    page: *mut Page,
}

/// The contents of the page. Children are started one at a time.
#[repr(C)]
struct Page {
    /// The number of the intent that it belongs to.
    intent: AtomicU64,
    /// The child's pid; 0 if it was not started yet.
    pid: AtomicU32,
}

// SAFETY: the page stays mapped as long as this value lives, and its contents are atomic.
unsafe impl Send for Birth {}
// SAFETY: as above.
unsafe impl Sync for Birth {}

/// How many bytes of the file are mapped.
const LENGTH: usize = size_of::<Page>();

impl Birth {
    /// Opens the file. Also returns what the previous supervisor left in it.
    pub fn open(path: &Path) -> io::Result<(Self, Born)> {
        let file = super::host::open_in_place(path, 0o600)?;
        // The file must never become shorter: reading beyond the end of a mapped file is a signal, not an error. So is
        // writing where the file has no block yet and the disk is full: the current contents are written once more,
        // which allocates the block.
        let mut now = [0; LENGTH];
        let read = file.read_at(&mut now, 0)?;
        file.write_all_at(if read == LENGTH { &now } else { &[0; LENGTH] }, 0)?;
        let length = LENGTH;
        // SAFETY: a new mapping, at a place of the kernel's choosing.
        let page = unsafe {
            let access = ProtFlags::READ | ProtFlags::WRITE;
            rustix::mm::mmap(ptr::null_mut(), length, access, MapFlags::SHARED, &file, 0)?
        };
        let birth = Self { page: page.cast() };
        let page = birth.page();
        let born =
            Born { intent: page.intent.load(Ordering::Acquire), pid: page.pid.load(Ordering::Acquire) };
        Ok((birth, born))
    }

    /// Prepares the page for a child that is about to be started, for this intent.
    pub fn expect(&self, intent: u64) {
        self.page().pid.store(0, Ordering::Release);
        self.page().intent.store(intent, Ordering::Release);
    }

    /// Returns the address where the child writes its pid.
    pub(in crate::os) fn pid(&self) -> *const AtomicU32 {
        &raw const self.page().pid
    }

    fn page(&self) -> &Page {
        // SAFETY: mapped, page-aligned, and not unmapped before this value is dropped; any bits are a valid page.
        unsafe { &*self.page }
    }
}

impl Drop for Birth {
    fn drop(&mut self) {
        // SAFETY: this value's own mapping, with no references into it left.
        let _ = unsafe { rustix::mm::munmap(self.page.cast(), size_of::<Page>()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_last_one_wrote_is_read_by_the_next() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("birth");
        let (birth, born) = Birth::open(&path).expect("opened");
        assert_eq!(born, Born { intent: 0, pid: 0 });
        birth.expect(7);
        birth.page().pid.store(42, Ordering::Release);
        let (_, born) = Birth::open(&path).expect("opened again");
        assert_eq!(born, Born { intent: 7, pid: 42 });
        birth.expect(8);
        let (_, born) = Birth::open(&path).expect("opened again");
        assert_eq!(born, Born { intent: 8, pid: 0 }, "nobody was born for this one");
    }
}
