//! Evidence about a run, gathered off the path between an exit and the next start: which process holds its port, and
//! what the run wrote last.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use proto::Name;
use sereno_config::CheckSpec;

use super::services::RunKey;
use super::{Happened, Manager};
use crate::journal::{Entry, Kind};
use crate::lifecycle::WhyEnd;
use crate::logs::{Which, last_lines};
use crate::os::{self, Stranger};
use crate::service::Service;
use crate::service::world::key;

/// How many lines of stderr are stored with an exit.
const LINES: usize = 20;

impl Manager {
    /// Looks whether another process holds the port of a run that has just begun, so that this is reported at once and
    /// not after fifty crashes.
    pub(super) fn look_for_stranger(&mut self, key: &RunKey) {
        let Some(service) = self.services.run_mut(key) else { return };
        service.health.obstacle = None;
        let addresses = ports(service);
        if addresses.is_empty() {
            return;
        }
        let (incarnation, leader) = (service.unit.incarnation(), service.processes.pid());
        let (key, instance) = (key.clone(), self.world.instance.clone());
        let tell = self.tell.clone();
        tokio::task::spawn_blocking(move || {
            if let Some((port, stranger)) = os::stranger_on(&addresses, leader, &instance, key.name.as_str())
            {
                // Fails only if the manager has ended.
                let _ = tell.send(Happened::Stranger { of: key, incarnation, port, stranger });
            }
        });
    }

    pub(super) fn stranger_found(&mut self, of: &RunKey, incarnation: u64, port: u16, stranger: &Stranger) {
        let Self { services, world, .. } = self;
        let Some(service) = services.run_mut(of) else { return };
        if service.unit.incarnation() != incarnation || service.unit.is_ready() {
            return;
        }
        let words = format!("port {port} is held by {stranger}");
        // The event belongs between the start and the exit or, if the exit was faster, between the exit and the next
        // start.
        let cause = if service.processes.run.is_some() { service.story.began } else { service.story.cause() };
        let seq = world.tell(service, Kind::Check, cause, words.clone());
        if service.unit.ends_because().is_none() || service.processes.run.is_none() {
            service.story.goes_on_from(seq);
        }
        service.health.obstacle = Some(words);
    }

    /// Reads the last output of a run that has ended. `exit` is the number of the exit's event. The lines are reported
    /// only if the end was not wanted.
    pub(super) fn hear_last_words(&mut self, of: &RunKey, exit: u64, why: Option<WhyEnd>, up: Duration) {
        let Some(service) = self.services.run(of) else { return };
        let wanted = !matches!(why, None | Some(WhyEnd::Asked | WhyEnd::NotReady));
        let (owner, incarnation, tell) = (of.name.clone(), service.unit.incarnation(), self.tell.clone());
        // Asked before the next run is spawned, and so before that run can write anything.
        self.world.logs.last_lines(key(&of.name, Which::Err), SystemTime::now() - up, move |said| {
            let lines = if wanted { Vec::new() } else { last_lines(&said.bytes, said.cut, LINES) };
            if !lines.is_empty() {
                // Fails only if the manager has ended.
                let _ = tell.send(Happened::LastWords { service: owner, incarnation, exit, lines });
            }
        });
    }

    pub(super) fn last_words(&mut self, name: &Name, incarnation: u64, exit: u64, lines: &[String]) {
        let count = if lines.len() == 1 { "last line".into() } else { format!("last {} lines", lines.len()) };
        self.world.journal.add(Entry {
            cause: exit,
            source: "supervisor",
            service: Some(name),
            incarnation,
            what: Kind::Output.into(),
            message: format!("{count} on stderr"),
            evidence: lines.join("\n"),
        });
    }
}

/// Returns the ports of this host that the service listens on, as far as its checks name them.
fn ports(service: &Service) -> Vec<SocketAddr> {
    let tcp = service.spec.checks.values().filter_map(|check| match &check.spec {
        CheckSpec::Tcp { addresses, .. } => Some(addresses),
        _ => None,
    });
    let numbers = tcp.flatten().filter_map(|address| address.parse::<SocketAddr>().ok());
    numbers.filter(|address| address.ip().is_loopback() || address.ip().is_unspecified()).collect()
}
