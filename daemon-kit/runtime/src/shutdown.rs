//! A shutdown switch that all tasks watch.

use std::io;
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _};
use tokio::sync::watch;

/// Tells every holder of a clone to shut down. Once triggered it stays triggered.
#[derive(Debug, Clone)]
pub struct Shutdown(Arc<watch::Sender<bool>>);

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    /// Creates an untriggered switch.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Triggers the switch; a second call does nothing.
    pub fn trigger(&self) {
        self.0.send_replace(true);
    }

    /// Whether it was triggered.
    pub fn is_triggered(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns once the switch is triggered, also if that was earlier. Cancel-safe.
    pub async fn triggered(&self) {
        // Fails only if the sender is gone, but `self` holds it.
        let _ = self.0.subscribe().wait_for(|triggered| *triggered).await;
    }

    /// Ends the stream at the shutdown: an open stream must not delay the daemon's exit.
    pub fn end<S: Stream>(&self, stream: S) -> impl Stream<Item = S::Item> + use<S> {
        let switch = self.clone();
        stream.take_until(async move { switch.triggered().await })
    }

    /// Triggers the switch on SIGINT and SIGTERM (on Windows on Ctrl-C) from now on. Needs a tokio runtime.
    pub fn on_signals(&self) -> io::Result<()> {
        let switch = self.clone();
        // The handlers are installed when this returns, so a signal before the task first runs is not lost.
        let mut signals = Signals::new()?;
        tokio::spawn(async move {
            let name = signals.next().await;
            tracing::info!("{name}: shutting down");
            switch.trigger();
        });
        Ok(())
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

#[cfg(windows)]
struct Signals {
    interrupt: tokio::signal::windows::CtrlC,
    close: tokio::signal::windows::CtrlBreak,
}

#[cfg(windows)]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: tokio::signal::windows::ctrl_c()?,
            close: tokio::signal::windows::ctrl_break()?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "Ctrl-C",
            _ = self.close.recv() => "Ctrl-Break",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_clone_hears_it_before_and_after() {
        let switch = Shutdown::new();
        let early = tokio::spawn({
            let switch = switch.clone();
            async move { switch.triggered().await }
        });
        assert!(!switch.is_triggered());
        switch.trigger();
        switch.trigger();
        early.await.expect("heard");
        switch.triggered().await;
        switch.clone().triggered().await;
        assert!(switch.is_triggered());
    }

    #[tokio::test]
    async fn a_stream_ends_with_it() {
        let switch = Shutdown::new();
        let mut stream = std::pin::pin!(switch.end(futures_util::stream::pending::<()>()));
        switch.trigger();
        assert_eq!(stream.next().await, None);
    }
}
