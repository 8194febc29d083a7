//! FIFOs, and moving their contents into files without copying them through this process: `splice` takes from the pipe
//! exactly what it puts into the file, even under SIGKILL.

use std::fs::{self, File};
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::fs::{Mode, OFlags, mkfifoat};
use rustix::pipe::SpliceFlags;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::os::Ids;
pub use crate::os::unix::files::{file_number, is_at, is_removed, pause, read_at};
pub use crate::os::unix::service_end::ServiceEnd;

/// The supervisor's end of an output of a service.
#[derive(Debug)]
pub struct Output {
    fifo: OwnedFd,
    identity: (u64, u64),
}

impl Output {
    /// Makes a new FIFO in place of what is at a path; it belongs to the user that the service runs as. Returns both
    /// ends. Nobody else has it yet, so that nobody can hold these calls up.
    ///
    /// Opened for reading and writing, so that the last writer's end is no event. Non-blocking; the flags are separate
    /// from the service's, which has its own file description.
    pub fn make(path: &Path, ids: Option<&Ids>) -> io::Result<(Self, ServiceEnd)> {
        match rustix::fs::unlink(path) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        mkfifoat(rustix::fs::CWD, path, Mode::RUSR | Mode::WUSR)?;
        let both = Self::open_ends(path, path)?;
        if let Some(ids) = ids {
            // Changes what was opened, not what is at the path by now.
            std::os::unix::fs::fchown(&both.0.fifo, Some(ids.uid), Some(ids.gid))?;
        }
        Ok(both)
    }

    fn open_ends(path: &Path, named: &Path) -> io::Result<(Self, ServiceEnd)> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let links = if path == named { OFlags::NOFOLLOW } else { OFlags::empty() };
        let fifo = rustix::fs::open(path, flags | OFlags::NONBLOCK | links, Mode::empty())?;
        let stat = rustix::fs::fstat(&fifo)?;
        if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::Fifo {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "something that is no FIFO is in its place",
            ));
        }
        let end = ServiceEnd::new(rustix::fs::open(path, flags | links, Mode::empty())?);
        Ok((Self { fifo, identity: (stat.st_dev, stat.st_ino) }, end))
    }

    /// Returns the FIFO that a process has open as this descriptor, if it was the FIFO of this path and that path, or
    /// the folder above, has been deleted, moved or made again since.
    pub fn held_by(pid: u32, number: i32, path: &Path) -> Option<Self> {
        let place = format!("/proc/{pid}/fd/{number}");
        let names = std::fs::read_link(&place).ok()?;
        let names = names.to_str()?;
        let name = Path::new(names.strip_suffix(" (deleted)").unwrap_or(names));
        if name.file_name() != path.file_name() || name.parent()?.file_name() != path.parent()?.file_name() {
            return None;
        }
        let meta = fs::metadata(&place).ok().filter(|meta| meta.file_type().is_fifo())?;
        if Self::identity_of(path) == Some((meta.dev(), meta.ino())) {
            return None;
        }
        let (place, own) = (PathBuf::from(place), path.to_owned());
        within_patience(move || Self::open_ends(&place, &own), drop).ok().map(|(held, _)| held)
    }

    /// Returns another descriptor of the same end.
    pub fn copy(&self) -> io::Result<OwnedFd> {
        self.fifo.try_clone()
    }

    /// Returns device and inode: a process that holds this FIFO belongs to its service.
    pub fn identity(&self) -> (u64, u64) {
        self.identity
    }

    /// Returns whether there is a file at this path.
    pub fn is_named(path: &Path) -> bool {
        Self::identity_of(path).is_some()
    }

    /// Returns device and inode of the file at this path, without opening it.
    pub fn identity_of(path: &Path) -> Option<(u64, u64)> {
        let meta = fs::symlink_metadata(path).ok()?;
        Some((meta.dev(), meta.ino()))
    }

    /// Enlarges the pipe while its writer floods. Returns `false` if the user's limit for pipes refuses.
    pub fn enlarge(&self, bytes: usize) -> bool {
        rustix::pipe::fcntl_setpipe_size(&self.fifo, bytes).is_ok()
    }

    /// Makes the pipe small again, unless it holds too much.
    pub fn shrink(&self, bytes: usize) {
        let _ = rustix::pipe::fcntl_setpipe_size(&self.fifo, bytes);
    }

    /// Returns how many bytes wait in it.
    pub fn waiting(&self) -> usize {
        usize::try_from(rustix::io::ioctl_fionread(&self.fifo).unwrap_or(0)).unwrap_or(0)
    }

    /// Moves up to `most` bytes to the file's position. Fails with `WouldBlock` if there are none.
    pub fn transfer(&self, file: &File, most: usize) -> io::Result<usize> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        Ok(rustix::pipe::splice(&self.fifo, None, file, None, most, flags)?)
    }

    /// Copies waiting bytes without removing them.
    pub fn peek(&self, peeker: &mut Peeker, most: usize) -> io::Result<usize> {
        peeker.peek(self.fifo.as_fd(), most)
    }

    /// Drops up to a buffer of waiting bytes. Returns how many.
    pub fn discard(&self) -> io::Result<usize> {
        let mut buffer = [0_u8; 16 * 1024];
        Ok(rustix::io::read(&self.fifo, &mut buffer)?)
    }
}

