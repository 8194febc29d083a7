//! One output of one service: from its FIFO into its file, whatever the disk does.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::flood::{Flood, LARGE_PIPE};
use super::index::Index;
use super::last::TAIL;
use super::rotate::Rotator;
use super::times::{Since, Times};
use super::{Key, LogEvent, RotationPolicy, Said, Shared};
use crate::lifecycle::BootInstant;
use crate::os;
use crate::os::LogDir;
use crate::os::pipe::{Output, Peeker};

/// The pipe of a stream that does not flood.
pub(super) const SMALL_PIPE: usize = 64 * 1024;

/// A line longer than this may be cut in two by a rotation.
const LONGEST_LINE: u64 = 1024 * 1024;

/// How much of an unfinished line is remembered while looking for a pattern.
const LONGEST_CARRY: usize = 64 * 1024;

/// So much older may be the first that a run wrote, as times are kept, than its beginning.
const BORN: Duration = Duration::from_secs(1);

/// How often a disk that refused is asked again.
pub(super) const RETRY: Duration = Duration::from_secs(1);

pub(super) struct Stream {
    key: Key,
    output: Output,
    keep: RotationPolicy,
    shared: Arc<Shared>,
    /// What comes first is the first that the present run wrote.
    fresh: bool,
    sink: Sink,
    flood: Flood,
    look: Option<Look>,
}

/// Where the bytes go.
enum Sink {
    /// Into a file.
    File(Open),
    /// Nowhere yet: nothing has come.
    Unopened,
    /// Nowhere: dropped and counted until the disk takes them again.
    Broken { dropped: u64, retry_at: BootInstant },
}

struct Open {
    file: File,
    position: u64,
    /// Bytes that were moved into it and those before it, and have not bought any compressing yet.
    written: u64,
    index: Index,
    rotation: Rotation,
    checked: BootInstant,
    /// Where in it the present run begins, if it was seen to begin.
    begins: Option<u64>,
}

enum Rotation {
    None,
    Asked,
    /// The next file is there; the change waits for the end of a line.
    Ready(File, u64),
}

struct Look {
    pattern: regex::bytes::Regex,
    incarnation: u64,
    carry: Vec<u8>,
}

impl Stream {
    pub(super) fn new(
        key: Key,
        output: Output,
        keep: RotationPolicy,
        shared: Arc<Shared>,
        fresh: bool,
    ) -> Self {
        Self { key, output, keep, shared, fresh, sink: Sink::Unopened, flood: Flood::none(), look: None }
    }

    pub(super) fn output(&self) -> &Output {
        &self.output
    }

    /// When its pipe is to be seen to, as its writer floods; `None`: it is waited for.
    pub(super) fn visit(&self) -> Option<BootInstant> {
        self.flood.visit()
    }

    /// Its pipe can not be made large: it is waited for, flood or not.
    pub(super) fn stays_small(&mut self) {
        self.flood = Flood::none();
    }

    /// It can not be waited for now: it is visited for a while longer.
    pub(super) fn goes_on(&mut self) {
        self.flood = Flood::ebbing(os::now());
    }

    pub(super) fn is_broken(&self) -> bool {
        matches!(self.sink, Sink::Broken { .. })
    }

    /// Keeps it differently from now on; another path begins with the next byte.
    pub(super) fn change(&mut self, keep: RotationPolicy, rotator: &Rotator) {
        if keep.path != self.keep.path
            && let Sink::File(open) = std::mem::replace(&mut self.sink, Sink::Unopened)
        {
            rotator.close(open.file);
        }
        if let Sink::File(open) = &mut self.sink {
            // Looked at with the next bytes, whether it is still there.
            open.checked = BootInstant::default();
        }
        self.keep = keep;
    }

    pub(super) fn look_for(&mut self, pattern: Option<(regex::bytes::Regex, u64)>) {
        self.look = pattern.map(|(pattern, incarnation)| Look { pattern, incarnation, carry: Vec::new() });
    }

    /// The next file is there.
    pub(super) fn rotated(&mut self, next: io::Result<(File, u64)>, rotator: &Rotator) {
        let Sink::File(open) = &mut self.sink else { return };
        open.rotation = match next {
            Ok((file, end)) => {
                rotator.compress(&self.keep, std::mem::take(&mut open.written));
                Rotation::Ready(file, end)
            }
            // Asked again when the file has grown by as much once more.
            Err(error) => {
                tracing::warn!(path = %self.keep.path.display(), %error, "rotating a log failed");
                self.keep.max_size = open.position + self.keep.max_size.max(LONGEST_LINE);
                Rotation::None
            }
        };
    }

