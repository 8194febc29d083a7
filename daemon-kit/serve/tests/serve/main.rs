//! Endpoints as they really are: sockets, TCP, TLS.
#![cfg(unix)]

mod access;
mod pki;
mod socket;
