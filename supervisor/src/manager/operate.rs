//! Handles requests of operators.

use proto::Name;
use sereno_config::Unmatched;

use super::Manager;
use super::command::{Command, Operation, Outcome, ReadFile, Selection, Unwritten};
use super::log_files::log_files;
use super::select::select;
use crate::disk::applied::OtherFile;
use crate::disk::wal::Wal;
use crate::incidents::Happening;
use crate::journal::{Detail, Entry, Kind, What};
use crate::lifecycle::arbiter::words;
use crate::lifecycle::{Answer, BootInstant, Fact, Request, State, deps};
use crate::os::{self, signal};
use crate::service::{Pause, Service};

impl Manager {
    /// Carries out a command. A caller that no longer waits gets no answer, but the command is carried out.
    pub(super) fn dispatch(&mut self, command: Command) {
        match command {
            Command::View(reply) => drop(reply.send(self.view())),
            Command::Operate { operation, selection, who, reply } => {
                drop(reply.send(self.operate(&operation, &selection, &who)));
            }
            Command::Plan(file, reply) => {
                self.follow_changes(os::now());
                drop(reply.send(self.plan(*file)));
            }
            Command::Apply { file, plan, start, replace, who, reply } => {
                let allowed = if replace { Ok(()) } else { self.holds_for(&file.source) };
                drop(reply.send(allowed.and_then(|()| self.apply(*file, &plan, start, &who))));
            }
            Command::Draft(new, reply) => drop(reply.send(self.draft(&new).map(Box::new))),
            Command::Add { new, who, reply } => drop(reply.send(self.add(new, &who))),
            Command::Remove { name, who, reply } => drop(reply.send(self.remove(name, &who))),
            Command::Attach(hello, reply) => drop(reply.send(self.attach(hello))),
            Command::Detach(id) => self.detach(id),
            Command::Targets(kind, reply) => {
                let generation = self.number_of_targets();
                drop(reply.send(self.target_set(&kind, generation)));
            }
            Command::Report(report, reply) => drop(reply.send(self.report(report))),
            Command::Ask(ask, reply) => {
                let answer = self.ask(&ask);
                if let Ok((ruling, _)) = &answer {
                    self.tally.decided(ruling.decision);
                }
                drop(reply.send(answer));
            }
            Command::Journal(reply) => {
                let journal = &mut self.world.journal;
                journal.flush();
                drop(reply.send(Unwritten { events: journal.unwritten(), next: journal.next_number() }));
            }
            Command::LogFiles(selection, reply) => {
                drop(reply.send(log_files(&self.services, &self.world.home, &selection)));
            }
            Command::Upgrade { binary, who, reply } => self.upgrade(binary, reply, &who),
            Command::Refused(line) => drop(self.world.tell_own(Detail::Refused, line)),
            Command::Shutdown { keep, who, reply } => {
                self.shut_down(keep, &who);
                // The shutdown happens even if the caller no longer waits.
                let _ = reply.send(());
            }
        }
    }

    fn operate(&mut self, operation: &Operation, selection: &Selection, who: &str) -> Vec<Outcome> {
        let refused =
            |service: String, message: String| Outcome { service, ok: false, message, incarnation: 0 };
        if self.going.is_some() {
            return vec![refused(selection.selectors.join(" "), "the supervisor is shutting down".into())];
        }
        let (names, unmatched) = select(&self.services, selection);
        let unmatched = unmatched
            .into_iter()
            .map(|selector| refused(selector.into(), Unmatched(selector.into()).to_string()));
        let now = os::now();
        let outcomes = names.iter().map(|name| self.operate_one(operation, name, who, now));
        outcomes.chain(unmatched).collect()
    }

    fn operate_one(&mut self, operation: &Operation, name: &Name, who: &str, now: BootInstant) -> Outcome {
        let service = self.services.get(name).expect("it was just selected");
        let incarnation = service.unit.incarnation();
        let outcome = |ok, message: String| Outcome { service: name.to_string(), ok, message, incarnation };
        let verb = match operation {
            Operation::Start => "start",
            Operation::Stop => "stop",
            Operation::Restart => "restart",
            Operation::Reload => "reload",
            Operation::Reset => "reset",
            Operation::Signal { .. } => "signal",
            Operation::Pause(_) => "pause",
            Operation::Resume => "resume",
        };
        let what = match operation {
            Operation::Signal { number, .. } => format!("{verb} {} by {who}", signal::name(*number)),
            Operation::Pause(Some(time)) => format!("{verb} for {} by {who}", words(*time)),
            _ => format!("{verb} by {who}"),
        };
        let by = || who.to_owned();
        let detail = match operation {
            Operation::Start | Operation::Restart | Operation::Reload => {
                Detail::Wanted { up: true, by: by() }.into()
            }
            Operation::Stop => Detail::Wanted { up: false, by: by() }.into(),
            _ => What::from(Kind::Operator),
        };
        let seq = self.world.tell(service, detail, 0, what);
        if !matches!(operation, Operation::Pause(_) | Operation::Resume) {
            service.note_happening(&mut self.world, Happening::Person);
        }
        if matches!(operation, Operation::Stop | Operation::Restart) {
            self.end_reload(name, &format!("{verb} by {who}"), now);
        }
        match operation {
            Operation::Start => self.start(name, seq, now, &outcome),
            Operation::Stop => self.stop(name, seq, now, &outcome),
            Operation::Restart => self.restart(name, seq, now, &outcome),
            Operation::Reload => self.reload(name, seq, now, &outcome),
            Operation::Reset => {
                let note = self.remember(name, Wal::reset);
                let service = self.service(name);
                service.request(Request::Reset, seq, now);
                service.health.ledger.clear();
                service.health.release();
                outcome(true, format!("reset{note}"))
            }
            Operation::Signal { number, main_only } => {
                let service = self.service(name);
                if service.processes.run.is_none() {
                    return outcome(false, "nothing runs".into());
                }
                match service.send(*number, *main_only) {
                    Ok(()) => outcome(true, format!("{} sent", signal::name(*number))),
                    Err(error) => outcome(false, format!("sending {}: {error}", signal::name(*number))),
                }
            }
            Operation::Pause(time) => {
                let until = time.map(|time| now + time);
                let note = self.remember(name, |wal, name| wal.pause(name, until));
                let service = self.service(name);
                service.pause = Some(Pause { until });
                service.unit.observe(now, Fact::Paused(true));
                outcome(true, format!("paused{note}"))
            }
            Operation::Resume => {
                let note = self.remember(name, Wal::resume);
                let service = self.service(name);
                let was = service.pause.take().is_some();
                service.unit.observe(now, Fact::Paused(false));
                outcome(true, format!("{}{note}", if was { "resumed" } else { "was not paused" }))
            }
        }
    }

