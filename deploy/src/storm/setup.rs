//! The place of a storm: its folder, its `sereno.toml`, and `ctl` for it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Failure;
use crate::asked::{Answer, Asked, Ctl};

/// So many rotated files are kept: all of them, for every line is to be found.
pub const KEEP: u32 = 1_000;

/// What every service has in common: no wait is so long that little would happen.
const TOP: &str = r#"[supervisor]
home = "home"

[defaults]
restart = { initial = "10ms", max_wait = "200ms", min_uptime = "1s", max = 1000000 }
stop = { timeout = "300ms" }
"#;

/// What a storm is made of.
#[derive(Debug, Clone)]
pub struct Storm {
    /// Where `supervisor`, its monitors, `ctl` and `deploy` are.
    pub bin: PathBuf,
    /// Where it takes place; made anew.
    pub folder: PathBuf,
    /// How long things are killed.
    pub time: Duration,
    /// What its chance begins with.
    pub seed: u64,
    /// How many services there are.
    pub services: usize,
    /// Whether the supervisor may use cgroups.
    pub cgroups: bool,
}

impl Storm {
    /// The names of its services.
    pub fn names(&self) -> Vec<String> {
        (0..self.services).map(|number| format!("s{number}")).collect()
    }

    /// A log is put aside at this size: every few seconds, and never so often that one is thrown away.
    pub fn rotate_at(&self) -> u64 {
        const SMALL: u64 = 64 * 1024;
        const ENOUGH_FOR: u64 = 20 * 60;
        SMALL * (1 + self.time.as_secs() / ENOUGH_FOR)
    }

    /// Makes the folder anew, with everything in it that the services need.
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
        made.map_err(|source| Failure::Copy {
            from: "a new sereno.toml".into(),
            to: self.folder.clone(),
            source,
        })
    }

    /// Its `sereno.toml`.
    pub fn config(&self) -> PathBuf {
        self.folder.join("sereno.toml")
    }

    /// Each service is awkward in its own way.
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
            let program = self.bin.join("deploy");
            let (program, folder) = (program.display(), self.folder.display());
            let seed = self.seed.wrapping_add(number as u64);
            let mut words =
                vec![format!("{program} storm-service --name {name} --folder {folder} --seed {seed}")];
            words.extend(ways.into_iter().map(Into::into));
            let command = words.join(" ");
            // Ignored signals stay ignored over an exec.
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

    /// Its `ctl`.
    pub fn control(&self) -> Ctl {
        Ctl {
            program: self.bin.join("ctl"),
            config: self.config(),
            said: self.folder.join("said"),
            cgroups: self.cgroups,
        }
    }

    /// Asks `ctl` and waits for its answer.
    pub fn ctl(&self, words: &[&str]) -> Result<Answer, Failure> {
        self.control().ask(words)?.answer()
    }

    /// Asks `ctl`; others go on meanwhile.
    pub fn ask(&self, words: &[&str]) -> Result<Asked, Failure> {
        self.control().ask(words)
    }
}

/// Every text of a log that is kept, oldest first, with the compressed ones unpacked; and what stands there twice.
pub fn log_of(folder: &Path, file: &str) -> io::Result<(Vec<u8>, Vec<String>)> {
    let path = folder.join("home/log").join(file);
    let (mut text, mut twice) = (Vec::new(), Vec::new());
    for number in (1..=KEEP).rev() {
        let plain = path.with_file_name(format!("{file}.{number}"));
        let zipped = path.with_file_name(format!("{file}.{number}.gz"));
        if zipped.exists() {
            // The second is compressed a moment before it is removed; the next rotation sees to it.
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
