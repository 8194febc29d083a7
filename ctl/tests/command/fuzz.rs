//! Files of a person or of another tool, fed with bytes that nobody meant. `SERENO_FUZZ=1000000` feeds more.

use crate::mutate;

fn fed(name: &str, quick: u64) {
    mutate::fed(name, quick, ctl::fuzz::feed);
}

#[test]
fn contexts() {
    fed("contexts", 5_000);
}

#[test]
fn a_file_of_pm2() {
    fed("import", 1_000);
}

#[test]
fn a_procfile() {
    fed("procfile", 1_000);
}

#[test]
fn every_target_has_a_test() {
    assert_eq!(ctl::fuzz::TARGETS.len(), 3);
}
