//! Runs `stop.command`, which is told the run's main process as `MAINPID`, as systemd does.

use sereno_config::MAIN_PID;

use super::driver::without_home;
use super::plan::PlanError;
use super::{Plan, Run, Service, StartFailure, World};
use crate::journal::Kind;

impl Service {
    /// Returns the arguments of its `stop.command` for the current run; `None` if it has none.
    pub(super) fn stop_command(&self) -> Option<Vec<String>> {
        let (argv, pid) = (self.spec.stop.command.as_ref()?, self.processes.pid().to_string());
        Some(argv.iter().map(|argument| with_main_pid(argument, &pid)).collect())
    }

    /// Runs the `stop.command` of the current run with what was looked up; sends the stop signal if that fails.
    pub fn run_stop_command(&mut self, world: &mut World, argv: &[String], plan: Result<Plan, PlanError>) {
        let started = plan.map_err(StartFailure::from).and_then(|plan| self.start_stop_command(world, plan));
        match started {
            Ok(()) => {
                self.tell(world, Kind::Signal, format!("runs {}", argv.join(" ")));
            }
            Err(error) => {
                tracing::warn!(service = %self.name, "stop.command could not run: {error}");
                self.signal_stop(world);
            }
        }
    }

    fn start_stop_command(&mut self, world: &World, plan: Plan) -> Result<(), StartFailure> {
        let [out, err] = self.handed_out().map_err(|error| without_home("its outputs", &error))?;
        let process = self.run_beside(world, plan, &out, &err)?;
        let incarnation = self.unit.incarnation();
        self.processes.stopper = Some(Run { process, incarnation, adopted: false });
        Ok(())
    }
}

/// Replaces `$MAINPID` and `${MAINPID}`. Another name that begins with these letters remains as it is.
fn with_main_pid(argument: &str, pid: &str) -> String {
    let braced = argument.replace(&format!("${{{MAIN_PID}}}"), pid);
    let bare = format!("${MAIN_PID}");
    let mut parts = braced.split(&bare);
    let mut replaced = parts.next().unwrap_or_default().to_owned();
    for after in parts {
        let goes_on = after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        replaced.extend([if goes_on { &bare } else { pid }, after]);
    }
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_main_process_is_named_in_both_forms_and_no_other_variable_is_touched() {
        for (argument, expected) in [
            ("$MAINPID", "42"),
            ("${MAINPID}", "42"),
            ("-INT $MAINPID,${MAINPID}", "-INT 42,42"),
            ("$MAINPID$MAINPID", "4242"),
            ("$MAINPIDS $MAINPID_ $MAINPID.", "$MAINPIDS $MAINPID_ 42."),
            ("$$ ${HOME} MAINPID", "$$ ${HOME} MAINPID"),
            ("", ""),
        ] {
            assert_eq!(with_main_pid(argument, "42"), expected, "{argument}");
        }
    }
}
