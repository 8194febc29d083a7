//! Everything that decodes bytes from outside, fed with bytes that nobody meant. `SERENO_FUZZ=1000000` feeds more.

use crate::mutate;

fn fed(name: &str, quick: u64) {
    mutate::fed(name, quick, supervisor::fuzz::feed);
}

#[test]
fn a_state_file() {
    fed("state", 20_000);
}

#[test]
fn a_write_ahead_log() {
    fed("wal", 20_000);
}

#[test]
fn a_journal() {
    fed("journal", 20_000);
}

#[test]
fn incidents() {
    fed("incidents", 20_000);
}

#[test]
fn an_index_of_times() {
    fed("index", 20_000);
}

#[test]
fn added_services() {
    fed("added", 2_000);
}

#[test]
fn an_applied_file() {
    fed("applied", 2_000);
}

#[test]
fn words_of_a_service() {
    fed("notify", 20_000);
}

#[test]
fn messages_of_anybody() {
    fed("wire", 20_000);
}

#[test]
fn every_target_has_a_test() {
    assert_eq!(supervisor::fuzz::TARGETS.len(), 9);
}
