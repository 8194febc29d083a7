//! The core's time: since boot, not since some `Instant` of this process, so that a deadline written down by one
//! supervisor means the same to the next.

use std::ops::Add;
use std::time::Duration;

/// A moment of this boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BootInstant(Duration);

impl BootInstant {
    /// So long after boot.
    pub const fn since_boot(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// How long after boot.
    pub const fn elapsed(self) -> Duration {
        self.0
    }

    /// How long after another moment; zero if before it.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for BootInstant {
    type Output = Self;
    fn add(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(wait))
    }
}
