//! Which monitors are attached, and which callers may speak for a monitor.

use std::collections::BTreeSet;

use proto::Name;
use sereno_config::{GUARD, Monitor};
use tokio::sync::watch;

use super::Manager;
use super::command::{Hello, Speaker};
use crate::journal::{Detail, Kind, MonitorState, What};
use crate::lifecycle::BootInstant;
use crate::os;

/// The most open streams of monitors that no file names: enough to try some monitors, too few to fill `status` or
/// memory.
const UNCONFIGURED: usize = 16;

/// The supervisor's own name in the journal.
pub(super) const SUPERVISOR: &str = "supervisor";

/// Why a monitor's message is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MonitorError {
    /// No stream of this session is open.
    #[error("session: attach first, by WatchTargets with this session")]
    NotAttached,
    /// The caller may not use this monitor name.
    #[error("monitor: {who} is not {monitor}: {why}")]
    Impostor {
        /// The caller that sent the request.
        who: String,
        /// The monitor name that was claimed.
        monitor: Name,
        /// Why the caller may not use the name.
        why: &'static str,
    },
    /// The monitor is configured with other check kinds.
    #[error("kind: {monitor} serves {kinds} in the configuration, and not {kind:?}")]
    Kind {
        /// The monitor's configured name.
        monitor: Name,
        /// The kinds it is configured to serve.
        kinds: String,
        /// The kind it claimed to serve.
        kind: String,
    },
    /// No file names this monitor.
    #[error(
        "monitor: {0} is not configured: it may watch targets and no more until the file has [monitors.{0}]"
    )]
    Unconfigured(Name),
    /// No file names this monitor, and the limit for such streams is reached.
    #[error("monitor: {0} is not configured, and {UNCONFIGURED} streams of such monitors are open already")]
    TooMany(Name),
    /// The check belongs to another monitor.
    #[error("{field}: {service}/{check} is of the kind {kind:?}, which {monitor} does not serve")]
    NotItsCheck {
        /// The request field that named the check.
        field: &'static str,
        /// The service of the check.
        service: Name,
        /// The name of the check.
        check: Name,
        /// The kind of the check.
        kind: String,
        /// The monitor that named the check.
        monitor: Name,
    },
}

/// Returns whether a monitor may watch targets of a kind. A health-monitor that runs on another host asks for `exec`
/// too, and is given no targets of that kind.
fn serves(monitor: &Monitor, kind: &str) -> bool {
    let elsewhere = kind == "exec" && !monitor.managed && monitor.kinds.iter().any(|own| own == "http");
    elsewhere || monitor.kinds.iter().any(|own| own == kind)
}

/// A monitor with an open stream.
#[derive(Debug)]
pub(super) struct Attachment {
    pub(super) monitor: Name,
    pub(super) kind: String,
    pub(super) session: String,
    pub(super) endpoint: String,
    /// Why the monitor does not trust its own measurements.
    pub(super) blind: Option<String>,
    /// Ends the stream when a newer process of the monitor attaches.
    replaced: watch::Sender<bool>,
}

impl Manager {
    /// Opens a stream of a monitor. Returns its number, and a receiver that ends the stream when a newer process of the
    /// monitor attaches.
    pub(super) fn attach(&mut self, hello: Hello) -> Result<(u64, watch::Receiver<bool>), MonitorError> {
        self.identify(&hello.monitor, &hello.speaker)?;
        match self.config.monitors.get(&hello.monitor) {
            Some(monitor) if !serves(monitor, &hello.kind) => {
                let kinds = monitor.kinds.join(", ");
                return Err(MonitorError::Kind { monitor: hello.monitor, kinds, kind: hello.kind });
            }
            None if self.unconfigured().count() >= UNCONFIGURED => {
                return Err(MonitorError::TooMany(hello.monitor));
            }
            _ => {}
        }
        let (replaced, ends) = watch::channel(false);
        let id = self.attachments.keys().next_back().map_or(1, |last| last + 1);
        let known = self.is_attached(&hello.monitor);
        let mut taken_over = false;
        self.attachments.retain(|_, attachment| {
            let other_session = attachment.session != hello.session;
            let stays =
                attachment.monitor != hello.monitor || (!other_session && attachment.kind != hello.kind);
            if !stays {
                taken_over |= other_session;
                attachment.replaced.send_replace(true);
            }
            stays
        });
        let Hello { monitor, kind, session, endpoint, speaker } = hello;
        let (name, blind) = (monitor.clone(), None);
        self.attachments.insert(id, Attachment { monitor, kind, session, endpoint, blind, replaced });
        self.last_seen.remove(&name);
        if taken_over {
            self.tell_of_monitor(
                &name,
                Some(MonitorState::Attached),
                format!("taken over by a newer process ({})", speaker.who),
            );
        } else if !known {
            self.tell_of_monitor(&name, Some(MonitorState::Attached), "attached".into());
        }
        self.world.fd_stores.connect(name.as_str());
        self.watched_again(os::now());
        Ok((id, ends))
    }