    /// Moves what waits, up to one pipe full.
    pub(super) fn pump(&mut self, rotator: &Rotator, peeker: &mut Peeker, tell: &dyn Fn(LogEvent)) {
        let now = os::now();
        match &mut self.sink {
            Sink::Unopened => self.open(now),
            Sink::Broken { retry_at, .. } if *retry_at <= now => self.retry(now),
            _ => {}
        }
        let moved = match &mut self.sink {
            Sink::File(open) => open.transfer(&self.output, &self.keep, &self.key, rotator, peeker),
            Sink::Unopened | Sink::Broken { .. } => return self.discard(now),
        };
        match moved {
            Ok(moved) => {
                if moved > 0 {
                    self.look(moved, tell);
                    self.shared.wrote();
                }
                self.flood.moved(now, moved);
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                self.flood.moved(now, 0);
            }
            Err(error) => {
                self.fail(&error, 0, now);
                self.discard(now);
            }
        }
    }

    /// A run that began at `since` has ended; the end of what it wrote into this file.
    pub(super) fn last_lines(&mut self, since: SystemTime) -> Said {
        match &mut self.sink {
            Sink::File(open) => open.last_lines(&self.keep, since),
            Sink::Unopened | Sink::Broken { .. } => Said::default(),
        }
    }

    /// A broken stream whose writer is silent recovers too.
    pub(super) fn tick(&mut self) {
        let now = os::now();
        if let Sink::Broken { retry_at, .. } = &self.sink
            && *retry_at <= now
        {
            self.retry(now);
        }
    }

    fn open(&mut self, now: BootInstant) {
        match open_log(&self.keep) {
            Ok((file, position)) => {
                let begins = std::mem::take(&mut self.fresh).then_some(position);
                self.sink = Sink::File(Open { begins, ..Open::new(file, position, &self.keep, now) });
            }
            Err(error) => self.fail(&error, 0, now),
        }
    }

    fn fail(&mut self, error: &io::Error, dropped: u64, now: BootInstant) {
        if self.shared.trouble().is_none() {
            tracing::warn!(path = %self.keep.path.display(), %error, "writing a log failed; dropping what comes");
        }
        self.shared.set_trouble(Some(format!("{}: {error}", self.keep.path.display())));
        self.sink = Sink::Broken { dropped, retry_at: now + RETRY };
    }

    /// Asks the disk again; the gap is marked in the log.
    fn retry(&mut self, now: BootInstant) {
        let Sink::Broken { dropped, .. } = self.sink else { return };
        let mark = format!("[sereno: {dropped} bytes could not be written here]\n");
        let marked = open_log(&self.keep).and_then(|(mut file, position)| {
            if dropped == 0 {
                return Ok((file, position));
            }
            let written = file.write_all(mark.as_bytes()).map(|()| u64::try_from(mark.len()).unwrap_or(0));
            if written.is_err() {
                // Not half a mark at each try.
                let _ = file.set_len(position);
            }
            Ok((file, position + written?))
        });
        match marked {
            Ok((file, position)) => {
                self.shared.set_trouble(None);
                self.sink = Sink::File(Open::new(file, position, &self.keep, now));
            }
            Err(error) => self.fail(&error, dropped, now),
        }
    }

    /// Throws away what waits, up to one pipe full.
    fn discard(&mut self, now: BootInstant) {
        let mut all = 0;
        while all < LARGE_PIPE
            && let Ok(bytes) = self.output.discard()
            && bytes > 0
        {
            all += bytes;
        }
        self.shared.drop_bytes(all);
        if let Sink::Broken { dropped, .. } = &mut self.sink {
            *dropped += u64::try_from(all).unwrap_or(0);
        }
        self.flood.moved(now, all);
    }

    /// Looks at what has just been written, in the file.
    fn look(&mut self, moved: usize, tell: &dyn Fn(LogEvent)) {
        let (Some(look), Sink::File(open)) = (&mut self.look, &self.sink) else { return };
        let mut at = open.position.saturating_sub(u64::try_from(moved).unwrap_or(0));
        let mut buffer = vec![0; moved.min(LONGEST_CARRY)];
        while at < open.position {
            let Ok(read) = os::pipe::read_at(&open.file, &mut buffer, at) else { return };
            if read == 0 {
                return;
            }
            at += u64::try_from(read).unwrap_or(0);
            if look.matches(&buffer[..read]) {
                tell(LogEvent::Matched { service: self.key.service.clone(), incarnation: look.incarnation });
                self.look = None;
                return;
            }
        }
    }
}

