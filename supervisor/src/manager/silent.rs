//! Processes that did not answer a scan: a process can make a look at its memory wait as long as it likes. Nobody waits for
//! them. They are looked at again by a thread of their own, and ended if they turn out to be left over.

use std::time::Duration;

use super::{Happened, Manager};
use crate::os::{self, Marked, Scan, Silent};
use crate::service::Service;

/// The pause before the first look again, and the longest one.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// What is to be looked at again.
#[derive(Debug, Default)]
pub(super) struct Again {
    silent: Vec<Silent>,
    pause: Duration,
    /// Whether a thread is about to look.
    under_way: bool,
}

impl Manager {
    /// Looks at these processes again after a pause.
    pub(super) fn look_again_later(&mut self, silent: Vec<Silent>) {
        let again = &mut self.silent;
        for process in silent {
            if !again.silent.contains(&process) {
                tracing::warn!(
                    pid = process.identity.pid,
                    "can not be looked at, and is looked at again later"
                );
                again.silent.push(process);
                again.pause = FIRST;
            }
        }
        if again.under_way || again.silent.is_empty() {
            return;
        }
        let (silent, pause) = (again.silent.clone(), again.pause);
        let (instance, fifos) = (self.world.instance.clone(), self.world.fifos.clone());
        let tell = self.tell.clone();
        let look = move || {
            os::pipe::pause(pause);
            // Fails only if the manager has ended.
            let _ = tell.send(Happened::Judged(os::scan_again(&silent, &instance, &fifos)));
        };
        self.silent.under_way = std::thread::Builder::new().name("look-again".into()).spawn(look).is_ok();
    }

    /// Ends what was left over, and looks at the rest again.
    pub(super) fn judged(&mut self, scan: Scan) {
        for marked in &scan.found {
            if self.is_left_over(marked) {
                tracing::warn!(service = %marked.service, pid = marked.identity.pid, "ends a process of another run");
                marked.kill();
            }
        }
        let pause = (self.silent.pause * 2).min(LONGEST);
        self.silent = Again { silent: scan.silent, pause, under_way: false };
        self.look_again_later(Vec::new());
    }

    /// Returns whether a process belongs to a run that is over, or to a service that no file names.
    fn is_left_over(&self, marked: &Marked) -> bool {
        let is_current = |service: &Service| {
            let run = service.processes.run.as_ref();
            run.is_some_and(|run| {
                run.process.identity() == marked.identity
                    || marked.incarnation == 0
                    || marked.incarnation == run.incarnation
            })
        };
        let of_it = self.services.runs().filter(|service| service.name.as_str() == marked.service);
        !of_it.into_iter().any(is_current)
    }
}
