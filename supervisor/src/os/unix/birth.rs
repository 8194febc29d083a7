//! The pid of a child, written down by the child itself before it is another program: a supervisor that is killed while
//! it starts one leaves no process whose pid nobody knows.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags};

use crate::os::Born;

/// One page of a file that is shared with the children to be: what they write there outlives every process.
#[derive(Debug)]
pub struct Birth {
    page: *mut Page,
}

/// What stands on it. One child is born at a time.
#[repr(C)]
struct Page {
    /// Which intent it is about.
    intent: AtomicU64,
    /// The child; 0: it has not come about.
    pid: AtomicU32,
}

// SAFETY: the page is mapped as long as this lives, and what stands on it is atomic.
unsafe impl Send for Birth {}
// SAFETY: as above.
unsafe impl Sync for Birth {}

/// So many bytes of the file are mapped.
const LENGTH: usize = size_of::<Page>();

impl Birth {
    /// Opens the file; with what the last one left in it.
    pub fn open(path: &Path) -> io::Result<(Self, Born)> {
        let file = super::host::open_in_place(path, 0o600)?;
        // Never shorter again: reading beyond the end of a mapped file is a signal, not an error. So is writing where the
        // file has no block yet and the disk is full: what stands there is written once more, which allocates it.
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

    /// A child is about to be started, for this intent.
    pub fn expect(&self, intent: u64) {
        self.page().pid.store(0, Ordering::Release);
        self.page().intent.store(intent, Ordering::Release);
    }

    /// Where the child writes its pid.
    pub(in crate::os) fn pid(&self) -> *const AtomicU32 {
        &raw const self.page().pid
    }

    fn page(&self) -> &Page {
        // SAFETY: mapped, aligned as a page is, and never unmapped before this is dropped; any bits are a valid page.
        unsafe { &*self.page }
    }
}

impl Drop for Birth {
    fn drop(&mut self) {
        // SAFETY: our own mapping, and nobody holds a reference into it any more.
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
