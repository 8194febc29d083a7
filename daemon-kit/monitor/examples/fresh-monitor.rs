//! A monitor for a check kind of its own, `fresh`: was a file written recently? For backups, exports, heartbeats.
//!
//! ```toml
//! [monitors.fresh]
//! program = "target/debug/examples/fresh-monitor"
//! [services.backup]
//! command = "./backup --every 1h"
//! checks.last = { kind = "fresh", interval = "5m", options = { path = "/srv/backup/last", within = 7200 } }
//! ```
//!
//! The kit does the rest (schedule, counting, reports, requests, reconnecting, `ctl status`).

#![forbid(unsafe_code)]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use sereno_monitor::start::{Flags, start};
use sereno_monitor::{Check, Probe, Spec, Target, TargetError, Verdict};

const NAME: &str = "fresh";

struct Fresh;

struct File {
    path: PathBuf,
    within: Duration,
}

impl Probe for Fresh {
    const KINDS: &'static [&'static str] = &[NAME];
    type Check = File;

    fn prepare(&self, target: &Target) -> Result<File, TargetError> {
        let Spec::Options(options) = &target.spec else {
            return Err(TargetError::new("spec", "has no options"));
        };
        let option = |key| options.values.get(key);
        let path = option("path").ok_or_else(|| TargetError::new("options.path", "is missing"))?;
        let within = option("within").map_or(Ok(60), |text| text.parse());
        let within = within.map_err(|_| TargetError::new("options.within", "is no number of seconds"))?;
        Ok(File { path: path.into(), within: Duration::from_secs(within) })
    }
}

impl Check for File {
    async fn run(&mut self, _: &Target) -> Verdict {
        let written = std::fs::metadata(&self.path).and_then(|file| file.modified());
        match written.map(|at| at.elapsed().unwrap_or_default()) {
            Ok(age) if age <= self.within => Verdict::passing(format!("{} s old", age.as_secs())),
            Ok(age) => Verdict::failing(format!("{} s old, over {} s", age.as_secs(), self.within.as_secs())),
            Err(error) => Verdict::of_error(&error),
        }
    }
}

fn main() -> ExitCode {
    let env = std::env::vars_os().collect();
    match start(NAME, env!("CARGO_PKG_VERSION"), &Flags::default(), &env, Fresh) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{NAME}: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
