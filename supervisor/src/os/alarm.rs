//! Wakes up at a wall-clock time.

use std::time::{Duration, SystemTime};

/// Rings at a wall-clock time. The system does not report that the clock was set: that is noticed within a minute.
#[derive(Debug, Default)]
pub struct Alarm {
    at: Option<SystemTime>,
}

impl Alarm {
    /// Sets the alarm; `None` turns it off.
    pub fn set(&mut self, at: Option<SystemTime>) {
        self.at = at;
    }

    /// Returns when the alarm has rung, or must be set again.
    pub async fn rung(&mut self) {
        const LONGEST: Duration = Duration::from_secs(60);
        match self.at {
            Some(at) => {
                let wait = at.duration_since(SystemTime::now()).unwrap_or_default();
                tokio::time::sleep(wait.min(LONGEST)).await;
            }
            None => std::future::pending().await,
        }
    }
}
