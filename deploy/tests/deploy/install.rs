//! What is installed is whole, and nothing of it is left after uninstalling; the units are such as systemd takes.
#![expect(clippy::disallowed_methods, reason = "systemd's own tool is asked")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use deploy::install;

fn program(folder: &Path, name: &str, script: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
    path
}

#[test]
fn all_that_is_installed_is_deleted_again_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let prefix = folder.path().join("prefix");
    fs::create_dir_all(prefix.join("bin")).expect("made");
    fs::write(prefix.join("bin/theirs"), "").expect("written");
    let says = r#"case $1 in man) mkdir -p "$2"; echo page > "$2/ctl.1"; echo page > "$2/ctl-up.1";; *) echo "$2";; esac"#;
    let built = [program(folder.path(), "ctl", says), program(folder.path(), "supervisor", "true")];

    let files = install::place(&built, &prefix).expect("installed");
    for file in &files {
        assert!(prefix.join(file).is_file(), "{file}");
    }
    for wanted in ["bin/ctl", "share/man/man1/ctl-up.1", "share/fish/vendor_completions.d/ctl.fish"] {
        assert!(files.iter().any(|file| file == wanted), "{wanted} of {files:?}");
    }
    let unit =
        fs::read_to_string(prefix.join("lib/systemd/system/sereno-supervisor.service")).expect("a unit");
    let started = format!("ExecStart={}/bin/supervisor --file", prefix.display());
    assert!(unit.contains(&started), "{unit}");

    install::uninstall(&prefix, &mut Vec::new()).expect("uninstalled");
    let left: Vec<_> =
        fs::read_dir(&prefix).expect("there").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["bin"], "only what was not ours");
    assert_eq!(fs::read_dir(prefix.join("bin")).expect("there").count(), 1);
    assert!(install::uninstall(&prefix, &mut Vec::new()).is_err(), "there is nothing any more");
}

#[test]
fn a_list_that_was_changed_deletes_nothing_elsewhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let prefix = folder.path().join("prefix");
    fs::create_dir_all(prefix.join("share/sereno")).expect("made");
    let theirs = folder.path().join("theirs");
    fs::write(&theirs, "").expect("written");
    let list = format!("../theirs\n{}\nshare/sereno/installed\n", theirs.display());
    fs::write(prefix.join("share/sereno/installed"), list).expect("written");
    install::uninstall(&prefix, &mut Vec::new()).expect("uninstalled");
    assert!(theirs.is_file());
}

#[test]
fn systemd_takes_the_units() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd");
    let mut units = Vec::new();
    for entry in fs::read_dir(&source).expect("units").flatten() {
        let text = fs::read_to_string(entry.path()).expect("a unit");
        // It also looks whether the programs are there.
        for name in ["supervisor", "health-monitor", "port-monitor"] {
            program(folder.path(), name, "true");
        }
        let unit = folder.path().join(entry.file_name());
        fs::write(&unit, text.replace("/usr/local/bin", &folder.path().display().to_string()))
            .expect("written");
        units.push(unit);
    }
    assert_eq!(units.len(), 3);
    let said =
        Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&units).output().expect("runs");
    let text = String::from_utf8_lossy(&said.stderr);
    let ours: Vec<&str> = text.lines().filter(|line| line.contains("sereno-")).collect();
    assert_eq!(ours, [""; 0], "{text}");
}
