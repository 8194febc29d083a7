//! The current run as evidence is taken of it, and what `stop.evidence` asks of it.

use std::time::{Duration, SystemTime};

use sereno_config::AskedEvidence;

use super::{Service, StartFailure, World};
use crate::evidence::ask::{Asked, Running};
use crate::evidence::{Subject, Written};
use crate::lifecycle::{BootInstant, WhyEnd};
use crate::logs::Which;
use crate::os::{self, signal};

/// How much earlier than its start a run may seem to have written: the times of a log are a little coarse.
const BORN: Duration = Duration::from_secs(1);

impl Service {
    /// Returns the run that evidence is taken of; `None` if nothing runs.
    pub fn to_examine(&self, world: &World, why: WhyEnd, now: BootInstant) -> Option<Subject> {
        let run = self.processes.run.as_ref()?;
        let written = |which: Which| {
            let keep = world.keep(self, which);
            let name = if which == Which::Out { "stdout" } else { "stderr" };
            Written { limits: keep.limits(), path: keep.path, name }
        };
        let watch = self.processes.limits.as_ref().and_then(|limits| limits.watch.as_ref());
        Some(Subject {
            service: self.name.clone(),
            incarnation: run.incarnation,
            leader: run.process.identity(),
            cgroup: self.processes.cgroup.clone(),
            outputs: Which::BOTH.map(written).into(),
            for_memory: why == WhyEnd::Memory,
            since: SystemTime::now() - self.unit.uptime(now).unwrap_or_default() - BORN,
            idle: watch.and_then(crate::lifecycle::watchdog::Watch::idle),
            folder: world.home.evidence(),
        })
    }

    /// Starts the command and sends the signal that tell what the run is doing.
    pub fn ask_for_evidence(&self, world: &World, wanted: &AskedEvidence) -> Asked {
        let command = wanted.command.as_ref().map(|argv| {
            let pid = self.processes.pid().to_string();
            let argv: Vec<String> = argv.iter().map(|word| word.replace(AskedEvidence::PID, &pid)).collect();
            // The program alone: an argument may be a secret.
            let words = argv.first().cloned().unwrap_or_default();
            self.run_for_evidence(world, &argv, &words).map_err(|error| (words, error.to_string()))
        });
        let signal = wanted.signal.as_ref().map(|name| {
            let number = signal::number(name);
            let run = self.processes.run.as_ref();
            let sent = match (number, run) {
                (Some(number), Some(run)) => run.process.signal(number).map_err(|error| error.to_string()),
                _ => Err("this system has no such signal".into()),
            };
            (name.clone(), sent.err())
        });
        Asked { command, signal, timeout: wanted.timeout }
    }

    fn run_for_evidence(&self, world: &World, argv: &[String], words: &str) -> Result<Running, StartFailure> {
        let pipe = os::output_pipe().map_err(|error| StartFailure::io("its output", &error))?;
        let (output, writer) = pipe;
        let plan = self.look_up_at_once(world, argv)?;
        let process = self.run_beside(world, plan, &writer, &writer)?;
        Ok(Running { words: words.into(), process, output })
    }
}
