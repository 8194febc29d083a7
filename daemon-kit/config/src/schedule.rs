//! Reads `schedule`: a job, which runs at certain times and ends.

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
    /// Times at which it starts.
    pub cron: Cron,
    /// What happens at a time when the previous run has not ended.
    pub overlap: Overlap,
    /// Longest duration of a run; a longer run has failed.
    pub timeout: Option<Duration>,
    /// Whether times that passed without a supervisor are made up for, by one run.
    pub missed: bool,
}

/// What happens at a time when the previous run has not ended: `schedule.overlap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// The time is skipped.
    Skip,
    /// One more run starts after the previous one, for any number of times.
    Queue,
    /// The previous run is stopped for the new one.
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

/// Reads `cron` and its `timezone`.
pub(super) fn times(table: &Reader<'_>) -> Option<Cron> {
    let zone = table.opt("timezone", filled);
    let line = |node: &Node| Cron::parse(&filled(node)?).map_err(|error| Wrong::from(error.to_string()));
    Some(table.opt("cron", line)?.in_zone(zone))
}
