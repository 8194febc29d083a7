//! Feeds the decoders of a monitor with malformed bytes. `SERENO_FUZZ=1000000` sets how many.

use crate::mutate;

#[test]
fn a_set_of_targets() {
    mutate::fed("targets", 20_000, |_, bytes| sereno_monitor::fuzz::targets(bytes));
}
