//! Tells the init system (`NOTIFY_SOCKET`, the `sd_notify` protocol) that a daemon is ready, alive, or stopping.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::Shutdown;

/// The init system that started this daemon.
#[derive(Debug)]
pub struct SdNotify {
    socket: String,
    /// Watchdog interval: the init system expects a sign of life within this time.
    within: Option<Duration>,
}

impl SdNotify {
    /// Reads the environment. Returns `None` if no init system expects notifications.
    pub fn of(env: &BTreeMap<OsString, OsString>) -> Option<Self> {
        let var = |name: &str| env.get(OsStr::new(name))?.to_str();
        let socket = var("NOTIFY_SOCKET").filter(|socket| !socket.is_empty())?.to_owned();
        let own = var("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let within = var("WATCHDOG_USEC").and_then(|time| time.parse().ok()).filter(|time| own && *time > 0);
        Some(Self { socket, within: within.map(Duration::from_micros) })
    }

    /// Sends `READY` now, `WATCHDOG` twice per watchdog interval, and `STOPPING` at the shutdown. Runs on
    /// the runtime that does the work, so a daemon that hangs sends nothing. Needs a tokio runtime.
    pub fn report(self, shutdown: Shutdown) {
        if let Err(error) = self.tell(&format!("READY=1\nMAINPID={}", std::process::id())) {
            return tracing::warn!(%error, "the init system was not told: {} does not take it", self.socket);
        }
        tokio::spawn(async move {
            tokio::select! {
                () = self.live() => {}
                () = shutdown.triggered() => {
                    // If this fails, the init system waits for the exit anyway.
                    let _ = self.tell("STOPPING=1");
                }
            }
        });
    }

    async fn live(&self) {
        let Some(within) = self.within else { return std::future::pending().await };
        let mut ticks = interval(within / 2);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.tell("WATCHDOG=1").is_err() {
                // The init system will kill us for the silence, or is gone itself.
                return std::future::pending().await;
            }
        }
    }

    #[cfg(unix)]
    fn tell(&self, text: &str) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        use std::os::linux::net::SocketAddrExt as _;
        use std::os::unix::net::{SocketAddr, UnixDatagram};
        let address = match self.socket.strip_prefix('@') {
            #[cfg(target_os = "linux")]
            Some(name) => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(&self.socket)?,
        };
        UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &address).map(drop)
    }

    #[cfg(not(unix))]
    fn tell(&self, text: &str) -> io::Result<()> {
        // No init system on this system uses this protocol.
        Err(io::Error::new(io::ErrorKind::Unsupported, format!("{text} to {}", self.socket)))
    }
}
