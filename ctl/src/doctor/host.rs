//! Checks this machine: disk, file system, limits, kernel, cgroups, pipes. Reads `/proc` and `df`; features
//! that a system lacks are reported, not guessed.

use std::path::{Path, PathBuf};

use super::{Finding, note, well, wrong};
use crate::tool;

/// With less free space than this (in KiB), logs will soon have gaps.
const LOW_DISK: u64 = 512 * 1024;
const LOW_SHARE: u64 = 95;

/// Open files per service (FIFOs, logs, a pidfd and a cgroup), and those of the daemon itself.
const OF_A_SERVICE: u64 = 8;
const OF_ITSELF: u64 = 64;

/// Runs all checks; `pid` is the supervisor's, if one runs.
pub(crate) fn look(home: &Path, services: usize, pid: Option<u32>, found: &mut Vec<Finding>) {
    let there = home.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    disk(there, found);
    if !Path::new("/proc/self/stat").exists() {
        found.push(note("host", "limits, kernel, cgroups and pipes can only be looked at on Linux", ""));
        if std::env::consts::OS == "macos" {
            macos(found);
        }
        return;
    }
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let who = pid.map_or_else(|| "self".into(), |pid| pid.to_string());
    mounted(there, &read("/proc/self/mountinfo"), found);
    limits(&read(&format!("/proc/{who}/limits")), services, found);
    kernel(read("/proc/sys/kernel/osrelease").trim(), found);
    // The supervisor's environment may differ from that of this command.
    let environ = std::fs::read(format!("/proc/{who}/environ")).unwrap_or_default();
    let off = environ.split(|byte| *byte == 0).any(|variable| variable == b"SERENO_CGROUP=off");
    cgroup(off, &read(&format!("/proc/{who}/cgroup")), &read("/proc/self/mountinfo"), found);
    let pages = read("/proc/sys/fs/pipe-user-pages-soft").trim().parse().unwrap_or(0);
    let root = read("/proc/self/status").lines().any(|line| line.starts_with("Uid:\t0\t"));
    pipes(pages, root, services, found);
}

/// Reports what macOS lacks where a user would expect it.
fn macos(found: &mut Vec<Finding>) {
    for text in [
        "macOS has no cgroups: a process that leaves its group, its environment and its output behind is not found",
        "macOS has no splice: a supervisor that is killed can lose the last 8 KiB of each output",
        "a service that writes more than 8 KiB while no daemon runs waits until \"ctl up\"",
    ] {
        found.push(note("host", text, ""));
    }
}

fn disk(home: &Path, found: &mut Vec<Finding>) {
    let said = tool::ask("df", ["-Pk".as_ref(), home]);
    let text = said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned()).unwrap_or_default();
    let words: Vec<&str> = text.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    // The columns are name, size, used, free, share. The name may contain blanks, so the search begins at the share.
    let Some(at) = words.iter().position(|word| word.ends_with('%')).filter(|at| *at >= 3) else {
        return found.push(note("disk", "how full the disk is can not be looked at here (no df)", ""));
    };
    let free: u64 = words[at - 1].parse().unwrap_or(u64::MAX);
    let share: u64 = words[at].trim_end_matches('%').parse().unwrap_or(0);
    let text = format!("{} MB free at {} ({share} % used)", free / 1024, home.display());
    if free < LOW_DISK || (share >= LOW_SHARE && free < 8 * LOW_DISK) {
        let fix = "make room: services go on, but their logs get gaps (log.max_size and log.keep bound them)";
        return found.push(wrong("disk", text, fix));
    }
    found.push(well("disk", text));
}

/// Returns the file system of a folder: that of the longest mount point above it.
fn file_system(folder: &Path, mounts: &str) -> Option<String> {
    let mount = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let point = PathBuf::from(before.split_whitespace().nth(4)?.replace("\\040", " "));
        Some((point, after.split_whitespace().next()?.to_owned()))
    };
    let below = mounts.lines().filter_map(mount).filter(|(point, _)| folder.starts_with(point));
    below.max_by_key(|(point, _)| point.components().count()).map(|(_, kind)| kind)
}

