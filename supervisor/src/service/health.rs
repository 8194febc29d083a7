//! What is known of how well a service is: reports of monitors, their requests, and what the run says of itself.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};

use super::{Answers, Reports, Said};
use crate::lifecycle::BootInstant;
use crate::lifecycle::arbiter::{Decision, Fault, Ledger};

/// What is known of how well a service is.
#[derive(Debug, Default)]
pub struct Health {
    /// What monitors reported of its checks.
    pub reports: Reports,
    /// The restarts that monitors were granted, of all runs.
    pub ledger: Ledger,
    /// How requests about the current run were answered.
    pub answers: Answers,
    /// A requested restart that is held.
    pub held: Option<Held>,
    /// How many held restarts are held no longer: monitors that asked for them may ask again.
    released: u64,
    /// What the run reported over its notify socket.
    pub said: Said,
    /// Which process holds the port that it wants.
    pub obstacle: Option<String>,
}

impl Health {
    /// Forgets what is known of the last run, as another begins.
    pub(super) fn begin_run(&mut self) {
        self.reports.clear();
        self.answers.clear();
        self.release();
        self.said = Said::default();
    }

    /// Hashes everything that clients see of it.
    pub fn hash_into(&self, hash: &mut impl Hasher) {
        let held = self.held.as_ref().map(|held| (held.decision, &held.message, held.until));
        (self.reports.revision(), held, &self.said.status, self.said.stopping, &self.obstacle).hash(hash);
    }

    /// Forgets a held restart. Monitors are told to ask again if they still want it.
    pub fn release(&mut self) {
        self.released += u64::from(self.held.take().is_some());
    }

    /// Returns a number that grows whenever a held restart is held no longer.
    pub fn released(&self) -> u64 {
        self.released
    }

    /// Handles the end of a fault: a restart that was asked for because of it alone is no longer held.
    pub fn mended(&mut self, fault: &Fault) {
        if let Some(held) = &mut self.held {
            held.faults.remove(fault);
            if held.faults.is_empty() {
                self.release();
            }
        }
    }
}

/// A restart that was asked for and that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The answer that the request got.
    pub decision: Decision,
    /// What would release it.
    pub message: String,
    /// When asking again makes sense.
    pub until: Option<BootInstant>,
    /// The faults for which it was asked.
    pub faults: BTreeSet<Fault>,
    /// The number of the decision's event in the journal.
    pub seq: u64,
}
