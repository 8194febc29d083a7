//! Sets a test up: its folder, its `sereno.toml`, and its `ctl`.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Failure;
use crate::ctl::{Answer, Asked, Ctl};

/// Number of rotated files to keep: all of them, because every line is checked.
pub const KEEP: u32 = 1_000;

/// Common settings of the services, with short delays so that much happens.
const TOP: &str = r#"[supervisor]
home = "home"

[defaults]
restart = { initial = "10ms", max_wait = "200ms", min_uptime = "1s", max = 1000000 }
stop = { timeout = "300ms" }
"#;

/// Parameters of a test.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Folder of `supervisor`, the monitors, `ctl` and `trials`.
    pub bin: PathBuf,
    /// Folder of the test; it is recreated.
    pub folder: PathBuf,
    /// Duration of the killing.
    pub time: Duration,
    /// Seed of the random numbers.
    pub seed: u64,
    /// Number of services.
    pub services: usize,
    /// Whether the supervisor may use cgroups.
    pub cgroups: bool,
}

impl Setup {
    /// Returns the names of the services.
    pub fn names(&self) -> Vec<String> {
        (0..self.services).map(|number| format!("s{number}")).collect()
    }

    /// Returns the size at which a log is rotated: every few seconds, but never so often that a rotated
    /// file is deleted.
    pub fn rotate_at(&self) -> u64 {
        const SMALL: u64 = 64 * 1024;
        const ENOUGH_FOR: u64 = 20 * 60;
        SMALL * (1 + self.time.as_secs() / ENOUGH_FOR)
    }

    /// Recreates the folder, with everything that the services need.
    pub fn prepare(&self) -> Result<(), Failure> {
        let made = (|| {
            if self.folder.exists() {
                fs::remove_dir_all(&self.folder)?;
            }
            for folder in ["runs", "counts", "said"] {
                fs::create_dir_all(self.folder.join(folder))?;
            }
            fs::write(self.config(), self.file())
        })();
        made.map_err(|source| {
            deploy::Failure::Copy { from: "a new sereno.toml".into(), to: self.folder.clone(), source }.into()
        })
    }

    /// Returns the path of its `sereno.toml`.
    pub fn config(&self) -> PathBuf {
        self.folder.join("sereno.toml")
    }

    /// Returns the file. Each service misbehaves in a different way.
    fn file(&self) -> String {
        let mut text = TOP.to_string();
        for (number, name) in self.names().iter().enumerate() {
            let ways: &[&str] = match number % 8 {
                0 => &[],
                1 => &["--stubborn"],
                2 => &["--orphan"],
                3 => &["--restless"],
                4 => &["--flood"],
                5 => &["--orphan", "--forget", "--stubborn"],
                6 => &["--restless", "--orphan"],
                _ => &["--restless", "--stubborn"],
            };
            let stubborn = ways.contains(&"--stubborn");
            let ways: Vec<&str> = ways.iter().copied().filter(|way| *way != "--stubborn").collect();
            let program = self.bin.join("trials");
            let (program, folder) = (program.display(), self.folder.display());
            let seed = self.seed.wrapping_add(number as u64);
            let mut words =
                vec![format!("{program} chaos-service --name {name} --folder {folder} --seed {seed}")];
            words.extend(ways.into_iter().map(Into::into));
            let command = words.join(" ");
            // Ignored signals stay ignored after an exec.
            let run = if stubborn {
                format!("shell = \"trap '' TERM; exec {command}\"")
            } else {
                format!("command = \"{command}\"")
            };
            let (size, compress) = (self.rotate_at(), number % 2 == 0);
            let log = format!("log = {{ max_size = {size}, keep = {KEEP}, compress = {compress} }}");
            text.extend(["\n[services.", name, "]\n", &run, "\n", &log, "\n"]);
        }
        text
    }

    /// Returns the `ctl` of this test.
    pub fn control(&self) -> Ctl {
        Ctl {
            program: self.bin.join("ctl"),
            config: self.config(),
            said: self.folder.join("said"),
            cgroups: self.cgroups,
        }
    }

    /// Runs `ctl` and waits for its answer.
    pub fn ctl(&self, words: &[&str]) -> Result<Answer, Failure> {
        self.control().ask(words)?.answer()
    }

    /// Runs `ctl` in the background.
    pub fn ask(&self, words: &[&str]) -> Result<Asked, Failure> {
        self.control().ask(words)
    }
}

/// Returns the whole text of a log, oldest first, including compressed files; and the files that exist twice.
pub fn log_of(folder: &Path, file: &str) -> io::Result<(Vec<u8>, Vec<String>)> {
    let path = folder.join("home/log").join(file);
    let (mut text, mut twice) = (Vec::new(), Vec::new());
    for number in (1..=KEEP).rev() {
        let plain = path.with_file_name(format!("{file}.{number}"));
        let zipped = path.with_file_name(format!("{file}.{number}.gz"));
        if zipped.exists() {
            // File 2 is compressed shortly before the plain file is removed; the next rotation completes that.
            if number > 2 && plain.exists() {
                twice.push(format!("{file}.{number} is there twice, plain and compressed"));
            }
            io::copy(&mut flate2::read::GzDecoder::new(File::open(zipped)?), &mut text)?;
        } else if plain.exists() {
            text.extend(fs::read(plain)?);
        }
    }
    if path.exists() {
        text.extend(fs::read(path)?);
    }
    Ok((text, twice))
}
