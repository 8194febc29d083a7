//! gRPC on an endpoint of a daemon: who may come in, what they may ask, and how much of it.
//!
//! | module | what it holds |
//! |---|---|
//! | [`listen`], `door` | [`bind`] endpoints, and who is at the other end |
//! | `malformed` | says in words why a malformed call is reset |
//! | `crowd`, `pace` | how many may be there, and who makes room; how fast they may ask |
//! | [`access`], [`roles`], `gate` | who may make which call; `calm`: and how often it is said that somebody may not |
//! | [`serve`] | gRPC on a listener, with health and reflection, drained within a ceiling |
//! | [`page`] | one page over plain HTTP, for whoever is on this machine |
//! | `unix`, `windows` | what an endpoint is on that system; nothing else here knows systems |
//!
//! A daemon's `main` is: settings, logging, [`bind`], build, [`serve::serve`]. What can fail comes before serving.

#![forbid(unsafe_code)]

pub mod access;
mod calm;
mod crowd;
mod door;
mod gate;
pub mod listen;
mod malformed;
mod pace;
pub mod page;
pub mod roles;
pub mod serve;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

pub use access::{Access, Caller};
pub use listen::{Insist, Listener, Origin, Peer, bind, bind_all};
pub use page::Page;
