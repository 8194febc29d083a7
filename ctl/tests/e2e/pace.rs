//! Who asks too fast is told so, and nobody else notices.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use proto::v1::StopRequest;
use proto::v1::supervisor_client::SupervisorClient;
use tonic::{Code, Request};

use crate::harness::{System, eventually, free_port};

/// Calls with this token as fast as they are answered, on eight connections, until it is told to end: calls that a viewer
/// may not make, which cost the daemon least, so that more come than are allowed on a slow machine too.
struct Flood {
    runtime: tokio::runtime::Runtime,
    ends: Arc<AtomicBool>,
    refused: Arc<AtomicU64>,
    /// Those that came in time, and were judged.
    granted: Arc<AtomicU64>,
}

impl Flood {
    fn begin(port: u16, token: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let (ends, refused, granted) = (Arc::default(), Arc::default(), Arc::default());
        let flood = Self { runtime, ends: Arc::clone(&ends), refused: Arc::clone(&refused), granted };
        let bearer = format!("Bearer {token}").parse::<tonic::metadata::MetadataValue<_>>().expect("ascii");
        for _ in 0..8 {
            let endpoint = tonic::transport::Endpoint::from_shared(format!("http://127.0.0.1:{port}"));
            let channel = {
                let _guard = flood.runtime.enter();
                endpoint.expect("a URI").connect_lazy()
            };
            for _ in 0..8 {
                let mut client = SupervisorClient::new(channel.clone());
                let (ends, refused, bearer) = (Arc::clone(&ends), Arc::clone(&refused), bearer.clone());
                let granted = Arc::clone(&flood.granted);
                flood.runtime.spawn(async move {
                    while !ends.load(Ordering::Relaxed) {
                        let mut request = Request::new(StopRequest::default());
                        request.metadata_mut().insert("authorization", bearer.clone());
                        match client.stop(request).await {
                            Err(status) if status.code() == Code::PermissionDenied => {
                                granted.fetch_add(1, Ordering::Relaxed)
                            }
                            Err(status) if status.code() == Code::ResourceExhausted => {
                                assert!(status.message().contains("try again in "), "{status}");
                                refused.fetch_add(1, Ordering::Relaxed)
                            }
                            _ => 0,
                        };
                    }
                });
            }
        }
        flood
    }

    fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_peer_that_asks_too_fast_is_told_so_and_costs_the_others_nothing() {
    let port = free_port();
    let system = System::new(&format!(
        "[supervisor]\nlisten = \"http://127.0.0.1:{port}\"\n[services.web]\ncommand = \"sleep 1000\"\n"
    ));
    for name in ["loud", "calm"] {
        let file = format!("{name}.token");
        system.ctl(&["token", "new", name, "--role", "viewer", "--output", &file]).succeeded();
    }
    let system = system.up();
    let endpoint = format!("http://127.0.0.1:{port}");
    let calm = || {
        let began = Instant::now();
        eventually("the calm one is answered", || {
            system.ctl(&["--endpoint", &endpoint, "--token-file", "calm.token", "status"]).code == 0
        });
        began.elapsed()
    };
    let near = || {
        let began = Instant::now();
        system.well();
        began.elapsed()
    };
    let best = |one: &dyn Fn() -> Duration| (0..5).map(|_| one()).min().unwrap_or_default();
    let before = (best(&near), best(&calm));

    let token = fs::read_to_string(system.path("loud.token")).expect("a token").trim().to_owned();
    let flood = Flood::begin(port, &token);
    eventually("the loud one is told", || flood.refused() > 100);
    let during = (best(&near), best(&calm));
    let (granted, refused) = (flood.granted.load(Ordering::Relaxed), flood.refused());
    drop(flood);
    eprintln!(
        "status {before:?} before, {during:?} during (socket, TCP); {granted} judged, {refused} too fast"
    );

    let guesses = Flood::begin(port, "sereno_0000");
    eventually("the guesser is told", || guesses.refused() > 100);
    calm();
    drop(guesses);
    let events = system.ctl(&["events"]).out;
    assert!(events.contains("refused token loud (127.0.0.1): too many calls"), "{events}");
    assert!(events.contains("too many calls that are refused (limit: 20 at once"), "{events}");
    system.down();
}
