//! Vocabulary of these tests: a target of a spec, and one look at it.

use std::net::SocketAddr;
use std::time::Duration;

use health_monitor::HealthProbe;
use health_monitor::probe::HealthCheck;
use proto::time::to_wire;
use proto::v1;
use proto::v1::target::Spec;
use sereno_monitor::{Check as _, Probe as _, Target, TargetError, Verdict};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

/// A target ready to be checked.
pub(crate) struct Ready {
    target: Target,
    check: HealthCheck,
}

impl Ready {
    /// Looks once.
    pub(crate) async fn look(&mut self) -> Verdict {
        self.check.run(&self.target).await
    }
}

/// Makes a target of a spec ready.
pub(crate) fn check(spec: Spec, timeout: Duration) -> Result<Ready, TargetError> {
    let target = Target::try_from(v1::Target {
        service: "web".into(),
        incarnation: 1,
        check: "health".into(),
        interval: Some(to_wire(timeout * 2)),
        timeout: Some(to_wire(timeout)),
        failures: 3,
        successes: 1,
        spec: Some(spec),
        ..v1::Target::default()
    })
    .expect("a good target but for its spec");
    let check = HealthProbe::new().prepare(&target)?;
    Ok(Ready { target, check })
}

/// Looks once at a target of a spec.
#[allow(dead_code, reason = "not every test looks only once")]
pub(crate) async fn look(spec: Spec, timeout: Duration) -> Result<Verdict, TargetError> {
    Ok(check(spec, timeout)?.look().await)
}

/// Answers each connection in its own way, once its request has come.
pub(crate) async fn serve<F>(answer: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("has one");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            tokio::spawn(answer(stream));
        }
    });
    address
}
