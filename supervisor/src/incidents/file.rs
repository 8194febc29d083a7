//! The file of incidents: a line of JSON for each change of one, the last line about it holds. Bounded, and whole after
//! any kill.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::Incident;
use crate::{disk, os};

/// So many incidents are kept, the newest.
pub const KEPT: usize = 10_000;

/// The file is written anew once it has so many lines.
const MOST_LINES: usize = 4 * KEPT;

/// The file, which is open only while it is written.
#[derive(Debug)]
pub struct IncidentFile {
    path: PathBuf,
    lines: usize,
    /// Lines that are not written yet.
    pending: Vec<u8>,
}

/// Returns the incidents in a file, in the order of their numbers.
pub fn read(path: &Path) -> io::Result<Vec<Incident>> {
    match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        bytes => Ok(parse(&bytes?).0.into_values().collect()),
    }
}

/// Returns the newest state of each incident, and how many lines there are.
fn parse(bytes: &[u8]) -> (BTreeMap<u64, Incident>, usize) {
    let mut newest = BTreeMap::new();
    let mut lines = 0;
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        lines += 1;
        if let Ok(incident) = serde_json::from_slice::<Incident>(line) {
            newest.insert(incident.id, incident);
        }
    }
    (newest, lines)
}

/// Parses bytes that may be a file of incidents.
pub(crate) fn fuzz(bytes: &[u8]) {
    for incident in parse(bytes).0.values() {
        let _ = incident.downtime(0);
    }
}

impl IncidentFile {
    /// Opens the file in a folder. Returns it with the incidents that it holds.
    pub(super) fn open(folder: &Path) -> (Self, Vec<Incident>) {
        let mut this = Self { path: folder.join("incidents.jsonl"), lines: 0, pending: Vec::new() };
        let incidents = this.load().unwrap_or_else(|error| {
            tracing::warn!(%error, "opening the incidents failed; going on without");
            Vec::new()
        });
        (this, incidents)
    }

    /// Reads the file, ends a line that was cut off, and writes the file anew if it is too long.
    fn load(&mut self) -> io::Result<Vec<Incident>> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = os::open_append(&self.path, 0o644)?;
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0))?;
        file.read_to_end(&mut bytes)?;
        if bytes.last().is_some_and(|last| *last != b'\n') {
            file.write_all(b"\n")?;
        }
        let (mut incidents, lines) = parse(&bytes);
        self.lines = lines;
        if lines > MOST_LINES || incidents.len() > KEPT {
            while incidents.len() > KEPT
                && let Some(oldest) = incidents.values().find(|incident| !incident.is_open())
            {
                let oldest = oldest.id;
                incidents.remove(&oldest);
            }
            self.write_anew(incidents.values())?;
        }
        Ok(incidents.into_values().collect())
    }

    fn write_anew<'a>(&mut self, incidents: impl Iterator<Item = &'a Incident>) -> io::Result<()> {
        let mut text = Vec::new();
        self.lines = 0;
        for incident in incidents {
            line(incident, &mut text);
            self.lines += 1;
        }
        disk::replace(&self.path, &text)
    }

    /// Adds the new state of an incident.
    pub(super) fn put(&mut self, incident: &Incident) {
        line(incident, &mut self.pending);
        self.lines += 1;
    }

    /// Writes what was added.
    pub(super) fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let written = os::open_append(&self.path, 0o644).and_then(|mut file| file.write_all(&self.pending));
        match written {
            Ok(()) => self.pending.clear(),
            Err(error) => {
                tracing::warn!(%error, "writing the incidents failed; trying again at the next change");
            }
        }
        if self.lines > MOST_LINES
            && let Err(error) = self.load()
        {
            tracing::warn!(%error, "writing the incidents anew failed");
        }
    }

    /// Begins the file again after it was deleted, with these incidents.
    pub(super) fn write_again<'a>(&mut self, incidents: impl Iterator<Item = &'a Incident>) {
        self.pending.clear();
        for incident in incidents {
            self.put(incident);
        }
        self.flush();
    }
}

fn line(incident: &Incident, to: &mut Vec<u8>) {
    serde_json::to_writer(&mut *to, incident).expect("strings and numbers can be written");
    to.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incidents::core::tests::incident;

    #[test]
    fn the_last_line_about_an_incident_holds_and_a_cut_one_is_passed_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut file, before) = IncidentFile::open(folder.path());
        assert_eq!(before, []);
        let open = incident("web");
        let closed = Incident { healed: Some(9), ..open.clone() };
        file.put(&open);
        file.put(&closed);
        file.flush();
        let path = folder.path().join("incidents.jsonl");
        let mut bytes = std::fs::read(&path).expect("readable");
        bytes.extend(b"{\"id\":7,\"serv");
        std::fs::write(&path, bytes).expect("written");
        let (mut file, read_back) = IncidentFile::open(folder.path());
        assert_eq!(read_back, std::slice::from_ref(&closed));
        let next = Incident { id: 8, ..open };
        file.put(&next);
        file.flush();
        assert_eq!(read(&path).expect("readable"), [closed, next]);
    }

    #[test]
    fn it_is_bounded_and_open_incidents_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut file, _) = IncidentFile::open(folder.path());
        file.put(&Incident { id: 1, ..incident("open") });
        for id in 2..25_000 {
            let closed = Incident { id, healed: Some(9), ..incident("web") };
            file.put(&Incident { healed: None, ..closed.clone() });
            file.put(&closed);
            file.flush();
        }
        drop(file);
        let (file, kept) = IncidentFile::open(folder.path());
        assert_eq!(kept.len(), KEPT);
        assert_eq!((kept[0].id, kept[1].id, kept[KEPT - 1].id), (1, 25_000 - 9_999, 24_999));
        assert!(file.lines <= MOST_LINES);
    }
}
