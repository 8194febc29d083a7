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
//! | [`model`] | everything that is on the screen, and what an input changes of it |
//! | [`keys`] | what a key means |
//! | [`history`] | what was measured lately, for sparklines |
//! | [`draw`] | the model as cells |
//! | [`screen`] | the terminal: taken, and given back however this ends |
//! | [`feeds`] | where inputs come from |
//! | [`mod@run`] | the loop that joins them |

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
