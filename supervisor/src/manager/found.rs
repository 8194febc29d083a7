//! What an earlier supervisor left: its state, the write-ahead log that continues it, and the running processes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use proto::Name;
use sereno_config::Config;
use sereno_config::Home;

use super::begin::Wanted;
use super::services::Services;
use crate::disk::state::{self, Entry, State};
use crate::disk::wal::{Paused, Replay, Wal};
use crate::lifecycle::saved::Saved;
use crate::lifecycle::{BootInstant, WhyEnd};
use crate::logs::Which;
use crate::os::pipe::Output;
use crate::os::{self, Born, Identity, Marked, Process, Scan, Silent, StoredFds};
use crate::service::Pause;

/// What an earlier supervisor left.
#[derive(Debug, Default)]
pub struct Found {
    pub(super) state: Option<State>,
    pub(super) replay: Replay,
    pub(super) marked: Vec<Marked>,
    /// The entries of `marked` with a mark that is trusted to say which process leads a run, and which run.
    pub(super) believed: Vec<Marked>,
    /// The processes that could not be looked at in time.
    pub(super) silent: Vec<Silent>,
    /// The last child that was started, as far as it wrote its pid down.
    pub(super) born: Born,
    pub(super) kept: StoredFds,
    pub(super) same_boot: bool,
}

impl Found {
    /// Reads the state, then the write-ahead log that continues it, then scans for running processes.
    pub(super) fn read(
        home: &Home,
        instance: &str,
        wanted: Wanted,
        born: Born,
        kept: StoredFds,
        config: &Config,
    ) -> std::io::Result<(Self, Wal)> {
        let (state_path, wal_path) = (state_path(home), home.run().join("wal"));
        let state = state::load(&state_path);
        let same_boot = state.as_ref().is_none_or(|state| state.boot == os::boot_id());
        let seq = state.as_ref().map_or(0, |state| state.seq);
        let (wal, replay) = Wal::open(&wal_path, seq)?;
        // Without a trace of an earlier supervisor there is nothing to look for; nor if the previous image of this
        // process has just written the whole state down.
        let nobody = state.is_none()
            && replay.runs.is_empty()
            && seq == 0
            && !state_path.with_extension("json.damaged").exists();
        // A process that overwrote its environment is known by the FIFO that it writes to; this is only looked up for
        // runs that have no other record.
        let unnamed = replay.runs.iter().filter(|(_, run)| run.identity.is_none());
        let fifos = unnamed.filter_map(|(service, _)| Name::new(service).ok()).flat_map(|service| {
            Which::BOTH.map(|which| {
                Some((Output::identity_of(&home.fifo(&service, which.word()))?, service.to_string()))
            })
        });
        let fifos = fifos.flatten().collect();
        let scan = if nobody || wanted == Wanted::HandedOver && state.is_some() {
            Scan::default()
        } else {
            os::scan(instance, &fifos)
        };
        let Scan { found: mut marked, silent } = scan;
        marked.extend(silent_newborn(&silent, &replay, born));
        let believed = believed(&marked, config);
        Ok((Self { state, replay, marked, believed, silent, born, kept, same_boot }, wal))
    }

    /// Reads the same and changes nothing: for looking at a home that nobody supervises.
    pub(super) fn peek(home: &Home, instance: &str, config: &Config) -> Self {
        let state = state::peek(&state_path(home));
        let same_boot = state.as_ref().is_none_or(|state| state.boot == os::boot_id());
        let seq = state.as_ref().map_or(0, |state| state.seq);
        let replay = Wal::peek(&home.run().join("wal"), seq);
        let marked = os::scan(instance, &BTreeMap::new()).found;
        let believed = believed(&marked, config);
        Self { state, replay, marked, believed, same_boot, ..Self::default() }
    }

    pub(super) fn entry(&self, name: &Name) -> Option<&Entry> {
        self.state.as_ref()?.services.get(name.as_str())
    }

    /// Returns the process that leads the run of a service, if it still does.
    pub(super) fn leader(&self, name: &Name) -> Option<(u64, Process)> {
        if !self.same_boot {
            return None;
        }
        let saved = self.entry(name).and_then(|entry| Some((entry.unit.incarnation, entry.process?)));
        let intended = self.replay.runs.get(name.as_str());
        match intended.map(|run| (run.incarnation, run.identity)) {
            Some((incarnation, Some(identity))) => self.take_hold(name, incarnation, identity),
            // The supervisor was killed between the spawn and the record after it: the child wrote its pid down itself.
            Some((incarnation, None)) => self.newborn(name, incarnation),
            None => saved
                .and_then(|(incarnation, identity)| self.take_hold(name, incarnation, identity))
                .or_else(|| self.state.is_none().then(|| self.marked_leader(name, 0)).flatten()),
        }
    }

