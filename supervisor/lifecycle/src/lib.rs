//! The pure core: what a service is doing, what must be done next, and whether a monitor gets the restart it asks for.
//!
//! No clock, no IO, no async: `now` is an argument, facts come in, at most one [`Action`] goes out per poll, and
//! [`Unit::deadline`] says when to poll again even if nothing happens. What is *wanted* is separate from what *is*;
//! there is no state "restarting", only a run that ends while the service is wanted up.
//!
//! ```text
//!            start                gate open, wait over            all of `ready`
//!  Idle ───────────────▶ Due ───────────────────▶ Alive (starting) ─────────▶ Alive (running)
//!   ▲  stopped            ▲  waiting: gate closed     │    │                      │    │
//!   │  completed          │  backoff: wait not over   │    └── exit ──────┐       │    └── exit ──┐
//!   │  failed             │                     stop, restart,           │  stop, restart,       │
//!   │                     │                     asked, not ready         │  asked                │
//!   │                     │                           ▼                  ▼       ▼               │
//!   │                     │                        Stopping ── exit ─▶ Sweeping ◀────────────────┘
//!   │                     │  wanted up, policy says again                │
//!   └─────────────────────┴──────────────────────────────────────────────┘  nothing of the run is left
//! ```
//!
//! A run that was judged (asked, not ready, too much memory) is first examined: [`Action::Examine`] comes before
//! [`Action::Terminate`], which follows with the answer, after a bounded time, or as soon as a person wants the end.
//!
//! | file | what it decides |
//! |---|---|
//! | [`boot_instant`] | the core's time: since boot, so that it can be written down |
//! | [`policy`] | how long to wait, and whether an end is a success |
//! | [`ready`] | whether a run is ready, stable, or too late |
//! | [`event`] | the inputs and outputs of a unit |
//! | `unit` | a service: what is wanted, what it is doing, what must be done next |
//! | [`saved`] | a unit written down and read back |
//! | [`deps`] | which services may start and which must stop first |
//! | [`arbiter`] | the answer to a request for a restart |
//! | [`case`] | that request, and the facts that the answer depends on |
//! | [`watchdog`] | whether a living run is frozen |
//! | [`recovery`] | how long a service did not serve |
//! | [`check_runs`] | how many checks ended how |
//! | [`tally`] | what is counted for the metrics |

#![forbid(unsafe_code)]

pub mod arbiter;
pub mod boot_instant;
pub mod case;
pub mod check_runs;
pub mod deps;
pub mod event;
pub mod policy;
pub mod ready;
pub mod recovery;
pub mod saved;
pub mod tally;
pub mod unit;
pub mod watchdog;

pub use boot_instant::BootInstant;
pub use event::{Action, Answer, Fact, Note, Request, State, WhyEnd};
pub use policy::Exit;
pub use ready::{CheckFact, Mark};
pub use unit::Unit;
