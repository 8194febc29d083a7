//! The number of the next event. A block of numbers is reserved on disk before the first of them is used, so that a
//! supervisor that was killed before it wrote an event leaves no number that another event could get.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::os;

/// How many numbers are reserved at a time: at most so many are left out after a kill.
const BLOCK: u64 = 1_000;

/// Hands out numbers.
#[derive(Debug)]
pub(super) struct Numbers {
    /// The file with the first number that is not reserved. Written in place, which needs no space on a full disk, and
    /// opened for that alone: it is written once in a thousand events.
    path: PathBuf,
    next: u64,
    reserved: u64,
    /// Whether whoever used the numbers before gave none back: it was killed.
    was_killed: bool,
}

impl Numbers {
    /// Continues after the reserved numbers, and after the last number that is in the journal.
    pub(super) fn open(folder: &Path, last: u64) -> Self {
        let path = folder.join("next");
        let reserved = std::fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
        let reserved: u64 = reserved.unwrap_or(0);
        let next = reserved.max(last + 1);
        Self { path, next, reserved: next, was_killed: reserved > last + 1 }
    }

    /// Returns whether whoever used the numbers before was killed.
    pub(super) fn was_killed(&self) -> bool {
        self.was_killed
    }

    /// Returns the number that comes next.
    pub(super) fn peek(&self) -> u64 {
        self.next
    }

    /// Uses up the next number.
    pub(super) fn take(&mut self) -> u64 {
        if self.next >= self.reserved {
            self.reserve(self.next + BLOCK);
        }
        self.next += 1;
        self.next - 1
    }

    /// Gives back the numbers that were reserved and not used.
    pub(super) fn give_back(&mut self) {
        self.reserve(self.next);
    }

    /// Reserves again in a folder that was made anew.
    pub(super) fn write_again(&mut self) {
        self.reserve(self.reserved);
    }

    fn reserve(&mut self, up_to: u64) {
        self.reserved = up_to;
        let written = os::open_in_place(&self.path, 0o600)
            .and_then(|mut file| file.write_all(format!("{up_to:020}\n").as_bytes()));
        if let Err(error) = written {
            tracing::warn!(%error, "reserving numbers of events failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_skips_numbers_and_an_end_does_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut numbers = Numbers::open(folder.path(), 0);
        assert_eq!((numbers.take(), numbers.take(), numbers.peek()), (1, 2, 3));
        // Killed: neither event came into the journal.
        let mut numbers = Numbers::open(folder.path(), 0);
        let after = numbers.take();
        assert!(after > 2, "{after}");
        numbers.give_back();
        assert!(numbers.was_killed());
        let mut numbers = Numbers::open(folder.path(), after);
        assert!(!numbers.was_killed());
        assert_eq!(numbers.take(), after + 1);
        let taken: Vec<u64> = (0..3 * BLOCK).map(|_| numbers.take()).collect();
        drop(numbers);
        let next = Numbers::open(folder.path(), after).peek();
        assert!(taken.iter().all(|number| *number < next), "also where the journal could not be written");
    }

    #[test]
    fn a_lost_or_damaged_file_is_replaced_by_what_the_journal_says() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("next"), "rubbish").expect("written");
        assert_eq!(Numbers::open(folder.path(), 41).take(), 42);
    }
}
