//! `cargo deploy install` and `uninstall`: programs, man pages, completions and units below one folder,
//! with a list of all files, so that uninstalling leaves nothing behind.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Failure, binaries};

/// Path of the list of installed files.
const LIST: &str = "share/sereno/installed";

/// Completion scripts, and where each shell looks for them.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "share/bash-completion/completions/ctl"),
    ("zsh", "share/zsh/site-functions/_ctl"),
    ("fish", "share/fish/vendor_completions.d/ctl.fish"),
];

/// The units, written for `/usr/local/bin`.
const UNITS: [(&str, &str); 3] = [
    ("sereno-supervisor.service", include_str!("../systemd/sereno-supervisor.service")),
    ("sereno-health-monitor.service", include_str!("../systemd/sereno-health-monitor.service")),
    ("sereno-port-monitor.service", include_str!("../systemd/sereno-port-monitor.service")),
];

/// Builds everything and installs it below a folder.
pub fn install(root: &Path, prefix: &Path, debug: bool, out: &mut impl Write) -> Result<(), Failure> {
    let built = binaries::build_for(root, !debug)?;
    let files = place(&built, prefix)?;
    writeln!(out, "installed {} files below {}", files.len(), prefix.display())?;
    let bin = prefix.join("bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&path).any(|folder| folder == bin) {
        writeln!(out, "add {} to PATH", bin.display())?;
    }
    writeln!(out, "next: \"ctl init\" in your project; \"ctl startup install\" to start at boot")?;
    Ok(())
}

/// Builds everything and writes only the man pages.
pub fn man(root: &Path, folder: &Path) -> Result<(), Failure> {
    let built = binaries::build_for(root, false)?;
    let is_ctl = |path: &&PathBuf| path.file_stem().is_some_and(|stem| stem == "ctl");
    let ctl = built.iter().find(is_ctl).ok_or_else(|| Failure::Cargo("it built no ctl".into()))?;
    ask(ctl, &["man".as_ref(), folder.as_ref()]).map(drop)
}

/// Installs built programs and their documentation below a folder; returns the list of installed files.
pub fn place(built: &[PathBuf], prefix: &Path) -> Result<Vec<String>, Failure> {
    let mut files = Vec::new();
    for program in built {
        let name = program.file_name().unwrap_or_default();
        let to = prefix.join("bin").join(name);
        make_folder(&to)?;
        binaries::copy(program, &to).map_err(|source| binaries::copying(program, &to, source))?;
        files.push(format!("bin/{}", name.to_string_lossy()));
    }
    let ctl = prefix.join("bin").join(format!("ctl{}", std::env::consts::EXE_SUFFIX));
    let man = prefix.join("share/man/man1");
    ask(&ctl, &["man".as_ref(), man.as_ref()])?;
    let pages = fs::read_dir(&man).map_err(|source| writing(&man, source))?.flatten();
    let pages = pages.map(|page| page.file_name().to_string_lossy().into_owned());
    files.extend(
        pages
            .filter(|page| page == "ctl.1" || page.starts_with("ctl-"))
            .map(|page| format!("share/man/man1/{page}")),
    );
    for (shell, path) in COMPLETIONS {
        let script = ask(&ctl, &["completions".as_ref(), shell.as_ref()])?;
        write(&prefix.join(path), &script)?;
        files.push(path.into());
    }
    let bin = prefix.join("bin").display().to_string();
    for (name, unit) in UNITS {
        let path = format!("lib/systemd/system/{name}");
        write(&prefix.join(&path), unit.replace("/usr/local/bin", &bin).as_bytes())?;
        files.push(path);
    }
    files.sort();
    files.push(LIST.into());
    write(&prefix.join(LIST), format!("{}\n", files.join("\n")).as_bytes())?;
    Ok(files)
}

/// Deletes the installed files, and the folders that are then empty.
pub fn uninstall(prefix: &Path, out: &mut impl Write) -> Result<(), Failure> {
    let list = prefix.join(LIST);
    let text = fs::read_to_string(&list)
        .map_err(|source| Failure::NotInstalled { prefix: prefix.into(), source })?;
    let mut deleted = 0;
    // Only paths below the folder count: a modified list must not delete files elsewhere.
    let below =
        |line: &&str| !line.is_empty() && !line.starts_with('/') && !line.split('/').any(|part| part == "..");
    for line in text.lines().filter(below) {
        let path = prefix.join(line);
        match fs::remove_file(&path) {
            Ok(()) => deleted += 1,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(writing(&path, source)),
        }
        let folders = path.ancestors().skip(1).take_while(|folder| *folder != prefix);
        for folder in folders {
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
    }
    writeln!(
        out,
        "deleted {deleted} files below {}; homes (.sereno) and files (sereno.toml) stay",
        prefix.display()
    )?;
    Ok(())
}

/// Returns `~/.local`, or `/usr/local` for root.
pub fn default_prefix() -> PathBuf {
    let root = fs::read_to_string("/proc/self/status").is_ok_and(|text| text.contains("\nUid:\t0\t"));
    match std::env::home_dir() {
        Some(home) if !root => home.join(".local"),
        _ => "/usr/local".into(),
    }
}

#[expect(clippy::disallowed_methods, reason = "the program that was just installed, which answers at once")]
fn ask(program: &Path, args: &[&OsStr]) -> Result<Vec<u8>, Failure> {
    let shown = program.display().to_string();
    let said = Command::new(program).args(args).output();
    let said = said.map_err(|source| Failure::Run { program: shown.clone(), source })?;
    if said.status.success() {
        return Ok(said.stdout);
    }
    Err(Failure::Ended { command: shown, status: said.status.to_string() })
}

fn make_folder(file: &Path) -> Result<(), Failure> {
    let folder = file.parent().unwrap_or(file);
    fs::create_dir_all(folder).map_err(|source| writing(folder, source))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    make_folder(path)?;
    fs::write(path, bytes).map_err(|source| writing(path, source))
}

fn writing(path: &Path, source: std::io::Error) -> Failure {
    Failure::Write { path: path.into(), source }
}
