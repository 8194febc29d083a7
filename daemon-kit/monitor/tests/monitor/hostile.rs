//! What a monitor is sent, fed with bytes that nobody meant. `SERENO_FUZZ=1000000` feeds more.

use crate::mutate;

#[test]
fn a_set_of_targets() {
    mutate::fed("targets", 20_000, |_, bytes| sereno_monitor::hostile::targets(bytes));
}
