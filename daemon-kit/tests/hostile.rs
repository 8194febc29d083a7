//! The parser of the file, what a monitor is sent, and what proves who somebody is, fed with bytes that nobody meant.
//! `SERENO_FUZZ=1000000` feeds more.

#![cfg(all(feature = "file", feature = "monitor"))]

#[path = "../../fuzz/mutate.rs"]
mod mutate;

fn fed(name: &str, quick: u64) {
    mutate::fed(name, quick, daemon_kit::hostile::feed);
}

#[test]
fn a_file() {
    fed("config", 2_000);
}

#[test]
fn a_set_of_targets() {
    fed("targets", 20_000);
}

#[test]
fn a_file_of_tokens() {
    fed("tokens", 20_000);
}

#[test]
fn certificates_and_keys() {
    fed("pem", 5_000);
}

#[test]
fn every_target_has_a_test() {
    assert_eq!(daemon_kit::hostile::TARGETS.len(), 4);
}
