//! Serves gRPC on a daemon's endpoints: authentication, permissions and limits.
//!
//! | module | what it holds |
//! |---|---|
//! | [`listen`], `tcp` | [`bind`] endpoints, and the identity of the peer |
//! | `malformed` | explains in words why a malformed call is reset |
//! | `connections`, `rate` | limits on connections, open calls and calls per second of a peer |
//! | [`access`], [`roles`], `auth_layer` | which caller may make which call |
//! | `log_throttle` | limits how often a refusal is logged |
//! | [`serve`] | gRPC on a listener, with health and reflection, drained within a time limit |
//! | [`page`] | one page over plain HTTP, for clients on this machine |
//! | `unix`, `windows` | endpoints of that system; the rest of the crate is independent of the system |
//!
//! A daemon's `main` does: settings, logging, [`bind`], build, [`serve::serve`]. Everything that can fail
//! comes before serving.

#![forbid(unsafe_code)]

pub mod access;
mod auth_layer;
mod budget;
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
