//! An output of a service: from its FIFO into its file, whatever the disk does.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::flood::{Flood, LARGE_PIPE, rest_after};
use super::index::Index;
use super::last::TAIL;
use super::rotate::Rotator;
use super::times::{Since, Times};
use super::{Key, LogEvent, RotationPolicy, Said, Shared};
use crate::lifecycle::BootInstant;
use crate::os;
use crate::os::LogDir;
use crate::os::pipe::{Output, Peeker};

/// The pipe size of a stream that does not flood.
pub(super) const SMALL_PIPE: usize = 64 * 1024;

/// A line longer than this may be cut in two by a rotation.
const LONGEST_LINE: u64 = 1024 * 1024;

/// How much of an unfinished line is kept while looking for a pattern.
const LONGEST_CARRY: usize = 64 * 1024;

/// The recorded time of a run's first output may be earlier than its beginning by at most this.
const BORN: Duration = Duration::from_secs(1);

/// How often a failed disk is tried again.
pub(super) const RETRY: Duration = Duration::from_secs(1);

pub(super) struct Stream {
    key: Key,
    output: Output,
    keep: RotationPolicy,
    shared: Arc<Shared>,
    /// Whether the first bytes will be the first of the current run.
    fresh: bool,
    sink: Sink,
    flood: Flood,
    /// Until when its pipe is left alone, because its service made the last move expensive.
    pub(super) rests: Option<BootInstant>,
    look: Option<Look>,
}

/// The destination of the bytes.
enum Sink {
    /// Bytes go into a file.
    File(Open),
    /// No file is open: nothing has come yet.
    Unopened,
    /// Bytes are dropped and counted until the disk accepts them again.
    Broken { dropped: u64, retry_at: BootInstant },
}

struct Open {
    file: File,
    position: u64,
    /// Bytes written to this and earlier files that were not reported to the compressor yet.
    written: u64,
    index: Index,
    rotation: Rotation,
    checked: BootInstant,
    /// The offset at which the current run begins, if its beginning was seen.
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
        let (sink, flood) = (Sink::Unopened, Flood::none());
        Self { key, output, keep, shared, fresh, sink, flood, rests: None, look: None }
    }

    pub(super) fn output(&self) -> &Output {
        &self.output
    }

    /// Returns when its pipe must be emptied because its writer floods or it rests; `None` if it is waited for.
    pub(super) fn visit(&self) -> Option<BootInstant> {
        self.rests.max(self.flood.visit())
    }

    /// Waits for its pipe in any case, because the pipe cannot be made large.
    pub(super) fn stays_small(&mut self) {
        self.flood = Flood::none();
    }

    /// Keeps visiting it for a while, because it cannot be waited for now.
    pub(super) fn goes_on(&mut self) {
        self.flood = Flood::ebbing(os::now());
    }

    pub(super) fn is_broken(&self) -> bool {
        matches!(self.sink, Sink::Broken { .. })
    }

    /// Changes how it is stored from now on; another path takes effect with the next byte.
    pub(super) fn change(&mut self, keep: RotationPolicy, rotator: &Rotator) {
        if keep.path != self.keep.path
            && let Sink::File(open) = std::mem::replace(&mut self.sink, Sink::Unopened)
        {
            rotator.close(open.file);
        }
        if let Sink::File(open) = &mut self.sink {
            // The next bytes check whether the file still exists.
            open.checked = BootInstant::default();
        }
        self.keep = keep;
    }

    pub(super) fn look_for(&mut self, pattern: Option<(regex::bytes::Regex, u64)>) {
        self.look = pattern.map(|(pattern, incarnation)| Look { pattern, incarnation, carry: Vec::new() });
    }

    /// Takes the next file after a rotation.
    pub(super) fn rotated(&mut self, next: io::Result<(File, u64)>, rotator: &Rotator) {
        let Sink::File(open) = &mut self.sink else { return };
        open.rotation = match next {
            Ok((file, end)) => {
                rotator.compress(&self.keep, std::mem::take(&mut open.written));
                Rotation::Ready(file, end)
            }
            // Asked again when the file has grown by the same amount.
            Err(error) => {
                tracing::warn!(path = %self.keep.path.display(), %error, "rotating a log failed");
                self.keep.max_size = open.position + self.keep.max_size.max(LONGEST_LINE);
                Rotation::None
            }
        };
    }

    /// Moves waiting bytes, up to one full pipe.
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
                self.rests = rest_after(os::now().since(now), moved).map(|rest| os::now() + rest);
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

    /// Returns the end of the output of a run that began at `since` and has ended.
    pub(super) fn last_lines(&mut self, since: SystemTime) -> Said {
        match &mut self.sink {
            Sink::File(open) => open.last_lines(&self.keep, since),
            Sink::Unopened | Sink::Broken { .. } => Said::default(),
        }
    }

    /// Lets a broken stream recover even if its writer is silent.
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

    /// Tries the disk again; the gap is marked in the log.
    fn retry(&mut self, now: BootInstant) {
        let Sink::Broken { dropped, .. } = self.sink else { return };
        let mark = format!("[sereno: {dropped} bytes could not be written here]\n");
        let marked = open_log(&self.keep).and_then(|(mut file, position)| {
            if dropped == 0 {
                return Ok((file, position));
            }
            let written = file.write_all(mark.as_bytes()).map(|()| u64::try_from(mark.len()).unwrap_or(0));
            if written.is_err() {
                // Removes half a mark, so that tries do not add up.
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

    /// Drops waiting bytes, up to one full pipe.
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

    /// Looks for the pattern in what has just been written, in the file.
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

/// Opens a log at its end; creates it and its folder if needed.
fn open_log(keep: &RotationPolicy) -> io::Result<(File, u64)> {
    LogDir::made_for(&keep.path)?.log(&keep.path)
}

impl Look {
    /// Returns whether a line, finished or not, matches with these bytes.
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

    /// Returns how many waiting bytes still belong to the last line of the old file; 0 means change now.
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
        // The run may have begun under another supervisor: its time tells the offset.
        let begins = self.begins.replace(self.position).unwrap_or_else(|| {
            match Times::of(&keep.path).since(since - BORN) {
                Since::From(offset) => offset.min(self.position),
                Since::Older => self.position,
                Since::Unknown => 0,
            }
        });
        let from = begins.max(self.position.saturating_sub(TAIL));
        let mut bytes = vec![0; usize::try_from(self.position.saturating_sub(from)).unwrap_or(0)];
        // Unreadable bytes are left out: the exit is reported without them.
        let read = os::pipe::read_at(&self.file, &mut bytes, from).unwrap_or(0);
        bytes.truncate(read);
        Said { bytes, cut: from > begins }
    }

    /// Begins a new file if the file was removed, instead of writing where nothing can read.
    fn follow_a_removed_file(&mut self, keep: &RotationPolicy, rotator: &Rotator) -> io::Result<()> {
        let now = os::now();
        if now.since(self.checked) < RETRY || !matches!(self.rotation, Rotation::None) {
            return Ok(());
        }
        self.checked = now;
        // It was deleted, or moved with its folder.
        if os::pipe::is_removed(&self.file) || !keep.path.exists() {
            let (file, position) = open_log(keep)?;
            rotator.close(std::mem::replace(&mut self.file, file));
            (self.position, self.begins) = (position, None);
            self.index.reopen(&keep.path, position);
        }
        Ok(())
    }
}