fn mounted(home: &Path, mounts: &str, found: &mut Vec<Finding>) {
    let folder = home.canonicalize().unwrap_or_else(|_| home.to_owned());
    let Some(kind) = file_system(&folder, mounts) else { return };
    let far = ["nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "glusterfs", "afs"].contains(&&*kind);
    if far || kind.starts_with("fuse") {
        return found.push(wrong(
            "home",
            format!(
                "{} is on {kind}: a disk that hangs would hang every service that writes",
                home.display()
            ),
            "set [supervisor] home to a folder on a local disk",
        ));
    }
    found.push(well("home", format!("{} is on a local disk ({kind})", home.display())));
}

fn limits(text: &str, services: usize, found: &mut Vec<Finding>) {
    let line = text.lines().find(|line| line.starts_with("Max open files"));
    let hard = line.and_then(|line| line.split_whitespace().nth(4)).and_then(|hard| hard.parse::<u64>().ok());
    let Some(hard) = hard else { return };
    let wanted = OF_ITSELF + OF_A_SERVICE * u64::try_from(services).unwrap_or(0);
    if hard < wanted {
        return found.push(wrong(
            "limits",
            format!("{hard} open files at most; {services} services want {wanted}"),
            "raise it: \"ulimit -Hn\", LimitNOFILE= of the unit, or /etc/security/limits.conf",
        ));
    }
    found.push(well("limits", format!("{hard} open files at most, {wanted} wanted")));
}

fn kernel(release: &str, found: &mut Vec<Finding>) {
    let mut numbers = release
        .split(|letter: char| !letter.is_ascii_digit())
        .map(|number| number.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    match version {
        (0, _) => {}
        old if old < (5, 9) => found.push(wrong(
            "kernel",
            format!("Linux {release}: pidfd and clone3 as they are needed came with 5.9"),
            "take a newer kernel",
        )),
        old if old < (5, 14) => found.push(note(
            "kernel",
            format!("Linux {release}: no cgroup.kill (5.14), so processes are swept without cgroups"),
            "a newer kernel, where a service that hides a process matters",
        )),
        old if old < (6, 15) => found.push(note(
            "kernel",
            format!("Linux {release}: how an adopted service ended may stay unknown (told since 6.15)"),
            "",
        )),
        _ => found.push(well("kernel", format!("Linux {release}"))),
    }
}

fn cgroup(off: bool, own: &str, mounts: &str, found: &mut Vec<Finding>) {
    let without =
        "goes on without: a service that leaves its group, environment and output can hide a process";
    let fix = "run the supervisor under systemd with Delegate=yes (ctl startup install), or as root";
    if off {
        return found.push(note(
            "cgroup",
            format!("switched off by SERENO_CGROUP; {without}"),
            "unset SERENO_CGROUP, then \"ctl down --keep-services\" and \"ctl up\"",
        ));
    }
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "));
    let point = mount.and_then(|line| line.split_whitespace().nth(4));
    let path = own.lines().find_map(|line| line.strip_prefix("0::"));
    let (Some(point), Some(path)) = (point, path) else {
        return found.push(note(
            "cgroup",
            format!("no cgroup v2 is mounted; {without}"),
            "mount it, or boot with systemd.unified_cgroup_hierarchy=1",
        ));
    };
    let folder = Path::new(point).join(path.trim_start_matches('/'));
    // Only an attempt shows whether a cgroup can be created.
    let trial = folder.join(format!("sereno-doctor-{}", std::process::id()));
    match std::fs::create_dir(&trial) {
        Ok(()) => {
            let killable = trial.join("cgroup.kill").exists();
            let _ = std::fs::remove_dir(&trial);
            if killable {
                found.push(well(
                    "cgroup",
                    format!("services get cgroups of their own below {}", folder.display()),
                ));
            } else {
                found.push(note(
                    "cgroup",
                    format!("no cgroup.kill in {}; {without}", folder.display()),
                    "a newer kernel",
                ));
            }
        }
        Err(error) => {
            let error = error.to_string().to_lowercase();
            let why = error.split(" (os error").next().unwrap_or(&error);
            found.push(note(
                "cgroup",
                format!("none can be made below {}: {why}; {without}", folder.display()),
                fix,
            ));
        }
    }
}

/// Pages of an enlarged FIFO; each service has two FIFOs.
const PAGES: u64 = 256;

fn pipes(soft: u64, root: bool, services: usize, found: &mut Vec<Finding>) {
    let wanted = 2 * PAGES * u64::try_from(services).unwrap_or(0);
    if root || soft == 0 || wanted <= soft {
        return found.push(well("pipes", "every output may have a pipe of 1 MiB"));
    }
    found.push(note(
        "pipes",
        format!(
            "{services} services may want {wanted} pages of pipes, this user has {soft}: some get 64 KiB"
        ),
        "with all daemons dead such a service waits after 64 KiB; raise fs.pipe-user-pages-soft by sysctl",
    ));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    fn level(look: impl FnOnce(&mut Vec<Finding>)) -> Level {
        let mut found = Vec::new();
        look(&mut found);
        found.last().map_or(Level::Ok, |finding| finding.level)
    }

    #[test]
    fn far_disks_are_told_from_near_ones() {
        let mounts = "1 0 8:1 / / rw - ext4 /dev/sda rw\n2 1 0:5 / /home/a\\040b rw - nfs4 h:/x rw\n";
        assert_eq!(file_system(Path::new("/home/a b/c"), mounts).as_deref(), Some("nfs4"));
        assert_eq!(file_system(Path::new("/home/a"), mounts).as_deref(), Some("ext4"));
    }

    #[test]
    fn limits_are_measured_by_the_services() {
        let text = "Limit  Soft Limit Hard Limit Units\nMax open files            1024                 1024                 files\n";
        assert_eq!(level(|found| limits(text, 10, found)), Level::Ok);
        assert_eq!(level(|found| limits(text, 1000, found)), Level::Wrong);
    }

    #[test]
    fn kernels_and_pipes() {
        for (release, wanted) in [
            ("4.19.0-x", Level::Wrong),
            ("5.10.0-28-amd64", Level::Note),
            ("6.18.2", Level::Ok),
            ("", Level::Ok),
        ] {
            assert_eq!(level(|found| kernel(release, found)), wanted, "{release}");
        }
        assert_eq!(level(|found| pipes(16_384, false, 33, found)), Level::Note);
        assert_eq!(level(|found| pipes(16_384, true, 33, found)), Level::Ok);
    }
}
