//! Paths of all files of one supervisor. The supervisor, the monitors and `ctl` all compute them here, so that they
//! agree without communication.

use std::path::{Path, PathBuf};

use proto::{Endpoint, Name};

/// The folder that holds state, logs and sockets of one supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
    run: PathBuf,
}

/// Exit code of a supervisor that refuses to run a file because what another file started still runs in its home.
pub const OTHER_FILE: u8 = 4;

/// Name of the lock in `run`.
pub(crate) const LOCK: &str = "supervisor.lock";

/// Longest path of `run`, in bytes, with which the system accepts the path of every socket and FIFO below it.
const MAX_RUN: usize = 100 - "/supervisor.sock".len();

impl Home {
    /// Creates the paths of the home at an absolute path. Creates no file.
    ///
    /// Sockets and FIFOs lie in `run/` below it, unless that path is too long for a socket or its file system has no
    /// FIFOs; then they lie below `$XDG_STATE_HOME/sereno/<hash of the path>/run`.
    pub fn at(root: &Path) -> Self {
        let own = root.join("run");
        let run = if own.as_os_str().len() <= MAX_RUN && has_fifos(root) { own } else { elsewhere(root) };
        Self { root: root.into(), run }
    }

    /// Returns the folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the folder of sockets, FIFOs, locks and the write-ahead log, which a reboot may delete.
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// Returns the folder of the applied file and the state of every service, which must survive a reboot.
    pub fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    /// Returns the folder of the journal.
    pub fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    /// Returns the folder of what was seen of runs before they were ended, for nobody but its owner.
    pub fn evidence(&self) -> PathBuf {
        self.root.join("evidence")
    }

    /// Returns the folder of the logs of services and daemons.
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// Returns the lock that the one supervisor of this home holds.
    pub fn lock(&self) -> PathBuf {
        self.run.join(LOCK)
    }

    /// Returns the local endpoint of a daemon.
    pub fn endpoint(&self, daemon: &str) -> Endpoint {
        if cfg!(windows) {
            return Endpoint::Pipe(format!("./pipe/sereno-{:08x}-{daemon}", fnv(&self.root)));
        }
        Endpoint::Unix(self.run.join(format!("{daemon}.sock")))
    }

    /// Returns the log file of an output of a service; `stream` is `out` or `err`.
    pub fn log_file(&self, service: &Name, stream: &str) -> PathBuf {
        self.log().join(format!("{}.{stream}.log", service.file_stem()))
    }

    /// Returns the FIFO of an output of a service.
    pub fn fifo(&self, service: &Name, stream: &str) -> PathBuf {
        self.run.join("fifo").join(format!("{}.{stream}", service.file_stem()))
    }
}

fn elsewhere(root: &Path) -> PathBuf {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let state = state
        .or_else(|| std::env::home_dir().map(|home| home.join(".local/state")))
        .unwrap_or_else(std::env::temp_dir);
    state.join("sereno").join(format!("{:08x}", fnv(root))).join("run")
}

/// Hashes a path with FNV-1a: the same in every daemon. No secret depends on it.
fn fnv(path: &Path) -> u32 {
    path.as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// Whether FIFOs can be made below a path, according to the type of its file system.
#[cfg(target_os = "linux")]
fn has_fifos(path: &Path) -> bool {
    // 9p and drvfs (WSL drives), NFS, SMB and FUSE have no FIFOs, or share them with other machines.
    const WITHOUT: [i64; 6] = [0x0102_1997, 0x6969, 0xFF53_4D42, 0xFE53_4D42, 0x517B, 0x6573_5546];
    path.ancestors()
        .find_map(|existing| rustix::fs::statfs(existing).ok())
        .is_none_or(|stat| !WITHOUT.contains(&stat.f_type))
}

/// Whether FIFOs can be made below a path, according to the type of its file system.
#[cfg(target_os = "macos")]
fn has_fifos(path: &Path) -> bool {
    // FAT has no FIFOs, and network file systems have none that this machine can use.
    const WITHOUT: [&[u8]; 7] = [b"afpfs", b"exfat", b"msdos", b"nfs", b"ntfs", b"smbfs", b"webdav"];
    let name = |stat: rustix::fs::StatFs| {
        let bytes = stat.f_fstypename.into_iter().take_while(|byte| *byte != 0);
        bytes.map(i8::cast_unsigned).collect::<Vec<u8>>()
    };
    let system = path.ancestors().find_map(|existing| rustix::fs::statfs(existing).ok()).map(name);
    system.is_none_or(|name| !WITHOUT.contains(&name.as_slice()))
}

#[cfg(windows)]
fn has_fifos(_: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_home_keeps_its_sockets_beside_it() {
        let home = Home::at(Path::new("/tmp/x/.sereno"));
        assert_eq!(home.run(), Path::new("/tmp/x/.sereno/run"));
        let name = Name::new("web:0").expect("a name");
        assert_eq!(home.fifo(&name, "out"), Path::new("/tmp/x/.sereno/run/fifo/web@0.out"));
        assert_eq!(home.log_file(&name, "err"), Path::new("/tmp/x/.sereno/log/web@0.err.log"));
    }

    #[test]
    fn a_long_home_moves_its_sockets_where_they_fit() {
        let deep = PathBuf::from(format!("/tmp/{}/.sereno", "deep/".repeat(40)));
        let home = Home::at(&deep);
        assert!(!home.run().starts_with(&deep), "{:?}", home.run());
        assert_eq!(home, Home::at(&deep), "every daemon computes the same");
        assert_eq!(home.log(), deep.join("log"), "only run/ moves");
    }
}
