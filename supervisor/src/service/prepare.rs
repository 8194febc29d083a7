//! Looks up what a command needs (`env_file`s, working folder, program) on a thread of its own. The service's user may
//! own all of that, and can make a look wait for ever: by FUSE, or in `/proc`. Such a look delays only its own service.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use proto::Name;

use super::plan::PlanError;
use super::{Plan, Service, StartFailure, World};
use crate::lifecycle::BootInstant;

/// How long a look may take.
const WITHIN: Duration = Duration::from_secs(5);

/// How long the manager waits for a look that is needed at once.
const AT_ONCE: Duration = Duration::from_millis(50);

/// How long a look may take before its thread counts as stuck.
const STUCK_AFTER: Duration = Duration::from_millis(500);

/// The wait until the rights of checks are looked up again, after that failed.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// The command that something is looked up for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// The run with this incarnation.
    Start(u64),
    /// The `stop.command` of a run, with these arguments.
    Stop {
        /// The incarnation of the run to stop.
        incarnation: u64,
        /// The arguments, from argument 0.
        argv: Vec<String>,
    },
    /// The commands of checks: only the rights and the environment matter.
    Checks,
}

/// What a look has found.
#[derive(Debug)]
pub struct Prepared {
    /// The service it was for.
    pub service: Name,
    /// The number of the look.
    pub number: u64,
    /// A prepared command.
    pub plan: Result<Plan, PlanError>,
}

/// The look that a service waits for.
#[derive(Debug, Default)]
pub struct Preparation {
    waits: Option<Waits>,
    /// Whether a thread looks for this service, perhaps for something that nobody waits for any more. There is never a
    /// second one, also for the run beside it: threads that are stuck do not add up.
    at_work: Arc<AtomicBool>,
    /// The rights of its checks, if no start has found them.
    rights: Option<Plan>,
    /// Why the rights of its checks are not known, and when to look again.
    refused: Option<(String, BootInstant)>,
}

#[derive(Debug)]
struct Waits {
    purpose: Purpose,
    since: BootInstant,
    /// The look that is under way for it; `None` while the thread is still busy with an earlier one.
    number: Option<u64>,
}

/// Tells, however it ends, that a thread no longer looks.
struct AtWork(Arc<AtomicBool>);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Preparation {
    /// Returns the preparation of a run beside this one: both together have one thread.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self { at_work: Arc::clone(&self.at_work), ..Self::default() }
    }

    /// Returns when to stop waiting, or to look again.
    pub fn deadline(&self) -> Option<BootInstant> {
        let waits = self.waits.as_ref().map(|waits| waits.since + WITHIN);
        waits.or_else(|| self.refused.as_ref().map(|(_, again)| *again))
    }

    /// Returns whether a look takes long enough to count as stuck.
    pub fn is_stuck(&self, now: BootInstant) -> bool {
        let is_new = self.waits.as_ref().is_some_and(|waits| now < waits.since + STUCK_AFTER);
        self.at_work.load(Ordering::Acquire) && !is_new
    }

    /// Ends the wait if this look is the one that is waited for. Returns its purpose.
    pub fn take(&mut self, number: u64) -> Option<Purpose> {
        self.waits.take_if(|waits| waits.number == Some(number)).map(|waits| waits.purpose)
    }

    /// Ends the wait if it has lasted too long.
    pub fn take_overdue(&mut self, now: BootInstant) -> Option<Purpose> {
        self.waits.take_if(|waits| waits.since + WITHIN <= now).map(|waits| waits.purpose)
    }

    /// Ends the wait for a start that is not wanted any more. Returns whether there was one.
    pub fn withdraw_start(&mut self) -> bool {
        self.waits.take_if(|waits| matches!(waits.purpose, Purpose::Start(_))).is_some()
    }

    /// Makes what is under way worthless, as the settings are others: it is looked up again.
    pub fn begin_again(&mut self) {
        (self.refused, self.rights) = (None, None);
        if let Some(waits) = &mut self.waits {
            waits.number = None;
        }
    }

    /// Takes the rights of checks, or the reason why they are not known.
    pub fn take_rights(&mut self, rights: Result<Plan, PlanError>, now: BootInstant) {
        match rights {
            Ok(plan) => (self.rights, self.refused) = (Some(plan), None),
            Err(why) => self.refused = Some((why.to_string(), now + AGAIN_AFTER)),
        }
    }

    /// Returns the rights of checks, with an environment.
    pub fn rights(&self) -> Option<&Plan> {
        self.rights.as_ref()
    }

    /// Returns why the rights of checks are not known; `None` if they were not looked up yet.
    pub fn refused(&self) -> Option<&str> {
        self.refused.as_ref().map(|(why, _)| why.as_str())
    }

    fn is_refused_still(&self, now: BootInstant) -> bool {
        self.refused.as_ref().is_some_and(|(_, again)| now < *again)
    }
}