/// Calls that a service holds up, on threads that were left behind.
static LEFT_BEHIND: AtomicUsize = AtomicUsize::new(0);

/// Returns whether a thread of this process is stuck with opening a pipe.
pub fn is_opening_stuck() -> bool {
    LEFT_BEHIND.load(Ordering::Relaxed) > 0
}

/// Closes files on a thread of its own, as a service may hold that up. The future ends when they are closed.
pub(super) fn close_apart(files: Vec<OwnedFd>) -> impl Future<Output = ()> {
    let (closed, told) = tokio::sync::oneshot::channel::<()>();
    if !files.is_empty() {
        LEFT_BEHIND.fetch_add(1, Ordering::Relaxed);
        let files = ManuallyDrop::new(files);
        let started = thread::Builder::new().name("close".into()).stack_size(64 * 1024).spawn(move || {
            drop(ManuallyDrop::into_inner(files));
            LEFT_BEHIND.fetch_sub(1, Ordering::Relaxed);
            drop(closed);
        });
        if started.is_err() {
            // They stay open.
            LEFT_BEHIND.fetch_sub(1, Ordering::Relaxed);
        }
    }
    async move {
        // Nothing is ever sent: the channel ends with the thread.
        let _ = told.await;
    }
}

/// Both ends of stdout and stderr.
pub type Both = [(Output, ServiceEnd); 2];

/// Opens the FIFOs at these paths, which a running service may have open, and may hold up: waits for that only briefly.
/// If they open later, `late` is called with them on another thread.
pub fn open_both(paths: [PathBuf; 2], late: impl FnOnce(Both) + Send + 'static) -> io::Result<Both> {
    let open = move || {
        let [out, err] = &paths;
        Ok([Output::open_ends(out, out)?, Output::open_ends(err, err)?])
    };
    within_patience(open, late)
}

/// Does what a service may hold up, on a thread of its own, and waits for it only briefly. `late` gets what comes later.
fn within_patience<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
    late: impl FnOnce(T) + Send + 'static,
) -> io::Result<T> {
    /// On a healthy host it takes microseconds.
    const PATIENCE: Duration = Duration::from_millis(250);
    // Without room, so that what is not taken comes back.
    let (sender, answer) = mpsc::sync_channel(0);
    LEFT_BEHIND.fetch_add(1, Ordering::Relaxed);
    let started = thread::Builder::new().name("open".into()).stack_size(64 * 1024).spawn(move || {
        let done = work();
        LEFT_BEHIND.fetch_sub(1, Ordering::Relaxed);
        if let Err(mpsc::SendError(Ok(opened))) = sender.send(done) {
            late(opened);
        }
    });
    if let Err(error) = started {
        LEFT_BEHIND.fetch_sub(1, Ordering::Relaxed);
        return Err(error);
    }
    answer.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "a process holds its pipe up; it is read when that is over",
        ))
    })
}

/// Rings when a thread that set it has not put it off in time: that thread may be stuck.
#[derive(Debug)]
pub struct StallTimer(OwnedFd);

impl StallTimer {
    /// Whether a service can hold up a thread of this process on this system.
    pub const IS_NEEDED: bool = true;

    /// Makes a timer that is off.
    pub fn new() -> io::Result<Self> {
        Ok(Self(timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?))
    }

