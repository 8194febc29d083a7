//! Wakes up at a wall-clock time: also after the host slept, and when the clock is set.

use std::os::fd::OwnedFd;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Rings at a wall-clock time, and whenever that clock is set.
#[derive(Debug, Default)]
pub struct Alarm {
    timer: Option<AsyncFd<OwnedFd>>,
    at: Option<SystemTime>,
}

impl Alarm {
    /// Sets the alarm; `None` turns it off. Needs a tokio runtime.
    pub fn set(&mut self, at: Option<SystemTime>) {
        if at == self.at {
            return;
        }
        if self.timer.is_none() {
            self.timer = make().map_err(|error| tracing::error!(%error, "making an alarm failed")).ok();
        }
        let Some(timer) = &self.timer else { return };
        let since = at.map(|at| at.duration_since(UNIX_EPOCH).unwrap_or_default());
        let nothing = Timespec { tv_sec: 0, tv_nsec: 0 };
        // A time of zero would turn the timer off.
        let value = since.map_or(nothing, |since| Timespec {
            tv_sec: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(since.subsec_nanos().max(1)),
        });
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        match timerfd_settime(timer, flags, &Itimerspec { it_interval: nothing, it_value: value }) {
            Ok(_) => self.at = at,
            Err(error) => tracing::error!(%error, "setting the alarm failed"),
        }
    }

    /// Returns when the alarm has rung; it must be set again.
    pub async fn rung(&mut self) {
        let Some(timer) = &self.timer else { return std::future::pending().await };
        loop {
            let Ok(mut ready) = timer.readable().await else { return std::future::pending().await };
            let mut count = [0; 8];
            let read = ready.try_io(|timer| rustix::io::read(timer, &mut count).map_err(Into::into));
            // An error counts as a ring too: the clock was set.
            if read.is_ok() {
                self.at = None;
                return;
            }
        }
    }
}

fn make() -> std::io::Result<AsyncFd<OwnedFd>> {
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    let timer = timerfd_create(TimerfdClockId::Realtime, flags)?;
    // SAFETY: an owned descriptor stays the same open file until the `AsyncFd` drops it.
    Ok(unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) }?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn it_rings_once_at_its_time_and_not_when_it_is_put_off() {
        let mut alarm = Alarm::default();
        assert!(tokio::time::timeout(Duration::from_millis(20), alarm.rung()).await.is_err(), "never set");
        alarm.set(Some(SystemTime::now() + Duration::from_millis(50)));
        alarm.rung().await;
        assert!(tokio::time::timeout(Duration::from_millis(100), alarm.rung()).await.is_err(), "once");
        alarm.set(Some(SystemTime::now() + Duration::from_millis(50)));
        alarm.set(None);
        assert!(tokio::time::timeout(Duration::from_millis(200), alarm.rung()).await.is_err(), "put off");
        // A time in the past rings at once.
        alarm.set(Some(UNIX_EPOCH));
        alarm.rung().await;
    }
}
