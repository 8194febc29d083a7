//! Tests that what is read from a log's folder is bounded, whatever another program puts into it.

use std::fs;

use super::*;
use crate::logs::rotate;

/// Returns limits of this many MiB for a file and for all files.
fn limits(file: u64, all: u64) -> Limits {
    Limits { file: file * MIB, all: all * MIB }
}

/// Returns how many bytes are read, and the error after them.
fn bytes(reader: &mut Reader) -> (u64, Option<String>) {
    let mut bytes = 0;
    loop {
        match reader.step() {
            Ok(Some(chunk)) => bytes += chunk.data.len() as u64,
            Ok(None) => return (bytes, None),
            Err(error) => return (bytes, Some(error.to_string())),
        }
    }
}

fn said(file: u64, all: u64) -> String {
    LeftOut(limits(file, all)).to_string()
}

fn sparse(path: &Path, size: u64) {
    fs::File::create(path).and_then(|file| file.set_len(size)).expect("a sparse file");
}

#[test]
fn of_a_file_of_8_tib_its_end_is_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.log");
    fs::write(&path, "last\n").expect("written");
    fs::write(rotate::numbered(&path, 2, false), "first\n").expect("written");
    sparse(&rotate::numbered(&path, 1, false), 8 << 40);
    for lines in [2, 9] {
        let mut reader = Reader::tail(&path, limits(2, 9), lines, None);
        assert_eq!(bytes(&mut reader), (2 * MIB + 5, Some(said(2, 9))), "{lines} lines");
    }
    let mut reader = Reader::tail(&path, limits(2, 9), u32::MAX, None);
    assert_eq!(bytes(&mut reader), (6 + 2 * MIB + 5, Some(said(2, 9))));
    assert_eq!(bytes(&mut reader), (0, None), "it is said once");
    assert_eq!(bytes(&mut Reader::tail(&path, limits(2, 9), 1, None)), (5, None), "nothing is left out");
}

#[test]
fn of_a_compressed_bomb_its_beginning_is_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.log");
    fs::write(&path, "last\n").expect("written");
    let bomb = fs::File::create(rotate::numbered(&path, 1, true)).expect("made");
    let mut encoder = flate2::write::GzEncoder::new(bomb, flate2::Compression::fast());
    io::copy(&mut io::Read::take(io::repeat(0), 8 * MIB), &mut encoder).expect("written");
    encoder.finish().expect("written");
    for lines in [2, 9, u32::MAX] {
        let mut reader = Reader::tail(&path, limits(2, 9), lines, None);
        assert_eq!(bytes(&mut reader), (2 * MIB + 5, Some(said(2, 9))), "{lines} lines");
    }
    let place = Place { file: 0, offset: u64::MAX };
    let mut reader = Reader::after(&path, limits(2, 9), place);
    assert_eq!(bytes(&mut reader).1, None, "no place is far enough to read it through");
}

#[test]
fn of_many_large_files_no_more_is_looked_at_or_shown_than_there_can_be() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.log");
    sparse(&path, 2 * MIB);
    for place in 1..9 {
        sparse(&rotate::numbered(&path, place, false), 2 * MIB);
    }
    let mut reader = Reader::tail(&path, limits(2, 6), 100, None);
    assert_eq!(bytes(&mut reader), (6 * MIB, Some(said(2, 6))));
    let mut reader = Reader::tail(&path, limits(2, 6), u32::MAX, None);
    assert_eq!(bytes(&mut reader), (6 * MIB, Some(said(2, 6))));
    reader.follow();
    assert_eq!(bytes(&mut reader), (12 * MIB, None), "what comes has no end");
}

#[test]
fn a_thousand_files_are_read_one_after_the_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.log");
    for place in 0..=1000 {
        let name = if place == 0 { path.clone() } else { rotate::numbered(&path, place, false) };
        fs::write(name, format!("{}\n", 1000 - place)).expect("written");
    }
    let expected: Vec<String> = (0..=1000).map(|line| format!("{line}\n")).collect();
    let mut reader = Reader::tail(&path, Limits::NONE, u32::MAX, None);
    let mut seen = Vec::new();
    while let Some(chunk) = reader.step().expect("it can be read") {
        seen.extend(chunk.data);
    }
    assert_eq!(seen, expected.concat().as_bytes());
}
