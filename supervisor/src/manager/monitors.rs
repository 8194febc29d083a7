//! Who watches, what they report, what they ask.

use std::collections::BTreeSet;
use std::time::Duration;

use daemon_kit::file::{Check, CheckSpec, OnFailure};
use proto::Name;
use tokio::sync::watch;

use super::Manager;
use super::command::{Ask, CheckResult, Hello, Report as Reported, Target, TargetSet};
use crate::journal::{Entry, Kind};
use crate::lifecycle::arbiter::{self, Case, Ruling, Standing};
use crate::lifecycle::deps::{self, Finding};
use crate::lifecycle::{Fact, Moment, Request};
use crate::os;
use crate::service::{Held, Restricted, Service, reports::Report};

/// A monitor whose stream is open.
#[derive(Debug)]
pub(super) struct Attachment {
    pub(super) monitor: Name,
    pub(super) kind: String,
    pub(super) session: String,
    pub(super) endpoint: String,
    /// Why it doubts itself.
    pub(super) blind: Option<String>,
    /// Ends the stream when a newer process of the monitor attaches.
    replaced: watch::Sender<bool>,
}

impl Manager {
    /// A stream of a monitor is open; its number, and what ends it when a newer process of the monitor attaches.
    pub(super) fn attach(&mut self, hello: Hello) -> (u64, watch::Receiver<bool>) {
        let (replaced, ends) = watch::channel(false);
        let id = self.attachments.keys().next_back().map_or(1, |last| last + 1);
        let same = |a: &Attachment| {
            a.monitor == hello.monitor && (a.session != hello.session || a.kind == hello.kind)
        };
        let known = self.is_attached(&hello.monitor);
        self.attachments.retain(|_, attachment| {
            let stays = !same(attachment);
            if !stays {
                attachment.replaced.send_replace(true);
            }
            stays
        });
        let monitor = hello.monitor.clone();
        let attachment = Attachment {
            monitor: hello.monitor,
            kind: hello.kind,
            session: hello.session,
            endpoint: hello.endpoint,
            blind: None,
            replaced,
        };
        self.attachments.insert(id, attachment);
        if !known {
            self.tell_of_monitor(&monitor, "attached".into());
        }
        self.world.keepers.connect(monitor.as_str());
        self.watched_again(os::now());
        self.changes.grow();
        (id, ends)
    }

    pub(super) fn detach(&mut self, id: u64) {
        let Some(attachment) = self.attachments.remove(&id) else { return };
        if !self.is_attached(&attachment.monitor) {
            self.tell_of_monitor(&attachment.monitor, "detached".into());
        }
        self.watched_again(os::now());
        self.changes.grow();
    }

    fn is_attached(&self, monitor: &Name) -> bool {
        self.attachments.values().any(|attachment| attachment.monitor == *monitor)
    }

    fn tell_of_monitor(&mut self, monitor: &Name, message: String) -> u64 {
        self.world.journal.add(Entry {
            cause: 0,
            source: monitor.as_str(),
            service: None,
            incarnation: 0,
            kind: Kind::Daemon,
            message,
            evidence: String::new(),
        })
    }

    /// Every check of one kind. A service that does not run, or is to go, has incarnation 0: do not probe.
    pub(super) fn target_set(&self, kind: &str) -> TargetSet {
        let targets = self.services.values().filter(|service| service.is_users()).flat_map(|service| {
            let live = service.unit.is_started() && service.run.is_some();
            let of_kind = service.spec.checks.iter().filter(|(_, check)| check.kind == kind);
            of_kind.map(move |(id, check)| Target {
                service: service.name.clone(),
                incarnation: if live { service.unit.incarnation() } else { 0 },
                pid: if live { service.pid() } else { 0 },
                id: id.clone(),
                starting: live && !service.unit.is_ready(),
                check: with_env_of(service, check),
                restricted: self.restricted(service, check, live),
            })
        });
        let generation = self.targets.number();
        TargetSet { instance: self.world.instance.clone(), generation, targets: targets.collect() }
    }

    /// What a command that checks a service is run with, if that is not all that we have.
    fn restricted(&self, service: &Service, check: &Check, live: bool) -> Option<Result<Restricted, String>> {
        if !matches!(check.spec, CheckSpec::Exec { .. }) {
            return None;
        }
        let found = service.restricted(&self.world)?;
        // Nothing is probed then, and nothing of it is told.
        Some(if live { found } else { Err("the service does not run".into()) })
    }

