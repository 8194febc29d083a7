//! What can be found out beside a run, off the path between an exit and the next start: who holds its port, and what it
//! said last.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use proto::Name;
use sereno_config::CheckSpec;

use super::{Happened, Manager};
use crate::journal::{Entry, Kind};
use crate::lifecycle::WhyEnd;
use crate::logs::{Which, last_lines};
use crate::os::{self, Stranger};
use crate::service::Service;
use crate::service::world::key;

/// Lines of stderr that are kept with an exit.
const LINES: usize = 20;

impl Manager {
    /// A run has begun: does somebody else have its port? Said at once, not after fifty crashes.
    pub(super) fn look_for_stranger(&mut self, name: &Name) {
        let Some(service) = self.services.get_mut(name) else { return };
        service.obstacle = None;
        let addresses = ports(service);
        if addresses.is_empty() {
            return;
        }
        let (incarnation, leader) = (service.unit.incarnation(), service.pid());
        let (key, own, instance) = (name.clone(), service.name.to_string(), self.world.instance.clone());
        let tell = self.tell.clone();
        tokio::task::spawn_blocking(move || {
            if let Some((port, stranger)) = os::stranger_on(&addresses, leader, &instance, &own) {
                // Fails only if the manager has ended.
                let _ = tell.send(Happened::Stranger { service: key, incarnation, port, stranger });
            }
        });
    }

    pub(super) fn stranger_found(&mut self, name: &Name, incarnation: u64, port: u16, stranger: &Stranger) {
        let Self { services, world, .. } = self;
        let Some(service) = services.get_mut(name) else { return };
        if service.unit.incarnation() != incarnation || service.unit.is_ready() {
            return;
        }
        let words = format!("port {port} is held by {stranger}");
        // It stands between the start and the exit, or, if that was faster, between the exit and the next start.
        let cause = if service.run.is_some() { service.began } else { service.cause };
        let seq = world.tell(service, Kind::Check, cause, words.clone());
        if service.unit.ends_because().is_none() || service.run.is_none() {
            service.cause = seq;
        }
        service.obstacle = Some(words);
        self.changes.grow();
    }

    /// A run has ended: what did it say last? `exit` is the event. Told only if nobody wanted it to end.
    pub(super) fn hear_last_words(&mut self, name: &Name, exit: u64, why: Option<WhyEnd>, up: Duration) {
        let Some(service) = self.services.get(name) else { return };
        let wanted = !matches!(why, None | Some(WhyEnd::Asked | WhyEnd::NotReady));
        let (owner, incarnation, tell) = (name.clone(), service.unit.incarnation(), self.tell.clone());
        // Asked before its successor is born, and so before that one can say anything.
        self.world.logs.last_lines(key(name, Which::Err), SystemTime::now() - up, move |said| {
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
            kind: Kind::Output,
            message: format!("{count} on stderr"),
            evidence: lines.join("\n"),
        });
    }
}

/// The ports of this host that it is to listen on, as far as its checks say so.
fn ports(service: &Service) -> Vec<SocketAddr> {
    let tcp = service.spec.checks.values().filter_map(|check| match &check.spec {
        CheckSpec::Tcp { addresses, .. } => Some(addresses),
        _ => None,
    });
    let numbers = tcp.flatten().filter_map(|address| address.parse::<SocketAddr>().ok());
    numbers.filter(|address| address.ip().is_loopback() || address.ip().is_unspecified()).collect()
}
