//! Evidence of what a run was doing when it was judged: taken on other threads before the run is told to end. A run that
//! ends meanwhile, or that a person ends, does not wait for it.

use std::sync::{Arc, mpsc};

use super::services::RunKey;
use super::{Happened, Manager};
use crate::evidence::take::NotTaken;
use crate::evidence::{Evidence, Subject, Taking, ask, take};
use crate::incidents::Happening;
use crate::journal::{Detail, Entry, Kind};
use crate::lifecycle::{BootInstant, Fact, WhyEnd};

impl Manager {
    /// Begins to take evidence of a run.
    pub(super) fn examine(&mut self, key: &RunKey, why: WhyEnd, now: BootInstant) {
        if !self.may_end(key, why, now) {
            return;
        }
        let Self { services, world, tell, .. } = self;
        let Some(service) = services.run_mut(key) else { return };
        if why == WhyEnd::NotReady {
            service.tell(world, Kind::Decision, "not ready in time: restart".into());
        }
        let Some(subject) = service.to_examine(world, why, now) else {
            return service.unit.observe(now, Fact::Examined);
        };
        let (subject, because) = (Arc::new(subject), service.story.cause());
        let (of, about, tell) = (key.clone(), Arc::clone(&subject), tell.clone());
        // Fails only if the manager has ended.
        let done =
            move |evidence| drop(tell.send(Happened::Evidence { of, because, subject: about, evidence }));
        match take::take(&subject, done) {
            Ok(()) => {
                service.processes.taking = Some(Taking { because, subject, first: None, hurry: None });
            }
            Err(error) => {
                service.tell(world, Kind::Evidence, format!("no evidence: {error}"));
                service.unit.observe(now, Fact::Examined);
            }
        }
    }

    /// Handles the evidence of a run: asks for more where that is configured, else the run is told to end.
    pub(super) fn evidence_taken(
        &mut self,
        of: &RunKey,
        because: u64,
        subject: Arc<Subject>,
        evidence: Evidence,
        now: BootInstant,
    ) {
        let Some(service) = self.services.run_mut(of) else { return };
        // A run that has ended meanwhile is told already; the file has what was seen of it.
        if service.processes.run.as_ref().is_none_or(|run| run.incarnation != subject.incarnation) {
            return;
        }
        let waits = service.unit.is_examined();
        if let Some(taking) = service.processes.taking.as_mut().filter(|_| waits) {
            taking.first = Some(evidence.clone());
        } else {
            // It came too late for the run to wait, and is still what it was doing then.
            self.tell_evidence(&subject, because, &evidence, "");
            return;
        }
        if !self.ask_for_more(of, subject, evidence, now) {
            self.settle_evidence(of, "");
            self.examined(of, now);
        }
    }

    /// Asks what `stop.evidence` asks. Returns `false` if there is nothing to wait for.
    fn ask_for_more(
        &mut self,
        of: &RunKey,
        subject: Arc<Subject>,
        evidence: Evidence,
        now: BootInstant,
    ) -> bool {
        let Self { services, world, tell, .. } = self;
        let Some(service) = services.run_mut(of) else { return false };
        let Some(wanted) = service.spec.stop.evidence.clone() else { return false };
        let asked = service.ask_for_evidence(world, &wanted);
        let (hurry, woken) = mpsc::channel();
        let (of, tell, incarnation) = (of.clone(), tell.clone(), subject.incarnation);
        // Fails only if the manager has ended.
        let done = move |told| drop(tell.send(Happened::Told { of, incarnation, told }));
        match ask::hear(subject, evidence, asked, (hurry.clone(), woken), done) {
            Ok(()) => {
                if let Some(taking) = &mut service.processes.taking {
                    taking.hurry = Some(hurry);
                }
                service.unit.observe(now, Fact::Examining(wanted.timeout + ask::SLACK));
                true
            }
            Err(error @ (NotTaken::TooMany | NotTaken::Thread(_))) => {
                tracing::warn!(service = %service.name, %error, "stop.evidence is left out");
                false
            }
        }
    }

    /// Handles what was told besides. The file has it in any case.
    pub(super) fn evidence_told(&mut self, of: &RunKey, incarnation: u64, told: &str, now: BootInstant) {
        let service = self.services.run(of);
        if service.is_some_and(|service| {
            service.unit.is_examined()
                && service
                    .processes
                    .taking
                    .as_ref()
                    .is_some_and(|taking| taking.subject.incarnation == incarnation)
        }) {
            self.settle_evidence(of, told);
            self.examined(of, now);
        }
    }

    fn examined(&mut self, of: &RunKey, now: BootInstant) {
        if let Some(service) = self.services.run_mut(of) {
            service.unit.observe(now, Fact::Examined);
        }
    }

    /// Enters what is known until now into the journal, before the run is told to end or its end is told. Nobody waits
    /// for more.
    pub(super) fn settle_evidence(&mut self, of: &RunKey, told: &str) {
        let service = self.services.run_mut(of);
        let Some(taking) = service.and_then(|service| service.processes.taking.take()) else { return };
        if let Some(hurry) = taking.hurry {
            // Fails if nothing is waited for any more.
            let _ = hurry.send(ask::Wake::Hurry);
        }
        let Some(first) = taking.first else { return };
        let seq = self.tell_evidence(&taking.subject, taking.because, &first, told);
        if let Some(service) = self.services.run_mut(of)
            && service.story.cause() == taking.because
        {
            service.story.goes_on_from(seq);
        }
    }

    fn tell_evidence(&mut self, subject: &Subject, cause: u64, evidence: &Evidence, told: &str) -> u64 {
        self.world.dirty = true;
        let line = Happening::Evidence(evidence.telling.clone());
        self.world.incidents.note(&subject.service, subject.incarnation, cause, line);
        self.world.journal.add(Entry {
            cause,
            source: "supervisor",
            service: Some(&subject.service),
            incarnation: subject.incarnation,
            what: Detail::Evidence.into(),
            message: evidence.telling.clone(),
            evidence: evidence.text(told),
        })
    }
}