    fn service(&mut self, name: &Name) -> &mut Service {
        self.services.get_mut(name).expect("it was just selected")
    }

    fn start(
        &mut self,
        name: &Name,
        seq: u64,
        now: BootInstant,
        outcome: &dyn Fn(bool, String) -> Outcome,
    ) -> Outcome {
        self.stop_queue.remove(name);
        let note = self.remember(name, Wal::start);
        let service = self.service(name);
        service.written.wanted |= note.is_empty();
        let answer = service.request(Request::Start, seq, now);
        let word = if answer == Answer::Already { "already up" } else { "starting" };
        outcome(true, format!("{word}{note}"))
    }

    fn stop(
        &mut self,
        name: &Name,
        seq: u64,
        now: BootInstant,
        outcome: &dyn Fn(bool, String) -> Outcome,
    ) -> Outcome {
        let is_up = |other: &&Name| self.services.get(*other).is_some_and(|service| service.unit.is_alive());
        let dependants: Vec<&str> =
            deps::dependants(&self.graph, name).filter(is_up).map(Name::as_str).collect();
        let note = match dependants[..] {
            [] => String::new(),
            _ => format!("; {} depends on it and stays up", dependants.join(", ")),
        };
        let service = self.service(name);
        let state = service.unit.state(now);
        if matches!(state, State::Stopped) {
            return outcome(true, "already stopped".into());
        }
        service.story.goes_on_from(seq);
        service.health.release();
        self.stop_queue.insert(name.clone());
        let forgotten = self.remember(name, |wal, name| wal.wanted(name, false));
        self.service(name).written.wanted &= !forgotten.is_empty();
        outcome(true, format!("stopping{note}{forgotten}"))
    }

    pub(super) fn restart(
        &mut self,
        name: &Name,
        seq: u64,
        now: BootInstant,
        outcome: &dyn Fn(bool, String) -> Outcome,
    ) -> Outcome {
        let pid = self.service(name).processes.pid();
        if let Err(error) = self.remember_restart(name)
            && pid != 0
        {
            return outcome(false, format!("it can not be written down, so pid {pid} goes on: {error}"));
        }
        self.stop_queue.remove(name);
        let answer = self.service(name).request(Request::Restart, seq, now);
        let word = if answer == Answer::Already { "already restarting" } else { "restarting" };
        outcome(true, word.into())
    }

    /// Begins the shutdown: every service is stopped, dependants first, the monitors last.
    pub(super) fn shut_down(&mut self, keep: bool, who: &str) {
        if self.going.is_some() {
            // A second `down` without keeping overrides the first: the services are stopped.
            self.going = self.going.map(|was| was && keep);
        } else {
            let what = if keep { "down, keeping services" } else { "down" };
            let seq = self.world.journal.add(Entry {
                cause: 0,
                source: "supervisor",
                service: None,
                incarnation: 0,
                what: Kind::Operator.into(),
                message: format!("{what} by {who}"),
                evidence: String::new(),
            });
            self.going = Some(keep);
            let ends = |service: &&mut Service| !keep || !service.is_users();
            for service in self.services.values_mut().filter(ends) {
                if service.unit.ends_because().is_none() {
                    service.story.goes_on_from(seq);
                }
            }
        }
        if !keep && let Err(error) = self.world.wal.down() {
            tracing::error!(%error, "writing the write-ahead log failed");
        }
        let all = self.services.values().filter(|service| !keep || !service.is_users());
        self.stop_queue.extend(all.map(|service| service.name.clone()));
        for second in self.services.runs_mut().filter(|service| service.is_second()) {
            second.unit.request(os::now(), Request::Stop);
        }
    }

    fn plan(&self, file: ReadFile) -> Result<super::command::Plan, super::command::ConfigError> {
        let ReadFile { source, config, .. } = file;
        let config = self.with_added(config)?;
        let mut plan = self.plan_for(&config, &source)?;
        let refused = |other| format!("{other}; \"up\" and \"apply\" refuse it without --replace");
        plan.notes.extend(self.holds_for(&source).err().map(refused));
        Ok(plan)
    }

    /// Refuses a file if another file is applied that still exists.
    fn holds_for(&self, source: &super::command::Source) -> Result<(), super::command::ConfigError> {
        OtherFile::judge(&self.about, &source.path, &self.world.home).map_err(Into::into)
    }
}
