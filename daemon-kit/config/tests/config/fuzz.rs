//! The parser of the file, fed with bytes that nobody meant. `SERENO_FUZZ=1000000` feeds more.

use crate::mutate;

#[test]
fn a_file() {
    mutate::fed("config", 2_000, |_, bytes| sereno_config::fuzz::config(bytes));
}
