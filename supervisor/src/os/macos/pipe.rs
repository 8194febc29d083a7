//! FIFOs, and moving what is in them into files. macOS has no `splice`: bytes are read and then written, a few KiB at a
//! time. A supervisor that is killed between the two loses those, and nothing else does: what a full disk refuses is kept
//! in hand, and counted if it is dropped.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{Mode, OFlags};

use super::queue::Queue;
use crate::os::Ids;
pub use crate::os::unix::files::{file_number, is_at, is_removed, pause, read_at};

/// What is read before it is written: as much as a FIFO of macOS holds, so that a smaller one would only cost calls.
const WINDOW: usize = 8 * 1024;

/// The supervisor's end of one output of a service.
#[derive(Debug)]
pub struct Output {
    fifo: OwnedFd,
    identity: (u64, u64),
    hand: Mutex<Hand>,
}

/// What was read and not written yet, and whom to tell that it waits although the FIFO may be empty.
#[derive(Debug, Default)]
struct Hand {
    bytes: Vec<u8>,
    poller: Option<(Arc<Queue>, u64)>,
}

impl Output {
    /// Opens the FIFO at a path, making it if it is not there; it belongs to whom the service runs as.
    ///
    /// Open for reading and writing, so that the last writer's end is no event: POSIX leaves that open, macOS does as
    /// Linux does. Never blocking, and with flags of its own, as the service has a description of its own.
    pub fn open(path: &Path, ids: Option<&Ids>) -> io::Result<Self> {
        match make(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if let Some(ids) = ids {
            std::os::unix::fs::chown(path, Some(ids.uid), Some(ids.gid))?;
        }
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fifo = rustix::fs::open(path, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&fifo)?;
        if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::Fifo {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "something that is no FIFO is in its place",
            ));
        }
        let device = u64::from(stat.st_dev.cast_unsigned());
        Ok(Self { fifo, identity: (device, stat.st_ino), hand: Mutex::default() })
    }

    /// Another descriptor of the same end.
    pub fn copy(&self) -> io::Result<OwnedFd> {
        self.fifo.try_clone()
    }

    /// The FIFO that a process has, where its path was deleted: nobody can open it here, so what it writes is kept again from
    /// its next run on.
    pub fn held_by(_pid: u32, _number: i32, _path: &Path) -> Option<Self> {
        None
    }

    /// Device and inode: who holds this FIFO belongs to its service.
    pub fn identity(&self) -> (u64, u64) {
        self.identity
    }

    /// Whether there is one at this path.
    pub fn is_named(path: &Path) -> bool {
        Self::identity_of(path).is_some()
    }

    /// Device and inode of one that is there, without opening it.
    pub fn identity_of(path: &Path) -> Option<(u64, u64)> {
        let meta = std::fs::symlink_metadata(path).ok()?;
        // The device is a number of 32 bits, which may count as negative on its way to one of 64.
        Some((meta.dev() & u64::from(u32::MAX), meta.ino()))
    }

    /// A fresh description for the service: what it does to its flags is its own business.
    pub fn for_service(path: &Path) -> io::Result<OwnedFd> {
        Ok(rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())?)
    }

    /// It can not be: a FIFO of macOS has one size.
    pub fn enlarge(&self, _bytes: usize) -> bool {
        false
    }

    /// Nothing to be done: it never grew.
    pub fn shrink(&self, _bytes: usize) {}

    /// Bytes that wait in it.
    pub fn waiting(&self) -> usize {
        let unread = usize::try_from(rustix::io::ioctl_fionread(&self.fifo).unwrap_or(0)).unwrap_or(0);
        self.hand().bytes.len() + unread
    }

    /// Moves up to so many bytes to the file's position. `WouldBlock`: there are none.
    pub fn transfer(&self, mut file: &File, most: usize) -> io::Result<usize> {
        let mut hand = self.hand();
        if hand.bytes.is_empty() {
            self.take(&mut hand, most.min(WINDOW))?;
        }
        let wanted = hand.bytes.len().min(most);
        let mut moved = 0;
        while moved < wanted {
            match file.write(&hand.bytes[moved..wanted]) {
                Ok(0) => break,
                Ok(written) => moved += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What was written counts; the rest stays in hand, and the next try says the error again.
                Err(_) if moved > 0 => break,
                Err(error) => return Err(error),
            }
        }
        hand.bytes.drain(..moved);
        hand.come_again();
        Ok(moved)
    }

    /// Looks at what waits. It is in hand from then on, until it is moved.
    pub fn peek(&self, peeker: &mut Peeker, most: usize) -> io::Result<usize> {
        let mut hand = self.hand();
        if hand.bytes.is_empty() {
            self.take(&mut hand, most.min(WINDOW))?;
        }
        let seen = hand.bytes.len().min(most).min(peeker.bytes.len());
        peeker.bytes[..seen].copy_from_slice(&hand.bytes[..seen]);
        hand.come_again();
        Ok(seen)
    }

    /// Throws away up to a buffer of what waits; says how much.
    pub fn discard(&self) -> io::Result<usize> {
        let mut hand = self.hand();
        if hand.bytes.is_empty() {
            self.take(&mut hand, WINDOW)?;
        }
        let dropped = hand.bytes.len();
        hand.bytes.clear();
        Ok(dropped)
    }

    fn take(&self, hand: &mut Hand, most: usize) -> io::Result<()> {
        hand.bytes.resize(most, 0);
        let read = rustix::io::read(&self.fifo, &mut hand.bytes[..]);
        hand.bytes.truncate(*read.as_ref().unwrap_or(&0));
        read?;
        Ok(())
    }

    fn hand(&self) -> MutexGuard<'_, Hand> {
        self.hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hand {
    /// What is in hand makes no FIFO readable: the poller is told.
    fn come_again(&self) {
        if !self.bytes.is_empty()
            && let Some((poller, key)) = &self.poller
        {
            // Fails only for one that is watched no more.
            let _ = poller.poke(*key);
        }
    }
}

