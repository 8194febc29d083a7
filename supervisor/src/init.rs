//! Under an init system (`NOTIFY_SOCKET`): saying when this supervisor is ready, and that it still lives.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::os;

/// Says ready now, and then, from the loop that decides, alive twice in each `WATCHDOG_USEC`: a loop that hangs is
/// silent.
pub(crate) fn report(runtime: &tokio::runtime::Runtime) {
    let Ok(socket) = std::env::var("NOTIFY_SOCKET") else { return };
    let ready = format!("READY=1\nMAINPID={}", std::process::id());
    if let Err(error) = os::tell_init(&socket, &ready) {
        return tracing::warn!(%error, "the init system was not told: {socket} does not take it");
    }
    let own = std::env::var("WATCHDOG_PID").ok().is_none_or(|pid| pid == std::process::id().to_string());
    let within =
        std::env::var("WATCHDOG_USEC").ok().and_then(|time| time.parse().ok()).filter(|time| *time > 0);
    let Some(within) = within.filter(|_| own).map(Duration::from_micros) else { return };
    runtime.spawn(async move {
        let mut ticks = interval(within / 2);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if os::tell_init(&socket, "WATCHDOG=1").is_err() {
                return;
            }
        }
    });
}
