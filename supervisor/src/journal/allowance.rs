//! How many events a monitor may cause, so that a monitor with many messages does not push out the others.

use std::collections::BTreeMap;

use proto::Name;

use crate::lifecycle::BootInstant;

/// How many events at once and per minute: for each monitor, plus for each of its checks.
const BURST: f64 = 100.0;
const BURST_FOR_EACH_CHECK: f64 = 4.0;
const A_MINUTE: f64 = 6.0;
const A_MINUTE_FOR_EACH_CHECK: f64 = 1.0;

/// How many monitors are counted separately. Monitors that no file names are few at a time, but may use ever new names.
const MONITORS: usize = 256;

/// The remaining allowance of each monitor.
#[derive(Debug, Default)]
pub struct Allowances {
    by_monitor: BTreeMap<Name, Allowance>,
}

#[derive(Debug, Clone, Copy)]
struct Allowance {
    left: f64,
    at: BootInstant,
    left_out: u64,
}

/// Whether an event may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It may be written; tells how many were left out since the last one.
    Yes {
        /// The number of events left out.
        left_out: u64,
    },
    /// It is left out and counted.
    No,
}

impl Allowances {
    /// Takes one event from the allowance of a monitor that has `checks` checks.
    pub fn take(&mut self, monitor: &Name, checks: usize, now: BootInstant) -> Taken {
        #[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^52 checks")]
        let checks = checks as f64;
        let burst = BURST + BURST_FOR_EACH_CHECK * checks;
        if !self.by_monitor.contains_key(monitor) && self.by_monitor.len() >= MONITORS {
            self.by_monitor.clear();
        }
        let fresh = Allowance { left: burst, at: now, left_out: 0 };
        let allowance = self.by_monitor.entry(monitor.clone()).or_insert(fresh);
        let minutes = now.since(allowance.at).as_secs_f64() / 60.0;
        let earned = minutes * (A_MINUTE + A_MINUTE_FOR_EACH_CHECK * checks);
        (allowance.left, allowance.at) = ((allowance.left + earned).min(burst), now);
        if allowance.left < 1.0 {
            allowance.left_out += 1;
            return Taken::No;
        }
        allowance.left -= 1.0;
        Taken::Yes { left_out: std::mem::take(&mut allowance.left_out) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_chatterer_is_cut_short_and_says_how_much_was_left_out() {
        let name = Name::new("evil").expect("a name");
        let at = |seconds| BootInstant::since_boot(Duration::from_secs(seconds));
        let mut allowances = Allowances::default();
        let taken = (0..36_000).filter(|_| allowances.take(&name, 2, at(5)) != Taken::No).count();
        assert_eq!(taken, 108);
        let left_out = 36_000 - 108;
        assert_eq!(allowances.take(&name, 2, at(65)), Taken::Yes { left_out });
        let other = Name::new("good").expect("a name");
        assert_eq!(allowances.take(&other, 2, at(5)), Taken::Yes { left_out: 0 }, "each for itself");
    }
}
