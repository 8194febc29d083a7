//! What keeps the processors busy: processes that do nothing else, each in a session of its own, as the kernel may
//! share out its time by sessions.

use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};

use rustix::process::{Signal, set_parent_process_death_signal, setsid};

use crate::Failure;

/// Processes that burn as long as this is held.
pub(super) struct Fire(Vec<Child>);

impl Fire {
    pub(super) fn light(program: &Path, count: usize) -> Result<Self, Failure> {
        let mut fire = Self(Vec::with_capacity(count));
        for _ in 0..count {
            #[expect(clippy::disallowed_methods, reason = "not a service: it is there to be in the way")]
            let mut command = Command::new(program);
            let child = command.arg("burn").stdin(Stdio::null()).stdout(Stdio::null()).spawn();
            fire.0.push(
                child.map_err(|source| Failure::Run { program: program.display().to_string(), source })?,
            );
        }
        Ok(fire)
    }
}

impl Drop for Fire {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // One that is gone is what is wanted.
            let _ = child.kill().and_then(|()| child.wait());
        }
    }
}

/// Burns until it is killed, or its parent has ended.
pub fn burn() -> Result<ExitCode, Failure> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(std::io::Error::from)?;
    setsid().map_err(std::io::Error::from)?;
    let mut number = 1_u64;
    loop {
        number = std::hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
}
