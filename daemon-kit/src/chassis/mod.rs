//! The chassis of a daemon.
