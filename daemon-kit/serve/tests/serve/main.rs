//! Tests of real endpoints: sockets, TCP, TLS.
#![cfg(unix)]

mod access;
mod floods;
mod pki;
mod socket;
