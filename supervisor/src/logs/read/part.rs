//! A file of a stream, plain or compressed, with its times.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::SystemTime;

use flate2::read::GzDecoder;

use super::{Chunk, Limits, Place};
use crate::logs::times::{Since, Times};
use crate::logs::{compress, rotate};
use crate::os::{LogDir, pipe};

/// The most bytes of a reading step.
const CHUNK: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Part {
    bytes: Bytes,
    pub(super) number: u64,
    /// The number at the end of its name when it was opened: 1 for the first rotated file, 0 for the current file.
    pub(super) place: u32,
    position: u64,
    times: Times,
    /// The most bytes of it that are read: its end, or the beginning of a compressed file.
    most: u64,
    /// Whether some of it was left out because of that limit.
    pub(super) is_cut: bool,
}

enum Bytes {
    Plain(File),
    /// `reached` is how far it has been read: going back means starting again.
    Zipped {
        decoder: Box<GzDecoder<File>>,
        reached: u64,
    },
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Self::Plain(_)) { "Plain" } else { "Zipped" })
    }
}

impl Part {
    /// Opens a file as it was written.
    pub(super) fn plain(folder: &LogDir, path: &Path, limits: Limits) -> io::Result<Self> {
        let file = folder.read(path)?;
        let number = rotate::number_of(&file)?;
        Ok(Self::new(Bytes::Plain(file), number, path, limits))
    }

    /// Opens a compressed file.
    pub(super) fn zipped(folder: &LogDir, path: &Path, limits: Limits) -> io::Result<Self> {
        let file = folder.read(path)?;
        let own = rotate::number_of(&file)?;
        let decoder = Box::new(GzDecoder::new(file));
        let number =
            decoder.header().and_then(|header| compress::number_in(header.comment()?)).unwrap_or(own);
        Ok(Self::new(Bytes::Zipped { decoder, reached: 0 }, number, path, limits))
    }

    fn new(bytes: Bytes, number: u64, path: &Path, limits: Limits) -> Self {
        let times = Times::of(path);
        Self { bytes, number, place: 0, position: 0, times, most: limits.file, is_cut: false }
    }

    pub(super) fn is_zipped(&self) -> bool {
        matches!(self.bytes, Bytes::Zipped { .. })
    }

    /// Returns whether nothing was ever written to it; never true for a compressed file.
    pub(super) fn is_empty(&self) -> bool {
        self.length() == Some(0)
    }

    /// Returns its length, if that is known without reading it.
    fn length(&self) -> Option<u64> {
        match &self.bytes {
            Bytes::Plain(file) => file.metadata().ok().map(|meta| meta.len()),
            Bytes::Zipped { .. } => None,
        }
    }

    /// Returns when it was last written to.
    pub(super) fn modified(&self) -> Option<SystemTime> {
        let file = match &self.bytes {
            Bytes::Plain(file) => file,
            Bytes::Zipped { decoder, .. } => decoder.get_ref(),
        };
        file.metadata().and_then(|meta| meta.modified()).ok()
    }

    /// Sets the position to read from.
    pub(super) fn at(mut self, position: u64) -> Self {
        self.position = position;
        self
    }

    pub(super) fn next(&mut self) -> io::Result<Option<Chunk>> {
        if let Bytes::Plain(file) = &self.bytes {
            let length = file.metadata()?.len();
            if length < self.position {
                // The file was truncated by another program.
                self.position = 0;
                self.times = Times::none();
            }
            let first = length.saturating_sub(self.most);
            self.is_cut |= self.position < first;
            self.position = self.position.max(first);
        }
        let (time, border) = self.times.at(self.position);
        // Read up to where the next time begins, so that each chunk has its own time.
        let most = border
            .map_or(CHUNK, |border| usize::try_from(border - self.position).unwrap_or(CHUNK).min(CHUNK));
        let mut data = vec![0; most];
        let read = match &mut self.bytes {
            Bytes::Plain(file) => pipe::read_at(file, &mut data, self.position)?,
            Bytes::Zipped { decoder, reached } => {
                let within = self.position.min(self.most);
                if *reached < within {
                    *reached += io::copy(&mut decoder.take(within - *reached), &mut io::sink())?;
                }
                let read = decoder.read(&mut data)?;
                *reached += u64::try_from(read).unwrap_or(0);
                let over = reached.saturating_sub(self.most);
                self.is_cut |= over > 0;
                read - read.min(usize::try_from(over).unwrap_or(read))
            }
        };
        if read == 0 {
            return Ok(None);
        }
        data.truncate(read);
        data.shrink_to_fit();
        self.position += u64::try_from(read).unwrap_or(0);
        let end = Place { file: self.number, offset: self.position };
        Ok(Some(Chunk { data, time, end }))
    }