    /// Returns a leader that lives, or that has ended meanwhile if an fd store can still tell its exit.
    pub(super) fn take_hold(
        &self,
        name: &Name,
        incarnation: u64,
        identity: Identity,
    ) -> Option<(u64, Process)> {
        let ended = || Some((incarnation, self.kept.process(name.as_str(), identity)?));
        adopt(incarnation, identity).or_else(ended)
    }

    /// Returns the child that was started last, if it lives and its pid is not another process by now.
    pub(super) fn newborn(&self, name: &Name, incarnation: u64) -> Option<(u64, Process)> {
        if !self.is_born_for(name) {
            return self.marked_leader(name, incarnation);
        }
        let is_it = |m: &&Marked| m.identity.pid == self.born.pid && m.service == name.as_str();
        let leader = self.believed.iter().find(is_it)?;
        adopt(incarnation, leader.identity)
    }

    /// Returns whether the birth record (a pid, or no child) belongs to the last intent of this service.
    pub(super) fn is_born_for(&self, name: &Name) -> bool {
        self.replay.runs.get(name.as_str()).is_some_and(|run| run.intent == self.born.intent)
    }

    /// Returns whether a start was intended, and the supervisor was killed before the child existed.
    pub(super) fn was_not_born(&self, name: &Name) -> bool {
        let run = self.replay.runs.get(name.as_str());
        self.is_born_for(name) && self.born.pid == 0 && run.is_some_and(|run| run.identity.is_none())
    }

    /// Returns the oldest process of the newest run that carries the mark: it started the others.
    pub(super) fn marked_leader(&self, name: &Name, incarnation: u64) -> Option<(u64, Process)> {
        let of_it = self
            .believed
            .iter()
            .filter(|m| m.service == name.as_str() && m.leads && m.incarnation >= incarnation);
        let leader =
            of_it.max_by_key(|m| (m.incarnation, std::cmp::Reverse((m.identity.start, m.identity.pid))))?;
        adopt(leader.incarnation, leader.identity)
    }

    /// Returns the last incarnation used for a run of a service.
    pub(super) fn last_incarnation(&self, name: &Name) -> u64 {
        let intended = self.replay.runs.get(name.as_str()).map_or(0, |run| run.incarnation);
        let beside = self.replay.beside.get(name.as_str()).copied().unwrap_or(0);
        let marked = self.believed.iter().filter(|m| m.service == name.as_str()).map(|m| m.incarnation);
        marked.max().unwrap_or(0).max(intended).max(beside)
    }

    /// Returns the saved state of a service, or the state to assume for a service that only the write-ahead log or its
    /// process shows.
    pub(super) fn saved(&self, name: &Name, runs: bool) -> Option<Saved> {
        let known = || (runs || self.last_incarnation(name) > 0).then(Saved::unknown);
        let saved = self.entry(name).map(|entry| entry.unit.clone()).or_else(known)?;
        let wanted = if self.is_to_stop(name) {
            // If it still runs it is stopped in its turn, after the services that depend on it.
            saved.wanted && runs && self.same_boot
        } else {
            self.want(name).unwrap_or(saved.wanted)
        };
        Some(Saved { wanted, ..saved })
    }

    /// Returns whether a person stopped it and received the answer.
    pub(super) fn is_to_stop(&self, name: &Name) -> bool {
        let waits = || self.entry(name).is_some_and(|entry| entry.stopping);
        self.want(name).map_or_else(waits, |up| !up)
    }

    /// Returns whether a person started it and no run has begun since.
    pub(super) fn is_to_begin(&self, name: &Name) -> bool {
        self.same_boot && self.replay.begins.contains(name.as_str())
    }

    /// Returns whether a reload of this run was requested, so that a new run must replace it.
    pub(super) fn is_to_reload(&self, name: &Name, incarnation: u64) -> bool {
        let asked = self.replay.reloads.get(name.as_str()) == Some(&incarnation);
        let under_way =
            || self.entry(name).is_some_and(|entry| entry.reloading && entry.unit.incarnation == incarnation);
        self.same_boot && (asked || under_way() && !self.replay.ends.contains_key(name.as_str()))
    }

    /// Returns why the run with this number was told to end so that another follows.
    pub(super) fn ending(&self, name: &Name, incarnation: u64) -> Option<WhyEnd> {
        let end = self.replay.ends.get(name.as_str()).filter(|_| self.same_boot);
        end.filter(|(of, _)| *of == incarnation).map(|(_, why)| (*why).into())
    }

    /// Returns the pause of a service, with its end; `None` if it is not paused.
    pub(super) fn pause(&self, name: &Name) -> Option<Pause> {
        let until = match self.replay.pauses.get(name.as_str()) {
            Some(Paused::No) => return None,
            Some(Paused::Until(until)) => *until,
            None => self.entry(name)?.paused?.until,
        };
        self.same_boot.then(|| Pause { until: until.map(BootInstant::since_boot) })
    }

