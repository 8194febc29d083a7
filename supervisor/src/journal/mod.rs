//! The journal: every event with its cause, one line of JSON each, bounded, kept over restarts. Everything that tells
//! what happened reads these files; no event is shown before it is in them.
//!
//! | file | what it knows |
//! |---|---|
//! | `event` | what an event is |
//! | `detail` | what happened, typed |
//! | `numbers` | the number of the next event, which is never used twice |
//! | `segments` | which files there are, and which are too old |
//! | `writer` | the open journal, to which the manager adds |
//! | [`read`] | readers: a follower from a number on, the newest events, those of one service |
//! | [`chain`] | `why`: the causes behind one event |
//! | [`allowance`] | how many events a monitor may cause |

pub mod allowance;
pub mod chain;
mod detail;
mod event;
mod numbers;
pub mod read;
mod segments;
mod writer;

pub use detail::{Began, Changed, Detail, MonitorState, What};
pub use event::{Entry, Event, Kind};
pub(crate) use read::fuzz;
pub use writer::Journal;