    /// Returns where the last `lines` lines begin, and how many there are. The bytes read are taken off `look_back`.
    pub(super) fn back(&mut self, lines: u64, look_back: &mut u64) -> io::Result<(u64, u64)> {
        let most = self.most.min(*look_back);
        let (begin, found, read) = match &mut self.bytes {
            Bytes::Plain(file) => back(file, lines, most)?,
            Bytes::Zipped { decoder, reached } => {
                let (total, read) = line_starts(&mut anew(decoder)?.take(most), u64::MAX)?;
                let found = total.min(lines);
                let begin = line_starts(&mut anew(decoder)?.take(most), total - found)?.1;
                (**decoder, *reached) = (anew(decoder)?, 0);
                (begin, found, read)
            }
        };
        self.is_cut |= read >= most;
        *look_back = look_back.saturating_sub(read);
        Ok((begin, found))
    }

    /// Returns the offset of the first byte that was not seen before a time; `None` if all bytes were.
    pub(super) fn since(&self, path: &Path, since: SystemTime) -> Option<u64> {
        match Times::of(path).since(since) {
            // A position beyond its end would look as if it had been truncated.
            Since::From(offset) => Some(offset.min(self.length().unwrap_or(offset))),
            Since::Older => None,
            // Without an index, only the modification time can decide.
            Since::Unknown => self.modified().is_none_or(|last| last >= since).then_some(0),
        }
    }
}

fn anew(decoder: &GzDecoder<File>) -> io::Result<GzDecoder<File>> {
    let mut file = decoder.get_ref().try_clone()?;
    file.seek(SeekFrom::Start(0))?;
    Ok(GzDecoder::new(file))
}

/// Counts the lines that begin, up to `most`. Returns the count, and where the next line begins.
fn line_starts(source: &mut impl Read, most: u64) -> io::Result<(u64, u64)> {
    let mut buffer = vec![0; CHUNK];
    let (mut at, mut begun, mut open) = (0, 0, false);
    loop {
        let read = source.read(&mut buffer)?;
        if read == 0 {
            return Ok((begun, at));
        }
        for byte in &buffer[..read] {
            if !open {
                if begun == most {
                    return Ok((begun, at));
                }
                begun += 1;
            }
            open = *byte != b'\n';
            at += 1;
        }
    }
}

/// Searches a plain file backwards. Returns where the last `lines` lines begin, how many there are, and how many bytes
/// were read.
fn back(file: &File, lines: u64, most: u64) -> io::Result<(u64, u64, u64)> {
    let end = file.metadata()?.len();
    if lines == 0 {
        return Ok((end, 0, 0));
    }
    let (mut at, mut found) = (end, 0);
    let mut buffer = vec![0; CHUNK];
    while at > 0 && end - at < most {
        let begin = at.saturating_sub(u64::try_from(CHUNK).unwrap_or(at));
        let length = usize::try_from(at - begin).unwrap_or(CHUNK);
        let read = pipe::read_at(file, &mut buffer[..length], begin)?;
        for place in (0..read).rev().filter(|place| buffer[*place] == b'\n') {
            let after = begin + u64::try_from(place).unwrap_or(0) + 1;
            // The newline that ends the file begins no line.
            if after < end {
                found += 1;
                if found == lines {
                    return Ok((after, found, end - after));
                }
            }
        }
        at = begin;
    }
    Ok((at, found + u64::from(end > 0), end - at))
}
