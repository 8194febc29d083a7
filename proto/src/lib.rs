//! The contract between Sereno's daemons, and nothing else: no timers, no IO, no behaviour.
//!
//! | module | what it holds |
//! |---|---|
//! | [`v1`] | messages, clients and servers generated from `proto/sereno/v1/*.proto` |
//! | [`name`] | [`Name`]: the one check of service, monitor and check names that all share |
//! | [`time`] | durations and timestamps, from and to the wire, checked |
//! | [`endpoint`] | [`Endpoint`]: where a daemon listens, as a URI |
//! | [`role`] | [`Role`]: what somebody may do |
//! | [`bounds`] | how large a field of a message may be |
//! | [`codec`] | encodes and decodes messages, and holds their bounds |
//! | [`text`] | text from outside that a person will read on a terminal |
//! | `display` | how enums of the wire are written for a person |

#![forbid(unsafe_code)]

pub mod bounds;
pub mod codec;
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

/// The largest message either side of the wire sends or accepts.
pub const MAX_MESSAGE: usize = 4 * 1024 * 1024;

/// How long a unary call may take before its caller gives up.
pub const UNARY_DEADLINE: std::time::Duration = std::time::Duration::from_secs(5);
