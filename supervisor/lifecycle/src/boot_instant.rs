//! The core's time, measured since boot and not by an `Instant` of this process, so that a deadline that a supervisor
//! has written down means the same to the next supervisor.

use std::ops::Add;
use std::time::Duration;

/// An instant of this boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BootInstant(Duration);

impl BootInstant {
    /// Creates an instant from the time since boot.
    pub const fn since_boot(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// Returns the time since boot.
    pub const fn elapsed(self) -> Duration {
        self.0
    }

    /// Returns the time since another instant; zero if this instant is earlier.
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
