//! The chassis of a daemon: what stands around its own work, the same for all of them.
//!
//! | module | what it holds |
//! |---|---|
//! | `runtime` | [`runtime()`]: one thread, and a few for what blocks |
//! | [`settings`] | a daemon's own table: defaults < file < environment < flags |
//! | [`logging`] | `tracing` into a file that rotates itself and never blocks the daemon |
//! | [`shutdown`] | [`Shutdown`]: one switch that everything watches |
//! | [`listen`], `door` | [`bind`] endpoints, and who is at the other end |
//! | `malformed` | says in words why a malformed call is reset |
//! | `crowd`, `pace` | how many may be there, and who makes room; how fast they may ask |
//! | [`access`], [`roles`], `gate` | who may make which call; `calm`: and how often it is said that somebody may not |
//! | [`serve`] | gRPC on a listener, with health and reflection, drained within a ceiling |
//! | [`page`] | one page over plain HTTP, for whoever is on this machine |
//! | [`connect`] | a lazy channel to an endpoint |
//! | `init` | [`Init`]: saying to the init system that a daemon is ready, lives, and goes |
//! | `unix`, `windows` | what an endpoint is on that system; nothing else here knows systems |
//!
//! A daemon's `main` is: settings, logging, [`bind`], build, [`serve::serve`]. What can fail comes before serving.

pub mod access;
mod calm;
pub mod connect;
mod crowd;
mod door;
mod gate;
mod init;
pub mod listen;
pub mod logging;
mod malformed;
mod pace;
pub mod page;
pub mod roles;
mod runtime;
pub mod serve;
pub mod settings;
pub mod shutdown;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

pub use access::{Access, Caller};
pub use connect::Credentials;
pub use init::Init;
pub use listen::{Insist, Listener, Origin, Peer, bind, bind_all};
pub use page::Page;
pub use runtime::runtime;
pub use shutdown::Shutdown;