/// Opens a log at its end; makes it and its folder if need be.
fn open_log(keep: &RotationPolicy) -> io::Result<(File, u64)> {
    LogDir::made_for(&keep.path)?.log(&keep.path)
}

impl Look {
    /// Whether a line, finished or not, matches with these bytes.
    fn matches(&mut self, bytes: &[u8]) -> bool {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LONGEST_CARRY.saturating_sub(self.carry.len());
            self.carry.extend_from_slice(&piece[..piece.len().min(room)]);
            if self.pattern.is_match(self.carry.trim_ascii_end()) {
                return true;
            }
            if piece.ends_with(b"\n") {
                self.carry.clear();
            }
        }
        false
    }
}

impl Open {
    fn new(file: File, position: u64, keep: &RotationPolicy, now: BootInstant) -> Self {
        Self {
            file,
            position,
            written: 0,
            index: Index::open(&keep.path, position),
            rotation: Rotation::None,
            checked: now,
            begins: None,
        }
    }

    fn transfer(
        &mut self,
        output: &Output,
        keep: &RotationPolicy,
        key: &Key,
        rotator: &Rotator,
        peeker: &mut Peeker,
    ) -> io::Result<usize> {
        self.follow_a_removed_file(keep, rotator)?;
        let mut most = LARGE_PIPE;
        if let Rotation::Ready(..) = self.rotation {
            most = self.to_line_end(output, keep, peeker)?;
            if most == 0 {
                self.switch(keep, rotator);
                most = LARGE_PIPE;
            }
        }
        let moved = output.transfer(&self.file, most)?;
        self.index.note(self.position, SystemTime::now());
        let bytes = u64::try_from(moved).unwrap_or(0);
        self.position += bytes;
        self.written += bytes;
        if self.position >= keep.max_size && matches!(self.rotation, Rotation::None) {
            self.rotation = Rotation::Asked;
            rotator.rotate(key.clone(), keep.clone());
        }
        Ok(moved)
    }

    /// How many of the waiting bytes still belong to the line that the old file ends in; 0: none, change now.
    fn to_line_end(&self, output: &Output, keep: &RotationPolicy, peeker: &mut Peeker) -> io::Result<usize> {
        let mut last = [0];
        let ends = self.position == 0
            || os::pipe::read_at(&self.file, &mut last, self.position - 1)
                .is_ok_and(|read| read == 1 && last == *b"\n");
        if ends || self.position > keep.max_size.saturating_add(LONGEST_LINE) {
            return Ok(0);
        }
        let seen = output.peek(peeker, SMALL_PIPE)?;
        let line_end = peeker.bytes[..seen].iter().position(|byte| *byte == b'\n');
        Ok(line_end.map_or(seen, |at| at + 1))
    }

    fn switch(&mut self, keep: &RotationPolicy, rotator: &Rotator) {
        if let Rotation::Ready(file, end) = std::mem::replace(&mut self.rotation, Rotation::None) {
            rotator.close(std::mem::replace(&mut self.file, file));
            self.position = end;
            self.begins = Some(0);
            self.index.reopen(&keep.path, end);
        }
    }

    fn last_lines(&mut self, keep: &RotationPolicy, since: SystemTime) -> Said {
        // The first that ends here may have begun under another supervisor: its time says where.
        let begins = self.begins.replace(self.position).unwrap_or_else(|| {
            match Times::of(&keep.path).since(since - BORN) {
                Since::From(offset) => offset.min(self.position),
                Since::Older => self.position,
                Since::Unknown => 0,
            }
        });
        let from = begins.max(self.position.saturating_sub(TAIL));
        let mut bytes = vec![0; usize::try_from(self.position.saturating_sub(from)).unwrap_or(0)];
        // What can not be read is not there: the exit is told without it.
        let read = os::pipe::read_at(&self.file, &mut bytes, from).unwrap_or(0);
        bytes.truncate(read);
        Said { bytes, cut: from > begins }
    }

    /// Somebody removed the file: a new one is begun instead of writing where nobody can read.
    fn follow_a_removed_file(&mut self, keep: &RotationPolicy, rotator: &Rotator) -> io::Result<()> {
        let now = os::now();
        if now.since(self.checked) < RETRY || !matches!(self.rotation, Rotation::None) {
            return Ok(());
        }
        self.checked = now;
        // Deleted, or moved with its folder.
        if os::pipe::is_removed(&self.file) || !keep.path.exists() {
            let (file, position) = open_log(keep)?;
            rotator.close(std::mem::replace(&mut self.file, file));
            (self.position, self.begins) = (position, None);
            self.index.reopen(&keep.path, position);
        }
        Ok(())
    }
}