    /// A monitor reports; whether it is attached.
    pub(super) fn report(&mut self, reported: Reported) -> bool {
        let now = os::now();
        let of_it = |a: &&mut Attachment| a.monitor == reported.monitor && a.session == reported.session;
        let mut streams = self.attachments.values_mut().filter(of_it).peekable();
        let Some(first) = streams.peek() else { return false };
        let news = first.blind != reported.blind;
        streams.for_each(|attachment| attachment.blind.clone_from(&reported.blind));
        if news {
            let message = reported.blind.map_or_else(|| "sees again".into(), |why| format!("blind: {why}"));
            self.tell_of_monitor(&reported.monitor, message);
            self.watched_again(now);
        }
        for result in reported.results {
            self.result(&reported.monitor, result, now);
        }
        self.changes.grow();
        true
    }

    fn result(&mut self, monitor: &Name, result: CheckResult, now: Moment) {
        let Some(service) = self.services.get_mut(&result.service) else { return };
        let Some(check) = service.spec.checks.get(&result.check) else { return };
        // Of a run that is gone, or of one that never was.
        if result.incarnation != service.unit.incarnation() || !service.unit.is_started() {
            return;
        }
        let every = service.pace(check.interval, now);
        let report = Report {
            passing: result.passing,
            failures: result.failures,
            latency: result.latency,
            at: Moment::since_boot(now.elapsed().saturating_sub(result.age)),
            detail: result.detail,
            foreign: result.foreign,
            stalled: result.stalled,
        };
        let (passing, detail) = (report.passing, report.detail.clone());
        let before = service.reports.set(&result.check, monitor, report).and_then(|report| report.passing);
        let was_bad = is_bad(service);
        if let Some(fact) = service.reports.fact(&result.check, every) {
            service.unit.observe(now, Fact::Check(result.check.clone(), fact));
        }
        if passing == Some(true)
            && let Some(held) = &mut service.held
        {
            held.checks.remove(&result.check);
            if held.checks.is_empty() {
                service.held = None;
            }
        }
        let (ready, bad) = (service.unit.is_ready(), is_bad(service));
        let name = service.name.clone();
        if passing != before && (before.is_some() || passing == Some(false)) {
            let verb = match passing {
                Some(true) => "passes again",
                Some(false) => "fails",
                None => "is not known",
            };
            let colon = if detail.is_empty() { "" } else { ": " };
            let words = format!("{} {verb}{colon}{detail}", result.check);
            self.say(monitor, &name, Kind::Check, 0, words, String::new());
        }
        match (was_bad, bad) {
            (false, true) if ready => self.brake.bad(&name, now),
            (true, false) => self.brake.well(&name),
            _ => {}
        }
    }

    fn say(
        &mut self,
        monitor: &Name,
        name: &Name,
        kind: Kind,
        cause: u64,
        message: String,
        evidence: String,
    ) -> u64 {
        let incarnation = self.services.get(name).map_or(0, |service| service.unit.incarnation());
        let (source, service) = (monitor.as_str(), Some(name));
        self.world.journal.add(Entry { cause, source, service, incarnation, kind, message, evidence })
    }

    /// Decides on a monitor's request; the answer, and its number in the journal.
    pub(super) fn ask(&mut self, ask: &Ask) -> (Ruling, u64) {
        let now = os::now();
        let unknown = |message: String| Ruling {
            decision: proto::v1::Decision::UnknownService,
            message,
            retry_after: None,
        };
        let Some(name) = self.services.keys().find(|name| name.as_str() == ask.service).cloned() else {
            return (unknown(format!("there is no service {:?}", ask.service)), 0);
        };
        let service = &self.services[&name];
        if !service.is_users() || !service.spec.checks.contains_key(&ask.check) {
            return (unknown(format!("{name} has no check {:?}", ask.check.as_str())), 0);
        }
        let case = self.case(service, ask, now);
        let brake = self.brake_holds(now);
        let Self { services, brake: host, .. } = self;
        let service = services.get_mut(&name).expect("it was just found");
        let budget = service.spec.restart.monitor_budget;
        let ruling = arbiter::decide(&case, &mut service.ledger, budget, (host, brake), now);
        let of = service.spec.checks.get(&ask.check).map_or(0, |check| check.failures);
        let failed = format!("{} failed {} of {of}: {}", ask.check, ask.failures.min(of), ask.summary);
        let seq = self.enter(ask, failed, &name, &ruling, now);
        (ruling, seq)
    }