fn make(path: &Path) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: a path that ends.
    if unsafe { libc::mkfifo(path.as_ptr(), 0o600) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Where what was looked at is shown.
#[derive(Debug)]
pub struct Peeker {
    /// What was seen last.
    pub bytes: Vec<u8>,
}

impl Peeker {
    /// A new one.
    pub fn new() -> io::Result<Self> {
        Ok(Self { bytes: vec![0; WINDOW] })
    }
}

/// Waits for many outputs at once, and for a wake from another thread.
pub struct Poller(Arc<Queue>);

/// Ends a [`Poller::wait`] from another thread.
#[derive(Debug, Clone)]
pub struct Waker(Arc<Queue>);

impl Waker {
    /// Ends the current or the next wait.
    pub fn wake(&self) {
        // Fails only without a queue, and then nobody waits.
        let _ = self.0.poke(WAKE);
    }
}

const WAKE: u64 = u64::MAX;

impl Poller {
    /// A new one, and what ends its waits.
    pub fn new() -> io::Result<(Self, Waker)> {
        let queue = Arc::new(Queue::new()?);
        queue.expect(WAKE)?;
        Ok((Self(Arc::clone(&queue)), Waker(queue)))
    }

    /// Watches an output under a key.
    pub fn add(&self, output: &Output, key: u64) -> io::Result<()> {
        self.0.watch(&output.fifo, key)?;
        self.0.expect(key)?;
        let mut hand = output.hand();
        hand.poller = Some((Arc::clone(&self.0), key));
        hand.come_again();
        Ok(())
    }

    /// No longer watches an output.
    pub fn remove(&self, output: &Output) {
        let _ = self.0.forget(&output.fifo);
        if let Some((queue, key)) = output.hand().poller.take() {
            let _ = queue.expect_no_more(key);
        }
    }

    /// Waits until an output has something, a wake comes or the time is over; the keys of those that have something.
    pub fn wait(&self, timeout: Option<std::time::Duration>, ready: &mut Vec<u64>) -> io::Result<()> {
        ready.clear();
        let mut happened = Vec::new();
        self.0.wait(timeout, &mut happened)?;
        ready.extend(happened.iter().map(|event| event.key).filter(|key| *key != WAKE));
        // One that has something in the FIFO and in hand is told of twice.
        ready.sort_unstable();
        ready.dedup();
        Ok(())
    }
}
