//! Incidents: when a service did not serve, why, for how long, and what mended it.
//!
//! | file | what it knows |
//! |---|---|
//! | `incident` | what an incident is |
//! | `core` | which are open, and what opens and closes them; pure |
//! | [`file`](mod@file) | the file that holds them |
//! | [`outages`] | availability over time |

mod core;
pub mod file;
mod incident;
pub mod outages;

pub use self::core::{Change, Happening, Incidents, Occurrence};
pub use incident::{Cause, CauseKind, HealedBy, Incident, wall};
