//! Keeps the processors busy with processes that do nothing else. Each has its own session, because the
//! kernel may distribute its time by session.

use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};

use rustix::process::{Signal, set_parent_process_death_signal, setsid};

use crate::Failure;

/// Busy processes, killed when this is dropped.
pub(super) struct Burners(Vec<Child>);

impl Burners {
    pub(super) fn start(program: &Path, count: usize) -> Result<Self, Failure> {
        let mut burners = Self(Vec::with_capacity(count));
        for _ in 0..count {
            #[expect(clippy::disallowed_methods, reason = "not a service: it is there to be in the way")]
            let mut command = Command::new(program);
            let child = command.arg("burn").stdin(Stdio::null()).stdout(Stdio::null()).spawn();
            burners.0.push(child.map_err(|source| Failure::run(program.display().to_string(), source))?);
        }
        Ok(burners)
    }
}

impl Drop for Burners {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // An error only means that the process has already ended.
            let _ = child.kill().and_then(|()| child.wait());
        }
    }
}

/// Uses the processor until it is killed, or its parent has ended.
pub fn burn() -> Result<ExitCode, Failure> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(std::io::Error::from)?;
    setsid().map_err(std::io::Error::from)?;
    let mut number = 1_u64;
    loop {
        number = std::hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
}
