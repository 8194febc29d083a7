//! End to end on Windows: the real binaries and real processes, as a user would meet them. Built for Windows these
//! stories also run under wine, which is how CI tells them.
//!
//! | file | what it tells |
//! |---|---|
//! | `harness` | the vocabulary |
//! | `demo` | the demo's stack: healed from each fault, seen over all three daemons, and down |
//! | `trees` | everybody a service started goes with it; how it is asked to go |
//! | `guard` | a supervisor that is killed is back by itself, and nobody was touched |
//! | `ports` | whose a port is |
//! | `machine` | what Windows is told of us, and what it can not do |

#![cfg(windows)]
#![expect(
    clippy::disallowed_methods,
    reason = "the ceiling of a test is real time, and the commands are run as a person runs them"
)]

mod demo;
mod guard;
#[path = "../harness/mod.rs"]
mod harness;
mod machine;
mod ports;
mod trees;

/// Not a story: what this program does when a story has it started as a service.
#[test]
#[expect(clippy::print_stdout, reason = "a service as they come")]
fn plays_its_part() {
    let Ok(part) = std::env::var(harness::PART) else { return };
    println!("plays {part}");
    trees::play(&part);
}