    /// Sets when it rings, from now on; zero turns it off.
    pub fn set(&self, after: Duration) {
        let value = Timespec {
            tv_sec: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(after.subsec_nanos()),
        };
        let nothing = Timespec { tv_sec: 0, tv_nsec: 0 };
        let timer = Itimerspec { it_interval: nothing, it_value: value };
        // Fails only for times that are no times.
        let _ = timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &timer);
    }

    /// Waits until it rings. Returns `false` if it never will.
    pub fn rings(&self) -> bool {
        loop {
            match rustix::io::read(&self.0, &mut [0_u8; 8]) {
                Err(rustix::io::Errno::INTR) => {}
                read => return read.is_ok(),
            }
        }
    }
}

/// A private pipe for looking ahead: `tee` into it consumes nothing of the source.
#[derive(Debug)]
pub struct Peeker {
    reader: OwnedFd,
    writer: OwnedFd,
    /// The bytes that were seen last.
    pub bytes: Vec<u8>,
}

impl Peeker {
    /// Creates the private pipe.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC | rustix::pipe::PipeFlags::NONBLOCK)?;
        Ok(Self { reader, writer, bytes: vec![0; 64 * 1024] })
    }

    fn peek(&mut self, source: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
        let most = most.min(self.bytes.len());
        let seen = rustix::pipe::tee(source, &self.writer, most, SpliceFlags::NONBLOCK)?;
        let mut read = 0;
        while read < seen {
            read += rustix::io::read(&self.reader, &mut self.bytes[read..seen])?;
        }
        Ok(seen)
    }
}

/// Waits for many outputs at once, and for a wake from another thread.
pub struct Poller {
    epoll: OwnedFd,
    wake: std::sync::Arc<OwnedFd>,
}

/// Ends a [`Poller::wait`] from another thread.
#[derive(Debug, Clone)]
pub struct Waker(std::sync::Arc<OwnedFd>);

impl Waker {
    /// Ends the current or the next wait.
    pub fn wake(&self) {
        // If the counter is full, the wait ends as well.
        let _ = rustix::io::write(&*self.0, &1_u64.to_ne_bytes());
    }
}

const WAKE: u64 = u64::MAX;

impl Poller {
    /// Creates a poller, and the waker that ends its waits.
    pub fn new() -> io::Result<(Self, Waker)> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wake = std::sync::Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        epoll::add(&epoll, &*wake, epoll::EventData::new_u64(WAKE), epoll::EventFlags::IN)?;
        Ok((Self { epoll, wake: std::sync::Arc::clone(&wake) }, Waker(wake)))
    }

    /// Watches an output under a key.
    pub fn add(&self, output: &Output, key: u64) -> io::Result<()> {
        epoll::add(&self.epoll, &output.fifo, epoll::EventData::new_u64(key), epoll::EventFlags::IN)?;
        Ok(())
    }

    /// Stops watching an output.
    pub fn remove(&self, output: &Output) {
        let _ = epoll::delete(&self.epoll, &output.fifo);
    }

    /// Waits until an output has bytes, a wake comes or the time is over. Fills `ready` with the keys of outputs that
    /// have bytes.
    pub fn wait(&self, timeout: Option<Duration>, ready: &mut Vec<u64>) -> io::Result<()> {
        ready.clear();
        let mut timeout = timeout.map(|time| Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(time.subsec_nanos()),
        });
        if let Some(time) = timeout.as_mut().filter(|time| time.tv_sec == 0) {
            // `epoll` counts its timeout in milliseconds, so a shorter wait uses `poll`.
            let mut epoll = [rustix::event::PollFd::new(&self.epoll, rustix::event::PollFlags::IN)];
            match rustix::event::poll(&mut epoll, Some(time)) {
                Err(rustix::io::Errno::INTR) => return Ok(()),
                waited => waited?,
            };
            *time = Timespec::default();
        }
        let mut events = [const { std::mem::MaybeUninit::uninit() }; 64];
        let (events, _) = match epoll::wait(&self.epoll, &mut events, timeout.as_ref()) {
            Err(rustix::io::Errno::INTR) => return Ok(()),
            waited => waited?,
        };
        for event in events {
            match event.data.u64() {
                WAKE => drop(rustix::io::read(&*self.wake, &mut [0_u8; 8])),
                key => ready.push(key),
            }
        }
        Ok(())
    }
}
