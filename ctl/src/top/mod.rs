//! `top`: the live screen.
//!
//! ```text
//!  keys ───────┐                                  ┌─▶ draw (pure: model to cells)
//!  statuses ───┼─▶ Model::update ─▶ Wish ─▶ run ──┤
//!  log, why ───┘   (pure)                         └─▶ supervisor: start, stop, …; another log to follow
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`model`] | the state of the screen, and how inputs change it |
//! | [`keys`] | handles key presses |
//! | [`history`] | recent measurements, for sparklines |
//! | [`draw`] | draws the model as cells |
//! | [`screen`] | takes over the terminal, and restores it however the program ends |
//! | [`feeds`] | the sources of inputs |
//! | [`mod@run`] | the loop that connects them |

mod draw;
mod feeds;
mod history;
mod keys;
mod model;
mod run;
mod screen;

#[cfg(test)]
mod tests;

pub(crate) use run::run;
