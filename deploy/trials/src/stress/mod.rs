//! `cargo deploy stress`: overloads the machine many times, and checks that no service is restarted for
//! that; then injects real faults under the same load, and checks that each is detected.
//!
//! | module | what it holds |
//! |---|---|
//! | `burn` | keeps the processors busy |
//! | `faults` | one fault: the service, the way it is broken, and the time to heal |
//!
//! ```text
//! up ─▶ burn ─▶ calm: no restart allowed ─▶ faults: each one restart, no more, no less ─▶ down ─▶ verdict
//! ```

mod burn;
mod faults;

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use deploy::binaries;
use deploy::place::Place;
use serde_json::Value;

pub use burn::burn;

use crate::Failure;
use crate::ctl::{Ctl, now};

/// Time limit for the start, longer than it takes under any load.
const READY_WITHIN: Duration = Duration::from_secs(180);
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Interval of progress messages.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Common settings of the services. Faults follow each other quickly, so the restart delays are short.
const TOP: &str = r#"[supervisor]
home = "home"

[defaults]
restart = { initial = "100ms", max_wait = "1s", min_uptime = "2s", max = 1000000 }
"#;

/// Parameters of a run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Duration of the phase without faults.
    pub calm: Duration,
    /// Number of faults.
    pub faults: u32,
    /// Number of services.
    pub services: u16,
    /// Number of busy processes per processor.
    pub times: usize,
}

/// A service of the set-up.
#[derive(Debug, Clone)]
struct Service {
    name: String,
    port: u16,
}

/// A set-up of services that are healthy until they are broken.
struct Stress {
    bin: PathBuf,
    folder: PathBuf,
    services: Vec<Service>,
}

/// Builds everything and runs the test; returns whether it passed.
pub fn start(options: Options, out: &mut dyn Write) -> Result<bool, Failure> {
    let place = Place::find()?;
    let folder = place.target().join("stress");
    let services = (0..options.services).zip(free_ports(options.services)?);
    let services = services.map(|(number, port)| Service { name: format!("s{number}"), port }).collect();
    let stress = Stress { bin: folder.join("bin"), folder: folder.join("here"), services };
    if stress.control().config.exists() && stress.control().program.exists() {
        stress.control().ask(&["down"])?.answer()?;
    }
    writeln!(out, "building supervisor, health-monitor, port-monitor and ctl")?;
    binaries::install(&binaries::build(&place)?, &stress.bin)?;
    stress.prepare()?;
    let passed = stress.run(options, out);
    stress.control().ask(&["down"])?.answer()?;
    passed
}

/// Returns ports on which no process listens now.
fn free_ports(count: u16) -> Result<Vec<u16>, Failure> {
    let bound = (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let bound = bound.collect::<Result<Vec<_>, _>>()?;
    Ok(bound.iter().map(TcpListener::local_addr).map(|a| a.map(|a| a.port())).collect::<Result<_, _>>()?)
}

impl Stress {
    fn control(&self) -> Ctl {
        Ctl {
            program: self.bin.join("ctl"),
            config: self.folder.join("sereno.toml"),
            said: self.folder.join("said"),
            cgroups: true,
        }
    }

    fn prepare(&self) -> Result<(), Failure> {
        let made = (|| {
            if self.folder.exists() {
                fs::remove_dir_all(&self.folder)?;
            }
            fs::create_dir_all(self.folder.join("said"))?;
            fs::write(self.folder.join("sereno.toml"), self.file())
        })();
        made.map_err(|source| Failure::write(self.folder.join("sereno.toml"), source))
    }

    /// Returns the file. Each service has both kinds of checks, every second.
    fn file(&self) -> String {
        let program = self.bin.join("trials");
        let table = |Service { name, port }: &Service| {
            format!(
                "\n[services.{name}]\n\
                 command = [\"{}\", \"demo-service\", \"--name\", \"{name}\", \"--port\", \"{port}\"]\n\
                 port = {{ port = {port}, interval = \"1s\" }}\n\
                 health = {{ url = \"http://127.0.0.1:{port}/health\", interval = \"1s\" }}\n",
                program.display()
            )
        };
        TOP.to_string() + &self.services.iter().map(table).collect::<String>()
    }

    /// Returns the status of every service, in the order of the file.
    fn status(&self) -> Result<Vec<Value>, Failure> {
        let answer = self.control().ask(&["status", "--json"])?.answer()?;
        let status: Value = serde_json::from_str(&answer.out).unwrap_or_default();
        let all = status["services"].as_array().cloned().unwrap_or_default();
        let of = |service: &Service| all.iter().find(|one| one["name"] == *service.name).cloned();
        Ok(self.services.iter().map(|service| of(service).unwrap_or_default()).collect())
    }

    fn run(&self, options: Options, out: &mut dyn Write) -> Result<bool, Failure> {
        let Options { calm, faults, services, times } = options;
        self.control().ask(&["up", "-d", "--wait"])?.answer()?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let busy = burn::Burners::start(&self.bin.join("trials"), processors * times)?;
        let (work, seconds) = (processors * times, calm.as_secs());
        writeln!(
            out,
            "stress: {services} services, two checks each every second; {work} busy processes on {processors} \
             processors; {seconds} s in which nothing is broken"
        )?;
        out.flush()?;
        let mut wrong = self.stay_calm(calm, out)?;
        if faults > 0 {
            let healed = faults::inject(self, faults, out)?;
            wrong.extend(healed);
        }
        drop(busy);
        for what in &wrong {
            writeln!(out, "  WRONG: {what}")?;
        }
        let verdict = if wrong.is_empty() { "all well" } else { "not well" };
        writeln!(out, "stress: {verdict}: {seconds} s of {times} times the load, then {faults} faults")?;
        out.flush()?;
        Ok(wrong.is_empty())
    }

    /// Checks that no service is restarted, and that no monitor requests a restart.
    fn stay_calm(&self, calm: Duration, out: &mut dyn Write) -> Result<Vec<String>, Failure> {
        let (began, mut told) = (now(), now());
        let mut wrong = Vec::new();
        while now().duration_since(began) < calm && wrong.is_empty() {
            std::thread::park_timeout(LOOK_AGAIN * 8);
            for service in self.status()?.iter().filter(|service| restarts(service) > 0) {
                wrong.push(format!("{} was restarted: {}", service["name"], service["last_exit"]));
            }
            if now().duration_since(told) > TELL_EVERY {
                told = now();
                let seconds = told.duration_since(began).as_secs();
                writeln!(out, "  {seconds} s: {} restarts", wrong.len())?;
                out.flush()?;
            }
        }
        let asked = self.control().ask(&["events", "-n", "100000", "--json"])?.answer()?;
        let events: Value = serde_json::from_str(&asked.out).unwrap_or_default();
        let flips = |kind: &str| {
            events["events"].as_array().into_iter().flatten().filter(|event| event["kind"] == kind).count()
        };
        writeln!(out, "  calm is over: {} checks flipped, {} requests", flips("check"), flips("request"))?;
        Ok(wrong)
    }
}

fn restarts(service: &Value) -> u64 {
    service["restarts"].as_u64().unwrap_or(0)
}

/// Whether a service is running and all its checks pass.
fn is_well(service: &Value) -> bool {
    let mut checks = service["checks"].as_array().into_iter().flatten();
    service["state"] == "running" && checks.all(|check| check["state"] == "passing")
}
