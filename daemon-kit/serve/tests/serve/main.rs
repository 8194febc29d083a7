//! Tests of real endpoints: sockets, TCP, TLS.
#![cfg(unix)]

mod access;
mod pki;
mod socket;
