//! Waking up at a time of the wall clock.

use std::time::{Duration, SystemTime};

/// Rings at a time of the wall clock. Nothing here tells that the clock was set: that is found out within a minute.
#[derive(Debug, Default)]
pub struct Alarm {
    at: Option<SystemTime>,
}

impl Alarm {
    /// Sets it; `None`: it does not ring.
    pub fn set(&mut self, at: Option<SystemTime>) {
        self.at = at;
    }

    /// Returns when it has rung, or to be set again.
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
