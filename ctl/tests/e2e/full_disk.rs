//! A disk without a free block ends nothing: who dies is started again meanwhile, also by the next supervisor.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Command;

use crate::harness::{System, eventually, kill, lives, poll};

/// The home of a system on a small disk of its own, which goes before the system's folder.
struct SmallDisk<'a>(PathBuf, &'a System);

impl<'a> SmallDisk<'a> {
    /// Only root may mount one.
    fn of(system: &'a System) -> Option<Self> {
        let path = system.path(".sereno");
        if !fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
            eprintln!("SKIPPED: only root may mount a small disk");
            return None;
        }
        fs::create_dir(&path).expect("made");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs"])
            .arg(&path)
            .status()
            .is_ok_and(|status| status.success());
        if !mounted {
            eprintln!("SKIPPED: no small disk can be mounted here");
            fs::remove_dir(&path).expect("empty");
            return None;
        }
        Some(Self(path, system))
    }

    /// Takes every block that is left.
    fn fill(&self) {
        let mut file = fs::File::create(self.0.join("filler")).expect("made");
        while file.write_all(&[1; 4096]).is_ok() {}
    }

    fn empty(&self) {
        fs::remove_file(self.0.join("filler")).expect("it was there");
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // Also where the story has failed: nobody finds the supervisor once its home is gone.
        let _ = fs::remove_file(self.0.join("filler"));
        self.1.ctl(&["down"]);
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn who_dies_on_a_full_disk_is_started_again_and_so_is_the_supervisor() {
    let system = System::new(
        "[services.a]\ncommand = [\"sleep\", \"1000\"]\nrestart = { max = 3, initial = \"100ms\", max_wait = \"200ms\" }\n",
    );
    let Some(disk) = SmallDisk::of(&system) else { return };
    system.ctl(&["up", "-d", "--wait"]).succeeded();
    // The first record, if there is one, begins behind the first line.
    let log = || fs::read(system.path(".sereno/run/wal")).unwrap_or_default();
    eventually("a checkpoint, after which the log is empty", || {
        log()
            .split(|byte| *byte == b'\n')
            .nth(1)
            .is_none_or(|record| record.first().is_none_or(|byte| *byte == 0))
    });
    disk.fill();
    for _ in 0..3 {
        let before = system.service("a");
        kill(before.pid(), "KILL");
        system.until_restarted(&before);
    }
    let before = system.service("a");
    system.ctl(&["restart", "a"]).succeeded();
    assert_ne!(system.until_restarted(&before).pid(), before.pid());
    let dead = system.supervisor();
    kill(dead, "KILL");
    eventually("it is dead", || !lives(dead));
    assert!(poll(|| system.status()["supervisor"]["state"] == "up"), "{}", system.story());
    let before = system.service("a");
    kill(before.pid(), "KILL");
    system.until_restarted(&before);
    system.ctl(&["stop", "a"]).succeeded();
    system.ctl(&["start", "a"]).succeeded();
    disk.empty();
    system.down();
}
