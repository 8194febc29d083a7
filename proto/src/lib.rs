//! The contract between Sereno's daemons, and nothing else: no timers, no IO, no behaviour.
//!
//! | module | what it holds |
//! |---|---|
//! | [`v1`] | messages, clients and servers generated from `proto/sereno/v1/*.proto` |
//! | [`name`] | [`Name`]: the validation of service, monitor and check names, shared by all |
//! | [`time`] | durations and timestamps, from and to the wire, validated |
//! | [`endpoint`] | [`Endpoint`]: the address of a daemon, as a URI |
//! | [`role`] | [`Role`]: the permissions of a caller |
//! | [`bounds`] | limits on the size of message fields |
//! | [`codec`] | encodes and decodes messages, and enforces their limits |
//! | [`text`] | sanitizes text from outside for a terminal |
//! | [`detail`] | typed details of errors |
//! | `display` | names of wire enums for display |

#![forbid(unsafe_code)]

pub mod bounds;
pub mod codec;
pub mod detail;
mod display;
pub mod endpoint;
pub mod name;
pub mod role;
pub mod text;
pub mod time;

pub use endpoint::Endpoint;
pub use name::Name;
pub use role::Role;

/// Types, clients and servers of package `sereno.v1`.
pub mod v1 {
    mod generated {
        #![allow(clippy::all, clippy::pedantic, missing_docs, unreachable_pub)]
        tonic::include_proto!("sereno.v1");
    }
    pub use generated::*;
}

/// The same contract as a descriptor set, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sereno.v1.bin"));

/// Maximum size of a message that either side of the wire sends or accepts, in bytes.
pub const MAX_MESSAGE: usize = 4 * 1024 * 1024;

/// Interval of a monitor's reports while one of its targets is starting.
pub const REPORT_WHILE_STARTING: std::time::Duration = std::time::Duration::from_secs(2);

/// Deadline of a unary call.
pub const UNARY_DEADLINE: std::time::Duration = std::time::Duration::from_secs(5);
