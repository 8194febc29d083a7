//! gRPC on an endpoint of a daemon: who may come in, what they may ask, and how much of it.
//!
//! | module | what it holds |
//! |---|---|
//! | [`listen`], `tcp` | [`bind`] endpoints, and who is at the other end |
//! | `malformed` | says in words why a malformed call is reset |
//! | `connections`, `rate` | how many connections and calls one peer may have, and how many calls a second |
//! | [`access`], [`roles`], `auth_layer` | who may make which call; `log_throttle`: how often a refusal is logged |
//! | [`serve`] | gRPC on a listener, with health and reflection, drained within a ceiling |
//! | [`page`] | one page over plain HTTP, for whoever is on this machine |
//! | `unix`, `windows` | what an endpoint is on that system; nothing else here knows systems |
//!
//! A daemon's `main` is: settings, logging, [`bind`], build, [`serve::serve`]. What can fail comes before serving.

#![forbid(unsafe_code)]

pub mod access;
mod auth_layer;
mod connections;
pub mod listen;
mod log_throttle;
mod malformed;
pub mod page;
mod rate;
pub mod roles;
pub mod serve;
mod tcp;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

pub use access::{Access, Caller};
pub use listen::{BindPolicy, Listener, Origin, Peer, bind, bind_all};
pub use page::Page;
