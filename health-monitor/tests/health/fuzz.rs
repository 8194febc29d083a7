//! Answers that nobody meant, for the code that reads them. `SERENO_FUZZ=1000000` feeds more.

use crate::mutate;

fn fed(name: &str, quick: u64) {
    mutate::fed(name, quick, health_monitor::fuzz::feed);
}

#[test]
fn answers_that_nobody_meant() {
    fed("http", 20_000);
}

#[test]
fn every_target_has_a_test() {
    assert_eq!(health_monitor::fuzz::TARGETS.len(), 1);
}
