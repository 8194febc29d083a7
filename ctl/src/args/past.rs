//! Arguments of the commands that tell what happened.

use std::time::Duration;

use clap::Args as Group;
use clap_complete::ArgValueCandidates;

use super::duration;
use crate::complete;

#[derive(Debug, Group)]
pub(crate) struct Why {
    /// Name of a service or daemon
    #[arg(value_name = "SERVICE", add = ArgValueCandidates::new(complete::everyone))]
    pub(crate) service: String,
    /// The restart that began this run [default: the last one]
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
    pub(crate) incarnation: u64,
    /// This incident, from its first evidence to its end (see `incidents`)
    #[arg(long, value_name = "ID", default_value_t = 0, hide_default_value = true)]
    #[arg(conflicts_with = "incarnation")]
    pub(crate) incident: u64,
    /// What the run was doing before it was ended [default: the last run that
    /// was judged]
    #[arg(long, conflicts_with = "incident")]
    pub(crate) evidence: bool,
}

#[derive(Debug, Group)]
pub(crate) struct Incidents {
    /// Only those of these services: names, globs, tag:x
    #[arg(value_name = "SERVICE", add = ArgValueCandidates::new(complete::services))]
    pub(crate) services: Vec<String>,
    /// Only those that were open within this time, such as 7d
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) since: Option<Duration>,
    /// Only those that are not over
    #[arg(long)]
    pub(crate) open: bool,
    /// The last so many
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 100)]
    pub(crate) lines: u32,
}

#[derive(Debug, Group)]
pub(crate) struct Events {
    /// Only those of this service or daemon
    #[arg(value_name = "SERVICE", add = ArgValueCandidates::new(complete::everyone))]
    pub(crate) service: Option<String>,
    /// Go on with what happens from now on
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// The last so many
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 100)]
    pub(crate) lines: u32,
}