    pub(super) fn detach(&mut self, id: u64) {
        let Some(attachment) = self.attachments.remove(&id) else { return };
        if !self.is_attached(&attachment.monitor) {
            if self.config.monitors.contains_key(&attachment.monitor) {
                self.last_seen.insert(attachment.monitor.clone(), os::now());
            }
            self.tell_of_monitor(&attachment.monitor, Some(MonitorState::Lost), "detached".into());
        }
        self.watched_again(os::now());
    }

    /// Checks whether the caller may use this monitor name.
    pub(super) fn identify(&self, monitor: &Name, speaker: &Speaker) -> Result<(), MonitorError> {
        let impostor =
            |why| Err(MonitorError::Impostor { who: speaker.who.clone(), monitor: monitor.clone(), why });
        if [SUPERVISOR, GUARD].contains(&monitor.as_str()) {
            return impostor("that is the name of the supervisor's own");
        }
        if let Some(name) = &speaker.name {
            return match self.config.monitors.get(monitor) {
                Some(Monitor { managed: true, .. }) => impostor("this supervisor runs it, on this machine"),
                _ if name != monitor => impostor("that takes a token or a certificate of this name"),
                _ => Ok(()),
            };
        }
        // Some systems do not tell the process of a connection: there the check of the user must do.
        let Some(pid) = speaker.pid else { return Ok(()) };
        if self.config.monitors.get(monitor).is_some_and(|monitor| monitor.managed) {
            if self.services.get(monitor).is_some_and(|own| own.processes.has(pid)) {
                return Ok(());
            }
            return impostor("this supervisor runs it, as another process");
        }
        let managed = self.config.monitors.iter().filter(|(_, other)| other.managed);
        let mut others = managed.filter_map(|(name, _)| self.services.get(name));
        if others.any(|other| other.processes.has(pid)) {
            return impostor("it runs as another monitor");
        }
        Ok(())
    }

    /// Returns the configuration of a monitor that names checks in an attached session, if it may.
    pub(super) fn attached_as(
        &self,
        monitor: &Name,
        session: &str,
        speaker: &Speaker,
    ) -> Result<&Monitor, MonitorError> {
        self.identify(monitor, speaker)?;
        if !self.attachments.values().any(|a| a.monitor == *monitor && a.session == session) {
            return Err(MonitorError::NotAttached);
        }
        self.config.monitors.get(monitor).ok_or_else(|| MonitorError::Unconfigured(monitor.clone()))
    }

    pub(super) fn is_attached(&self, monitor: &Name) -> bool {
        self.attachments.values().any(|attachment| attachment.monitor == *monitor)
    }

    /// Returns whether a monitor says that it cannot trust what it measures.
    pub(super) fn is_blind(&self, monitor: &Name) -> bool {
        self.attachments.values().any(|a| a.monitor == *monitor && a.blind.is_some())
    }

    /// Returns the streams of monitors that no file names.
    pub(super) fn unconfigured(&self) -> impl Iterator<Item = &Attachment> {
        self.attachments.values().filter(|a| !self.config.monitors.contains_key(&a.monitor))
    }

    /// Returns the check kinds that an attached, configured monitor serves now, and that does not doubt itself.
    pub(super) fn watched_kinds(&self) -> BTreeSet<String> {
        let trusted = |a: &&Attachment| a.blind.is_none() && self.config.monitors.contains_key(&a.monitor);
        self.attachments.values().filter(trusted).map(|a| a.kind.clone()).collect()
    }

    /// Returns how long a monitor has been detached; `None` if it is attached or never was.
    pub(super) fn silent_for(&self, monitor: &Name, now: BootInstant) -> Option<std::time::Duration> {
        self.last_seen.get(monitor).map(|at| now.since(*at))
    }

    /// Enters an event about a monitor itself into the journal, within the monitor's allowance of events.
    pub(super) fn tell_of_monitor(&mut self, monitor: &Name, state: Option<MonitorState>, message: String) {
        if self.may_cause_event(monitor) {
            let name = monitor.to_string();
            let what = state.map_or(What::from(Kind::Daemon), |state| Detail::Monitor { name, state }.into());
            self.world.tell_of(monitor.as_str(), what, message);
        }
    }
}
