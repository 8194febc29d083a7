//! Tests which files the folder of a log opens, and which it refuses.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use std::io;
use std::path::Path;

use super::log_dir::*;

fn refused<T>(opened: io::Result<T>) -> String {
    opened.map(|_| ()).expect_err("refused").to_string()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").mode() & 0o777
}

#[test]
fn only_a_regular_file_of_its_own_is_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let (log, precious) = (at("x.log"), at("precious"));
    fs::write(&precious, "as it was").expect("written");
    crate::os::pipe::Output::make(&at("fifo"), None).expect("made");
    fs::create_dir(at("folder")).expect("made");
    symlink(&precious, at("link")).expect("made");
    symlink(at("nowhere"), at("dangling")).expect("made");
    let dir = LogDir::of(&log).expect("opened");
    for (name, what) in [
        ("link", "a symbolic link is in its place, not a file"),
        ("dangling", "a symbolic link is in its place, not a file"),
        ("fifo", "a FIFO is in its place, not a file"),
        ("folder", "a folder is in its place, not a file"),
    ] {
        let path = at(name);
        assert_eq!(refused(dir.log(&path)), what, "{name}");
        assert_eq!(refused(dir.read(&path)), what, "{name}");
        assert_eq!(refused(dir.append(&path, None)), what, "{name}");
    }
    fs::hard_link(&precious, at("hard")).expect("made");
    assert!(refused(dir.append(&at("hard"), None)).contains("hard links"));
    assert!(refused(dir.log(&at("hard"))).contains("hard links"));
    assert_eq!(fs::read_to_string(&precious).expect("there"), "as it was");
    assert!(!at("nowhere").exists(), "nothing is made through a link");
}

#[test]
fn a_file_is_replaced_and_not_written_through() {
    let folder = tempfile::tempdir().expect("a folder");
    let (partial, precious) = (folder.path().join("x.part"), folder.path().join("precious"));
    fs::write(&precious, "as it was").expect("written");
    symlink(&precious, &partial).expect("planted");
    let dir = LogDir::of(&partial).expect("opened");
    let rights = LogRights::of(&fs::File::open(&precious).expect("there")).expect("known");
    dir.replace(&partial, rights).expect("made").write_all(b"new").expect("written");
    assert_eq!(fs::read_to_string(&precious).expect("there"), "as it was");
    assert_eq!(fs::read_to_string(&partial).expect("there"), "new");
    assert_eq!(mode(&partial), mode(&precious), "as what it is made from");
}

#[test]
fn our_own_links_on_the_way_are_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    symlink("real", at("link")).expect("made");
    fs::create_dir(at("real")).expect("made");
    symlink(at("link"), at("again")).expect("made");
    let log = at("again/../again/new/x.log");
    let (mut file, end) = LogDir::made_for(&log).expect("made").log(&log).expect("opened");
    assert_eq!(end, 0);
    file.write_all(b"line").expect("written");
    assert_eq!(fs::read_to_string(at("real/new/x.log")).expect("there"), "line");
    let mut text = String::new();
    LogDir::of(&log).and_then(|dir| dir.read(&log)).expect("opened").read_to_string(&mut text).expect("read");
    assert_eq!(text, "line");
    symlink("circle", at("circle")).expect("made");
    assert!(LogDir::of(&at("circle/x.log")).is_err(), "no way around for ever");
    fs::write(at("file"), "").expect("written");
    assert!(refused(LogDir::of(&at("file/x.log"))).ends_with("file is no folder"));
    assert_eq!(LogDir::of(&at("none/x.log")).map(|_| ()).expect_err("none").kind(), io::ErrorKind::NotFound);
}

#[test]
fn links_of_others_and_those_they_could_replace_are_not_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("real")).expect("made");
    symlink("real", at("link")).expect("made");
    let set = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).expect("set");
    let log = at("link/x.log");
    set(0o777);
    assert!(refused(LogDir::of(&log)).contains("in a folder that others can write"));
    set(0o1777);
    LogDir::of(&log).expect("only its owner can replace it");
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::lchown(at("link"), Some(4711), None).expect("root may");
        let said = refused(LogDir::made_for(&log));
        assert!(said.contains("is a symbolic link of user 4711, who could point it elsewhere"), "{said}");
    }
}

#[test]
fn what_is_made_has_the_rights_of_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("new/x.log");
    let dir = LogDir::made_for(&log).expect("made");
    dir.log(&log).expect("made");
    assert_eq!(mode(&log) & !0o640, 0);
    fs::set_permissions(&log, fs::Permissions::from_mode(0o604)).expect("set");
    let index = dir.folder(".index", true).expect("made");
    let path = folder.path().join("new/.index/x.log");
    index.append(&path, dir.rights(&log)).expect("made");
    assert_eq!(mode(&path), 0o604);
}

#[test]
fn a_file_that_was_there_keeps_its_rights() {
    let folder = tempfile::tempdir().expect("a folder");
    let (log, secret) = (folder.path().join("x.log"), folder.path().join("secret"));
    for (path, mode) in [(&log, 0o666), (&secret, 0o600)] {
        fs::write(path, "as it was").expect("written");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
    }
    let dir = LogDir::of(&log).expect("opened");
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&log, Some(4711), Some(4711)).expect("root may");
    }
    let before = fs::metadata(&secret).expect("there").uid();
    dir.append(&secret, dir.rights(&log)).expect("opened");
    assert_eq!(mode(&secret), 0o600);
    assert_eq!(fs::metadata(&secret).expect("there").uid(), before);
}

#[test]
fn a_folder_within_that_others_made_or_can_write_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(".index");
    let dir = LogDir::of(&folder.path().join("x.log")).expect("opened");
    dir.folder(".index", true).expect("ours");
    let refused = |make| refused(dir.folder(".index", make)).contains("is not a folder of ours");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o775)).expect("set");
    assert!(refused(true) && refused(false));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("set");
    dir.folder(".index", false).expect("as it was made");
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(4711), None).expect("root may");
        assert!(refused(true) && refused(false));
    }
}