    pub(super) fn case(&self, service: &Service, ask: &Ask, now: Moment) -> Case {
        let leaving = if self.going.is_some() {
            Some("the supervisor is shutting down")
        } else {
            self.stop_queue.contains(&service.name).then_some("stopped by a person")
        };
        let unit = |name: &Name| self.services.get(name).map(|service| &service.unit);
        let bad = |name: &Name| self.services.get(name).is_some_and(is_bad);
        let check = service.spec.checks.get(&ask.check);
        let timeout = check.map_or(Duration::ZERO, |check| check.timeout);
        let finding = Finding {
            run: service.unit.began().unwrap_or(now),
            look: Moment::since_boot(now.elapsed().saturating_sub(timeout)),
        };
        let standing = Standing {
            leaving,
            paused: service.is_paused(),
            start_period: check.map_or(Duration::ZERO, |check| check.start_period),
            suspect: deps::suspect(&service.spec.depends_on, unit, bad, finding).cloned(),
        };
        Case::of(&service.unit, ask.incarnation, &ask.check, standing, now)
    }

    /// Why restarts are held for the whole host, and for how long at least.
    pub(super) fn brake_holds(&self, now: Moment) -> Option<(String, Duration)> {
        let brake = &self.config.supervisor.brake;
        // One that went bad and is being restarted still counts, among those that it is counted against as well.
        let counts = |service: &&Service| service.unit.is_ready() || self.brake.has(&service.name);
        let checked = || self.services.values().filter(|s| !s.spec.checks.is_empty()).filter(counts);
        let intervals =
            checked().flat_map(|service| service.spec.checks.values().map(|check| check.interval));
        let longest = intervals.max().unwrap_or_default();
        let why = self.brake.holds(brake, checked().count(), longest, now)?;
        Some((why, brake.window.max(longest)))
    }

    /// Enters request and answer into the journal, and does what was decided.
    pub(super) fn enter(
        &mut self,
        ask: &Ask,
        failed: String,
        name: &Name,
        ruling: &Ruling,
        now: Moment,
    ) -> u64 {
        use proto::v1::Decision::{Accepted, Merged};
        let service = self.services.get(name).expect("it was just found");
        if ruling.decision == Merged {
            // The reason is added to the restart that is under way.
            let cause = service.cause;
            return self.say(&ask.monitor, name, Kind::Check, cause, failed, ask.evidence.clone());
        }
        let held = ruling.decision.is_held();
        let until = ruling.retry_after.map(|after| now + after);
        if held {
            self.changes.grow();
        }
        let service = self.services.get_mut(name).expect("it was just found");
        if let Some(known) = service.held.as_mut().filter(|_| held)
            && known.decision == ruling.decision
        {
            (known.message, known.until) = (ruling.message.clone(), until);
            let (news, seq) = (known.checks.insert(ask.check.clone()), known.seq);
            // Said once for each check; a repeat is no news.
            if news {
                self.say(&ask.monitor, name, Kind::Check, seq, failed, ask.evidence.clone());
            }
            return seq;
        }
        // What was held is part of the story of what is granted in the end.
        let before = service.held.as_ref().map_or(0, |held| held.seq);
        let reason = self.say(&ask.monitor, name, Kind::Check, before, failed, ask.evidence.clone());
        let service = self.services.get_mut(name).expect("it was just found");
        let message = if ruling.decision == Accepted {
            ruling.message.clone()
        } else if held {
            let again = ruling.retry_after.map(|after| format!(", asked again in {}", arbiter::took(after)));
            format!("restart held: {}{}", ruling.message, again.unwrap_or_default())
        } else {
            format!("restart refused: {} ({})", ruling.decision, ruling.message)
        };
        let seq = self.world.tell(service, Kind::Decision, reason, message);
        if held {
            let (decision, message) = (ruling.decision, ruling.message.clone());
            let checks = BTreeSet::from([ask.check.clone()]);
            service.held = Some(Held { decision, message, until, checks, seq });
        }
        if ruling.decision == Accepted {
            service.held = None;
            service.cause = seq;
            service.unit.request(now, Request::Ask);
        }
        seq
    }
}

/// A command that checks a service finds the variables that the file gives the service, and which instance it is of.
fn with_env_of(service: &Service, check: &Check) -> Check {
    let mut check = check.clone();
    if let CheckSpec::Exec { env, .. } = &mut check.spec {
        let mut whole = service.spec.env.clone();
        whole.extend(service.extra_env.clone());
        whole.append(env);
        *env = whole;
    }
    check
}

/// Whether one of its checks failed at its last try, of those that count.
fn is_bad(service: &Service) -> bool {
    service.unit.marks().is_some_and(|marks| {
        marks.iter().any(|(id, mark)| {
            let counts =
                service.spec.checks.get(id).is_some_and(|check| check.on_failure == OnFailure::Restart);
            counts && mark.is_bad()
        })
    })
}
