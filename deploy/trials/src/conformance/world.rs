//! The target of the monitor: a page, a port, or options; healthy or failing as the test needs.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proto::v1;
use proto::v1::target::Spec;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::Failure;

/// State of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Well,
    Sick,
    /// Does not answer until the state changes.
    Held,
    /// Healthy, but for the checks up to this one, which were held.
    SickUpTo(usize),
}

/// Kind of target.
#[derive(Debug)]
pub(super) enum World {
    Page { port: u16, state: watch::Sender<State>, looks: Arc<AtomicUsize> },
    Port { port: u16, open: Option<AbortHandle>, looks: Arc<AtomicUsize> },
    Options { well: HashMap<String, String>, sick: Option<HashMap<String, String>>, is_sick: bool },
}

impl World {
    pub(super) async fn of(
        kind: &str,
        options: &[(String, String)],
        failing: &[(String, String)],
    ) -> Result<Self, Failure> {
        let looks = Arc::new(AtomicUsize::new(0));
        Ok(match kind {
            "http" => {
                let listener = TcpListener::bind("127.0.0.1:0").await?;
                let port = listener.local_addr()?.port();
                let state = watch::Sender::new(State::Well);
                tokio::spawn(serve(listener, state.subscribe(), Arc::clone(&looks)));
                Self::Page { port, state, looks }
            }
            "tcp" => {
                let listener = TcpListener::bind("127.0.0.1:0").await?;
                let port = listener.local_addr()?.port();
                let mut world = Self::Port { port, open: None, looks };
                world.accept(listener);
                world
            }
            _ => {
                let well: HashMap<_, _> = options.iter().cloned().collect();
                let mut sick = well.clone();
                sick.extend(failing.iter().cloned());
                Self::Options { well, sick: (!failing.is_empty()).then_some(sick), is_sick: false }
            }
        })
    }

    fn accept(&mut self, listener: TcpListener) {
        let Self::Port { open, looks, .. } = self else { return };
        let looks = Arc::clone(looks);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                looks.fetch_add(1, Ordering::Relaxed);
                drop(stream);
            }
        });
        *open = Some(task.abort_handle());
    }

    /// Returns the target's check in its wire form.
    pub(super) fn spec(&self) -> Spec {
        match self {
            Self::Page { port, .. } => Spec::Http(v1::HttpCheck {
                url: format!("http://127.0.0.1:{port}/health"),
                ..v1::HttpCheck::default()
            }),
            Self::Port { port, .. } => {
                Spec::Tcp(v1::TcpCheck { addresses: vec![format!("127.0.0.1:{port}")], owner: false })
            }
            Self::Options { well, sick, is_sick } => {
                let values = sick.as_ref().filter(|_| *is_sick).unwrap_or(well).clone();
                Spec::Options(v1::Options { values })
            }
        }
    }

    /// Changes the state. Returns `false` if this kind of target can not have it.
    pub(super) async fn be(&mut self, wanted: State) -> bool {
        match self {
            Self::Page { state, .. } => {
                state.send_replace(wanted);
                true
            }
            Self::Port { port, open, .. } => match wanted {
                State::Sick => {
                    if let Some(task) = open.take() {
                        task.abort();
                    }
                    // The task closes the port when it next runs.
                    while tokio::net::TcpStream::connect(("127.0.0.1", *port)).await.is_ok() {
                        tokio::task::yield_now().await;
                    }
                    true
                }
                State::Well if open.is_none() => {
                    let Ok(listener) = TcpListener::bind(("127.0.0.1", *port)).await else { return false };
                    self.accept(listener);
                    true
                }
                State::Well => true,
                State::Held | State::SickUpTo(_) => false,
            },
            Self::Options { sick, is_sick, .. } => {
                *is_sick = wanted == State::Sick;
                wanted == State::Well || (wanted == State::Sick && sick.is_some())
            }
        }
    }

    /// Whether its state can change under the same target.
    pub(super) fn changes_by_itself(&self) -> bool {
        !matches!(self, Self::Options { .. })
    }

    /// Returns how often it was checked, if that is known.
    pub(super) fn looks(&self) -> Option<usize> {
        match self {
            Self::Page { looks, .. } | Self::Port { looks, .. } => Some(looks.load(Ordering::Relaxed)),
            Self::Options { .. } => None,
        }
    }
}

async fn serve(listener: TcpListener, state: watch::Receiver<State>, looks: Arc<AtomicUsize>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let number = looks.fetch_add(1, Ordering::Relaxed) + 1;
        let mut state = state.clone();
        tokio::spawn(async move {
            // The content of the request does not matter.
            let _ = stream.read(&mut [0; 4096]).await;
            let settled = state.wait_for(|state| *state != State::Held).await.map(|state| *state);
            let is_sick = match settled {
                Ok(State::Sick) => true,
                Ok(State::SickUpTo(last)) => number <= last,
                _ => false,
            };
            let line = if is_sick { "503 Sick" } else { "200 OK" };
            let answer = format!("HTTP/1.1 {line}\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
            let _ = stream.write_all(answer.as_bytes()).await;
        });
    }
}
