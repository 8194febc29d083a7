//! The monitor runtime.
