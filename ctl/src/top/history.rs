//! Recent measurements, for sparklines.

use std::collections::VecDeque;

/// Number of measurements kept: one minute at one per second.
const KEPT: usize = 60;

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// One series of measurements.
#[derive(Debug, Default)]
pub(super) struct History(VecDeque<f64>);

impl History {
    /// Adds the newest measurement.
    pub(super) fn push(&mut self, value: f64) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(value);
    }

    /// Returns the newest measurements as bars, one column each. Values below `least` never fill a bar.
    pub(super) fn bars(&self, columns: usize, least: f64) -> String {
        let shown = self.0.iter().skip(self.0.len().saturating_sub(columns));
        let highest = shown.clone().copied().fold(least, f64::max);
        let bars: String = shown.map(|value| bar(value / highest)).collect();
        format!("{bars:>columns$}")
    }
}

fn bar(share: f64) -> char {
    // Each started eighth adds one step; NaN is drawn as empty.
    let eighth = (1..BARS.len()).find(|eighth| share <= f64::from(u8::try_from(*eighth).unwrap_or(8)) / 8.0);
    if share.is_nan() { BARS[0] } else { BARS[eighth.map_or(BARS.len() - 1, |eighth| eighth - 1)] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_grow_with_what_was_measured_and_the_oldest_goes() {
        let mut history = History::default();
        assert_eq!(history.bars(4, 1.0), "    ");
        for value in [0.0, 50.0, 100.0] {
            history.push(value);
        }
        assert_eq!(history.bars(4, 1.0), " ▁▄█");
        assert_eq!(history.bars(2, 1.0), "▄█");
        assert_eq!(history.bars(3, 800.0), "▁▁▁", "little is little");
        for _ in 0..100 {
            history.push(f64::NAN);
        }
        assert_eq!(history.bars(99, 1.0).trim(), "▁".repeat(KEPT));
    }
}