    /// Returns whether a person cleared its counts since the checkpoint.
    pub(super) fn was_reset(&self, name: &Name) -> bool {
        self.replay.resets.contains(name.as_str())
    }

    /// Returns whether a person started or stopped it since the checkpoint, and which.
    fn want(&self, name: &Name) -> Option<bool> {
        self.replay.wants.get(name.as_str()).copied()
    }

    /// Returns whether a run was begun, or was about to be, since the checkpoint.
    pub(super) fn began_since(&self, name: &Name) -> bool {
        self.same_boot && self.replay.runs.contains_key(name.as_str())
    }

    /// Returns when a run became ready, as far as the write-ahead log says.
    pub(super) fn ready_at(&self, name: &Name, incarnation: u64) -> Option<BootInstant> {
        let run = self.replay.runs.get(name.as_str()).filter(|run| run.incarnation == incarnation);
        let of_run = run.and_then(|run| run.ready);
        let of_checkpoint = self.replay.ready.get(name.as_str()).filter(|(of, _)| *of == incarnation);
        of_run.or_else(|| of_checkpoint.and_then(|(_, at)| *at)).map(BootInstant::since_boot)
    }

    /// Returns processes of other runs than the run that continues under `leader`: a reload was under way.
    pub(super) fn other_runs<'a>(
        &'a self,
        name: &'a Name,
        incarnation: u64,
        leader: Identity,
    ) -> impl Iterator<Item = &'a Marked> {
        let of_it = self.marked.iter().filter(|marked| marked.service == name.as_str());
        of_it.filter(move |marked| {
            marked.identity != leader && marked.incarnation != 0 && marked.incarnation != incarnation
        })
    }

    /// Returns processes of services that no file names any more.
    pub(super) fn strays<'a>(&'a self, known: &'a Services) -> impl Iterator<Item = &'a Marked> {
        self.marked.iter().filter(|marked| known.get(marked.service.as_str()).is_none())
    }
}

/// Returns the child that was started last, if it does not answer: it wrote down itself whose it is. Its user must be the
/// one of the service, which [`is_believed`] judges.
fn silent_newborn(silent: &[Silent], replay: &Replay, born: Born) -> Option<Marked> {
    let (service, run) =
        replay.runs.iter().find(|(_, run)| run.intent == born.intent && run.identity.is_none())?;
    let Silent { identity, user } = *silent.iter().find(|silent| silent.identity.pid == born.pid)?;
    let user = Some(user?);
    Some(Marked { identity, service: service.clone(), incarnation: run.incarnation, leads: true, user })
}

fn believed(marked: &[Marked], config: &Config) -> Vec<Marked> {
    let mut users = BTreeMap::new();
    marked.iter().filter(|marked| is_believed(marked, config, &mut users)).cloned().collect()
}

/// Returns whether a mark is trusted to say which run a process leads. Only a process of this user, or of the service's
/// user, is trusted; any other mark is only good for ending the process. `users` holds the users that were looked up.
fn is_believed(marked: &Marked, config: &Config, users: &mut BTreeMap<String, Option<u32>>) -> bool {
    let Some(user) = marked.user.filter(|user| *user != os::own_ids().0) else { return true };
    let look_up = || {
        let spec = config.services.get(marked.service.as_str())?;
        sereno_config::account(spec.user.as_deref(), spec.group.as_deref()).ok()?.uid
    };
    *users.entry(marked.service.clone()).or_insert_with(look_up) == Some(user)
}

pub(super) fn state_path(home: &Home) -> PathBuf {
    home.state().join("state.json")
}

fn adopt(incarnation: u64, identity: Identity) -> Option<(u64, Process)> {
    Some((incarnation, Process::adopt(identity)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::wal::Intended;

    #[test]
    fn a_run_that_came_and_went_after_the_checkpoint_is_neither_forgotten_nor_doubled() {
        let name = Name::new("web").expect("a name");
        let mut found = Found { same_boot: true, ..Found::default() };
        assert!(found.saved(&name, false).is_none() && !found.began_since(&name), "never heard of");
        let run = Intended { incarnation: 3, identity: None, ready: None, intent: 9 };
        found.replay.runs.insert("web".into(), run);
        let saved = found.saved(&name, false).expect("it was wanted up");
        assert!(saved.wanted && found.began_since(&name));
        found.replay.wants.insert("web".into(), false);
        assert!(!found.saved(&name, false).expect("known").wanted, "a person stopped it in the last moment");
        found.same_boot = false;
        assert!(!found.began_since(&name), "a reboot has swept it");
    }
}