impl Service {
    /// Begins to look up what a command needs; `answer` is called with it on another thread. An error means that
    /// nothing is looked up.
    pub fn prepare(
        &mut self,
        world: &World,
        purpose: Purpose,
        now: BootInstant,
        answer: impl FnOnce(Prepared) + Send + 'static,
    ) -> Result<(), StartFailure> {
        self.preparation.waits = Some(Waits { purpose, since: now, number: None });
        let begun = self.look_up(world, answer);
        if begun.is_err() {
            self.preparation.waits = None;
        }
        begun
    }

    /// Returns whether a look waits for the end of an earlier one, which is over.
    pub fn can_look_up(&self) -> bool {
        self.preparation.waits.as_ref().is_some_and(|waits| waits.number.is_none())
            && !self.preparation.at_work.load(Ordering::Acquire)
    }

    /// Begins the look that is waited for, unless the thread is still busy.
    pub fn look_up(
        &mut self,
        world: &World,
        answer: impl FnOnce(Prepared) + Send + 'static,
    ) -> Result<(), StartFailure> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let Some(waits) = &self.preparation.waits else { return Ok(()) };
        let purpose = waits.purpose.clone();
        let account = self.account().map_err(PlanError::from)?.clone();
        if self.preparation.at_work.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let at_work = AtWork(Arc::clone(&self.preparation.at_work));
        let mut extra = self.env.extra.clone();
        if let Purpose::Stop { .. } = purpose {
            extra.insert(sereno_config::MAIN_PID.into(), self.processes.pid().to_string());
        } else {
            extra.extend(self.notify_env(world));
            extra.extend(self.socket_env());
        }
        let (spec, caller, host) = (self.spec.clone(), self.env_of_caller(world).clone(), world.host.clone());
        let (service, number) = (self.name.clone(), NEXT.fetch_add(1, Ordering::Relaxed));
        let look = move || {
            let plan = match &purpose {
                Purpose::Stop { argv, .. } => Plan::of(&spec, &account, argv, &caller, &extra, &host),
                Purpose::Start(_) => Plan::make(&spec, &account, &caller, &extra, &host),
                Purpose::Checks => Plan::rights(&spec, &account, &caller, &extra, &host),
            };
            drop(at_work);
            answer(Prepared { service, number, plan });
        };
        std::thread::Builder::new()
            .name("prepare".into())
            .spawn(look)
            .map_err(|error| StartFailure::io("starting a thread", &error))?;
        if let Some(waits) = &mut self.preparation.waits {
            waits.number = Some(number);
        }
        Ok(())
    }

    /// Looks up what a command beside the current run needs, and waits for it: nobody else waits longer than a moment.
    pub(super) fn look_up_at_once(&self, world: &World, argv: &[String]) -> Result<Plan, PlanError> {
        let account = self.account()?.clone();
        if self.preparation.at_work.swap(true, Ordering::AcqRel) {
            return Err(self.no_answer_within(AT_ONCE));
        }
        let at_work = AtWork(Arc::clone(&self.preparation.at_work));
        let mut extra = self.env.extra.clone();
        extra.insert(sereno_config::MAIN_PID.into(), self.processes.pid().to_string());
        let (spec, caller, host) = (self.spec.clone(), self.env_of_caller(world).clone(), world.host.clone());
        let (argv, (tell, found)) = (argv.to_vec(), std::sync::mpsc::channel());
        let look = move || {
            let plan = Plan::of(&spec, &account, &argv, &caller, &extra, &host);
            drop(at_work);
            drop(tell.send(plan));
        };
        // Without a thread to spare the channel is closed, and there is no answer either.
        drop(std::thread::Builder::new().name("prepare".into()).spawn(look));
        found.recv_timeout(AT_ONCE).unwrap_or_else(|_| Err(self.no_answer_within(AT_ONCE)))
    }

    /// Returns why nothing was found in time.
    pub fn no_answer(&self) -> PlanError {
        self.no_answer_within(WITHIN)
    }

    fn no_answer_within(&self, within: Duration) -> PlanError {
        let files: Vec<String> = self.spec.env_file.iter().map(|path| path.display().to_string()).collect();
        let what = match files.as_slice() {
            [] => format!("cwd {} or the program in it", self.spec.cwd.display()),
            files => format!("env_file {}", files.join(", ")),
        };
        PlanError::NoAnswer(what, within)
    }

    /// Returns whether the rights of its checks must be looked up: they are confined, and no start has done so.
    pub fn needs_rights(&self, now: BootInstant) -> bool {
        self.processes.run.is_some()
            && self.plan.is_none()
            && self.preparation.rights.is_none()
            && self.preparation.waits.is_none()
            && !self.preparation.is_refused_still(now)
            && self.is_confined()
            && self
                .spec
                .checks
                .values()
                .any(|check| matches!(check.spec, sereno_config::CheckSpec::Exec { .. }))
    }
}
