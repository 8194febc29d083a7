//! The whole `sereno.toml`.

pub mod model;

pub use model::*;
