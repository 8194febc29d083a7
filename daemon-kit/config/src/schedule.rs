//! `schedule = { … }`: a job, which runs at certain times and ends.

use std::time::Duration;

use super::cron::Cron;
use super::keys::{MISSED, OVERLAPS};
use super::problem::Wrong;
use super::reader::Reader;
use super::tree::{Node, Value};
use super::value::filled;

/// When a job runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// At these times.
    pub cron: Cron,
    /// What becomes of a time that comes while the last run still goes.
    pub overlap: Overlap,
    /// A run that takes longer has failed.
    pub timeout: Option<Duration>,
    /// Whether a time that nobody was there for is made up for, once.
    pub missed: bool,
}

/// `schedule.overlap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// It is passed over.
    Skip,
    /// It comes after the run, once however many there were.
    Queue,
    /// The run is ended for it.
    Kill,
}

/// Whether a service is a job.
pub(super) fn is_job(service: &Reader<'_>) -> bool {
    service.get("schedule").is_some_and(|node| !matches!(node.value, Value::Boolean(false)))
}

/// Reads the `schedule` of a service.
pub(super) fn read(service: &Reader<'_>) -> Option<Schedule> {
    if !is_job(service) {
        return None;
    }
    let table = service.sub("schedule")?;
    let overlap = table.choice("overlap", &OVERLAPS);
    let timeout = table.opt_duration("timeout");
    let missed = table.choice("missed", &MISSED);
    if table.get("cron").is_none() {
        table.lacks("needs cron: when it runs, such as \"0 3 * * *\"");
    }
    Some(Schedule { cron: times(&table)?, overlap, timeout, missed })
}

/// `cron` and the `timezone` it is meant in.
pub(super) fn times(table: &Reader<'_>) -> Option<Cron> {
    let zone = table.opt("timezone", filled);
    let line = |node: &Node| Cron::parse(&filled(node)?).map_err(|error| Wrong::from(error.to_string()));
    Some(table.opt("cron", line)?.in_zone(zone))
}
