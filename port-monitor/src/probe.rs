//! Connects, then evaluates the listener's entry in the system's socket table.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use sereno_monitor::{Check, Evidence, Probe, Spec, Target, TargetError, Verdict};
use sereno_sockets::{Listener, listeners};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::closed::{Closed, Hears};
use crate::connect::{addresses, any, is_local};
use crate::queue::{Queue, drains};
use crate::sockets::{Owner, Run, owner, pick};

/// Number of samples of a queue that does not seem to drain.
const LOOKS: u32 = 6;
/// Interval of these samples, or a tenth of the time-out if that is less.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Checks TCP ports.
#[derive(Debug, Default)]
pub struct PortProbe {
    closed: Closed,
}

/// The check of one port, with the state kept between checks.
#[derive(Debug)]
pub struct PortCheck {
    addresses: Vec<String>,
    /// The addresses that this machine's socket table knows: literal ones, or the one that answered last.
    local: BTreeSet<SocketAddr>,
    whose: bool,
    queue: Queue,
    known: Option<Known>,
    closed: Hears,
}

/// Ownership of a listener, determined once.
#[derive(Debug)]
struct Known {
    inodes: Vec<u64>,
    run: Run,
    owner: Owner,
    /// The listeners that the owner holds, if that is the service: others can listen on another address of the port.
    own: Vec<u64>,
}

impl Probe for PortProbe {
    const KINDS: &'static [&'static str] = &["tcp"];
    type Check = PortCheck;

    fn prepare(&self, target: &Target) -> Result<PortCheck, TargetError> {
        let Spec::Tcp(spec) = &target.spec else {
            return Err(TargetError::new("spec", "is not tcp"));
        };
        let addresses = addresses(&spec.addresses)?;
        let local = addresses
            .iter()
            .filter_map(|address| address.parse().ok())
            .filter(|at: &SocketAddr| is_local(at.ip()));
        let local = local.collect();
        Ok(PortCheck {
            addresses,
            local,
            whose: spec.owner,
            queue: Queue::default(),
            known: None,
            closed: self.closed.hear(),
        })
    }
}

impl Check for PortCheck {
    async fn run(&mut self, target: &Target) -> Verdict {
        let before = table(&self.local);
        let reached = match any(&self.addresses).await {
            Ok(reached) => reached,
            Err(failed) => {
                self.known = None;
                self.queue.forget();
                return failed;
            }
        };
        if !is_local(reached.ip()) {
            return Verdict::passing("unknown");
        }
        self.local.insert(reached);
        let after = table(&self.local);
        let whose = self.whose(&after, target).await;
        if let Owner::Foreign { pid, command } = whose {
            self.queue.forget();
            let evidence = Evidence { owner_pid: pid, owner_command: command.clone(), ..Evidence::default() };
            let detail = format!("foreign pid {pid} {command}");
            return Verdict { foreign: true, evidence, ..Verdict::failing(detail) };
        }
        let word = if whose == Owner::Own { "own" } else { "unknown" };
        match self.stalled(&before, &after, target).await {
            Some(waiting) => {
                // A frozen process may be replaced under the same port, so the owner is determined again.
                self.known = None;
                let noun = if waiting == 1 { "connection waits" } else { "connections wait" };
                Verdict { stalled: true, ..Verdict::failing(format!("{word}, stalled: {waiting} {noun}")) }
            }
            None => Verdict::passing(word),
        }
    }

    async fn news(&mut self) {
        self.closed.any_of(&self.local).await;
    }
}

impl PortCheck {
    /// Returns the owner of the listeners. It is determined again when the listeners or the run have changed.
    async fn whose(&mut self, listeners: &[Listener], target: &Target) -> Owner {
        if !self.whose || listeners.is_empty() {
            return Owner::Unknown;
        }
        let inodes: Vec<u64> = listeners.iter().map(|socket| socket.inode).collect();
        let run =
            Run { pid: target.pid, service: target.key.service.to_string(), incarnation: target.incarnation };
        if let Some(known) = self.known.as_ref().filter(|known| known.inodes == inodes && known.run == run) {
            return known.owner.clone();
        }
        let found = spawn_blocking({
            let (inodes, run) = (inodes.clone(), run.clone());
            move || {
                let whose = owner(&inodes, &run);
                let is_own = |inode: &u64| inodes.len() == 1 || owner(&[*inode], &run) == Owner::Own;
                let own = if whose == Owner::Own {
                    inodes.iter().copied().filter(is_own).collect()
                } else {
                    Vec::new()
                };
                (whose, own)
            }
        });
        // On a busy host the search may take longer than a check may. The owner then stays unknown this
        // time, and the port still counts as open.
        let Ok(found) = timeout(target.timeout / 2, found).await else { return Owner::Unknown };
        let (owner, own) = found.unwrap_or((Owner::Unknown, Vec::new()));
        // A foreign owner may exit at any time and pass its socket to the service.
        let stays = !matches!(owner, Owner::Foreign { .. });
        self.known = stays.then(|| Known { inodes, run, owner: owner.clone(), own });
        owner
    }

    /// Returns the number of connections that wait in a queue that does not drain.
    async fn stalled(&mut self, before: &[Listener], after: &[Listener], target: &Target) -> Option<u32> {
        let own = self.known.as_ref().map(|known| known.own.clone()).unwrap_or_default();
        let is_own = |socket: &&Listener| own.is_empty() || own.contains(&socket.inode);
        let inodes = |table: &[Listener]| -> Vec<u64> {
            table.iter().filter(is_own).map(|socket| socket.inode).collect()
        };
        let waiting = |table: &[Listener]| {
            table.iter().filter(is_own).map(|socket| socket.waiting).fold(0, u32::saturating_add)
        };
        let same = inodes(after);
        let mut last = waiting(after);
        let suspicious = inodes(before) == same && self.queue.suspicious(&same, waiting(before));
        let mut seen = vec![waiting(before), last];
        if suspicious {
            for _ in 0..LOOKS {
                if drains(&seen) {
                    break;
                }
                sleep(LOOK_AGAIN.min(target.timeout / 10)).await;
                last = waiting(&table(&self.local));
                seen.push(last);
            }
        }
        self.queue.note(same, last);
        (suspicious && !drains(&seen)).then_some(last)
    }
}

/// Returns the listeners of these addresses without duplicates, sorted by inode.
fn table(addresses: &BTreeSet<SocketAddr>) -> Vec<Listener> {
    if addresses.is_empty() {
        return Vec::new();
    }
    let all = listeners();
    let mut found: Vec<_> = addresses.iter().flat_map(|address| pick(*address, &all)).collect();
    found.sort_by_key(|socket| socket.inode);
    found.dedup_by_key(|socket| socket.inode);
    found
}
