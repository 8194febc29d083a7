//! A whole monitor with a fake probe, against a fake supervisor over a real Unix socket.
#![cfg(unix)]

mod fuzz;
#[path = "../../../../fuzz/mutate.rs"]
mod mutate;
mod supervisor;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use proto::time::to_wire;
use proto::v1::monitor_client::MonitorClient;
use proto::v1::{CheckState, Decision};
use proto::{Endpoint, Name, v1};
use sereno_connect::lazy;
use sereno_monitor::{Check, Identity, Probe, RunError, Target, TargetError, Verdict};
use sereno_runtime::Shutdown;
use sereno_serve::bind;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tonic::Code;
use tonic::transport::Channel;

use supervisor::{Heard, Supervisor};

/// Longer than any step takes on a loaded machine.
const CEILING: Duration = Duration::from_secs(30);
const MS: Duration = Duration::from_millis(1);

/// A service that is healthy or failing as the test says.
#[derive(Debug, Clone, Default)]
struct Patient {
    sick: Arc<AtomicBool>,
    looks: Arc<AtomicU32>,
}

impl Patient {
    fn is(&self, sick: bool) {
        self.sick.store(sick, Ordering::SeqCst);
    }
}

impl Probe for Patient {
    const KINDS: &'static [&'static str] = &["fake"];
    type Check = Self;

    fn prepare(&self, _: &Target) -> Result<Self, TargetError> {
        Ok(self.clone())
    }
}

impl Check for Patient {
    async fn run(&mut self, _: &Target) -> Verdict {
        self.looks.fetch_add(1, Ordering::SeqCst);
        if self.sick.load(Ordering::SeqCst) { Verdict::errno("ECONNREFUSED") } else { Verdict::passing("ok") }
    }
}

/// Returns a target for incarnation 1 of `web`, checked every 20 ms, failing after 3 failures.
fn target() -> v1::Target {
    v1::Target {
        service: "web".into(),
        incarnation: 1,
        check: "port".into(),
        interval: Some(to_wire(MS * 20)),
        timeout: Some(to_wire(Duration::from_secs(5))),
        failures: 3,
        successes: 1,
        spec: Some(v1::target::Spec::Options(v1::Options::default())),
        ..v1::Target::default()
    }
}

fn is(state: CheckState) -> impl Fn(&v1::CheckResult) -> bool {
    move |result| result.state() == state
}

/// A monitor under test.
struct Subject {
    patient: Patient,
    shutdown: Shutdown,
    running: JoinHandle<Result<(), RunError>>,
    client: MonitorClient<Channel>,
}

impl Subject {
    fn begin(dir: &tempfile::TempDir, supervisor: &Endpoint) -> Self {
        let endpoint = Endpoint::unix(&dir.path().join("monitor.sock")).expect("a short path");
        let identity = Identity {
            credentials: sereno_connect::Credentials::default(),
            name: Name::new("fake-monitor").expect("a name"),
            kinds: Patient::KINDS,
            version: "1.2.3",
            session: "s1".into(),
            supervisor: supervisor.clone(),
            endpoint: endpoint.clone(),
        };
        let (patient, shutdown) = (Patient::default(), Shutdown::new());
        let listener = bind(&endpoint).expect("binds");
        let running =
            tokio::spawn(sereno_monitor::run(identity, patient.clone(), listener, shutdown.clone()));
        Self { patient, shutdown, running, client: MonitorClient::new(lazy(&endpoint)) }
    }

    async fn status(&mut self) -> v1::MonitorStatus {
        self.client.get_monitor_status(v1::GetMonitorStatusRequest {}).await.expect("answers").into_inner()
    }

    /// Waits until the status satisfies `what`.
    async fn shows(&mut self, what: impl Fn(&v1::MonitorStatus) -> bool) -> v1::MonitorStatus {
        let watching = async {
            let request = v1::WatchMonitorStatusRequest {};
            let mut stream = self.client.watch_monitor_status(request).await.expect("opens").into_inner();
            loop {
                let status = stream.message().await.expect("no error").expect("goes on");
                if what(&status) {
                    return status;
                }
            }
        };
        timeout(CEILING, watching).await.expect("in time")
    }

    async fn looks(&mut self, more: u32) {
        let until = self.patient.looks.load(Ordering::SeqCst) + more;
        let looks = Arc::clone(&self.patient.looks);
        self.shows(move |_| looks.load(Ordering::SeqCst) >= until).await;
    }

    async fn end(self) {
        self.shutdown.trigger();
        timeout(CEILING, self.running).await.expect("in time").expect("no panic").expect("well");
    }
}

#[tokio::test]
async fn reports_on_attach_and_on_news_and_else_not() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut supervisor = Supervisor::at(&dir);
    supervisor.begin();
    let mut subject = Subject::begin(&dir, &supervisor.endpoint);
    let attach = supervisor.hears_attach().await;
    assert_eq!(
        (attach.monitor.as_str(), attach.kind.as_str(), attach.session.as_str(), attach.version.as_str()),
        ("fake-monitor", "fake", "s1", "1.2.3")
    );
    assert_eq!(attach.pid, std::process::id());
    assert!(attach.endpoint.ends_with("monitor.sock"));
    let report = supervisor.hears_of(is(CheckState::Passing)).await;
    assert_eq!(
        (report.monitor.as_str(), report.session.as_str(), report.generation),
        ("fake-monitor", "s1", 1)
    );

    subject.looks(10).await;
    let heard = supervisor.heard_so_far();
    assert!(heard.is_empty(), "all is well and nothing is new: {heard:?}");

    subject.patient.is(true);
    let first = supervisor.hears_of(|result| result.failures == 1).await;
    assert_eq!(first.results[0].state(), CheckState::Passing, "the first failure at once");
    let flip = supervisor.hears_of(is(CheckState::Failing)).await;
    assert_eq!((flip.results[0].failures, flip.results[0].detail.as_str()), (3, "ECONNREFUSED"));
    subject.patient.is(false);
    supervisor.hears_of(is(CheckState::Passing)).await;
    subject.end().await;
}

#[tokio::test]
async fn what_is_starting_is_reported_again_and_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut supervisor = Supervisor::at(&dir);
    supervisor.sends(vec![v1::Target { starting: true, start_period: Some(to_wire(CEILING)), ..target() }]);
    supervisor.begin();
    let subject = Subject::begin(&dir, &supervisor.endpoint);
    subject.patient.is(true);
    for failures in [1, 2, 3] {
        let report = supervisor.hears_of(|result| result.failures >= failures).await;
        assert_eq!(
            report.results[0].state(),
            CheckState::Unknown,
            "evidence, and no verdict in the start period"
        );
    }
    subject.end().await;
}

#[tokio::test]
async fn asks_once_after_accepted_and_again_for_the_next_incarnation() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut supervisor = Supervisor::at(&dir);
    supervisor.begin();
    let mut subject = Subject::begin(&dir, &supervisor.endpoint);
    subject.patient.is(true);
    let ask = supervisor.hears_ask().await;
    assert_eq!((ask.service.as_str(), ask.check.as_str(), ask.incarnation), ("web", "port", 1));
    let evidence = ask.evidence.expect("evidence");
    assert_eq!((evidence.failures, evidence.errno.as_str()), (3, "ECONNREFUSED"));
    subject.looks(10).await;
    let heard = supervisor.heard_so_far();
    assert!(!heard.iter().any(|heard| matches!(heard, Heard::Ask(_))), "accepted is accepted: {heard:?}");
    supervisor.sends(vec![v1::Target { incarnation: 2, ..target() }]);
    assert_eq!(supervisor.hears_ask().await.incarnation, 2);
    subject.end().await;
}

#[tokio::test]
async fn asks_again_while_it_is_held_and_never_where_it_may_only_report() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut supervisor = Supervisor::at(&dir);
    supervisor.answers(Decision::HeldBudget);
    supervisor.begin();
    let mut subject = Subject::begin(&dir, &supervisor.endpoint);
    subject.patient.is(true);
    let failures = |ask: v1::RequestRestartRequest| ask.evidence.expect("evidence").failures;
    let first = failures(supervisor.hears_ask().await);
    let second = failures(supervisor.hears_ask().await);
    assert!(first >= 3 && second > first, "asked at further failed checks: {first}, {second}");

    supervisor.sends(vec![v1::Target { incarnation: 2, report_only: true, ..target() }]);
    supervisor.hears_of(|result| result.incarnation == 2 && result.state() == CheckState::Failing).await;
    supervisor.heard_so_far();
    subject.looks(10).await;
    let heard = supervisor.heard_so_far();
    assert!(!heard.iter().any(|heard| matches!(heard, Heard::Ask(_))), "{heard:?}");
    subject.end().await;
}

#[tokio::test]
async fn who_is_told_to_ask_less_asks_later_and_stays() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut supervisor = Supervisor::at(&dir);
    supervisor.refuses_reports(2);
    supervisor.begin();
    let mut subject = Subject::begin(&dir, &supervisor.endpoint);
    supervisor.hears_attach().await;
    // Two reports are refused, the third is taken: the monitor waits between them and loses no report.
    let began = Instant::now();
    supervisor.hears_of(|_| true).await;
    supervisor.hears_of(|_| true).await;
    supervisor.hears_of(is(CheckState::Passing)).await;
    assert!(began.elapsed() >= MS * 1_900, "the third came after {:?}", began.elapsed());

    supervisor.refuses_asks(1);
    subject.patient.is(true);
    supervisor.hears_ask().await;
    let refused = Instant::now();
    supervisor.hears_ask().await;
    assert!(refused.elapsed() >= MS * 900, "asked again after {:?}", refused.elapsed());
    subject.looks(10).await;
    let heard = supervisor.heard_so_far();
    let stays = |heard: &Heard| matches!(heard, Heard::Report(_));
    assert!(heard.iter().all(stays), "it attaches once, and asks no more once that is accepted: {heard:?}");
    subject.end().await;
}

#[tokio::test]
async fn a_lost_supervisor_stops_nothing_and_a_new_one_hears_everything() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut supervisor = Supervisor::at(&dir);
    supervisor.answers(Decision::HeldBrake);
    supervisor.begin();
    let mut subject = Subject::begin(&dir, &supervisor.endpoint);
    supervisor.hears_of(is(CheckState::Passing)).await;
    supervisor.end().await;
    let status = subject.shows(|status| !status.attached).await;
    assert!(!status.last_error.is_empty());

    // Probing goes on without a supervisor: the monitor sees the service fail.
    subject.patient.is(true);
    let status = subject.shows(|status| status.results.iter().any(is(CheckState::Failing))).await;
    assert!(!status.attached);
    supervisor.heard_so_far();
    supervisor.begin();
    supervisor.hears_attach().await;
    let report = supervisor.hears_of(|_| true).await;
    assert_eq!(report.results[0].state(), CheckState::Failing, "the first report says all");
    assert_eq!(supervisor.hears_ask().await.incarnation, 1);
    subject.shows(|status| status.attached).await;
    subject.end().await;
}

#[tokio::test]
async fn a_supervisor_that_hangs_holds_nobody() {
    let dir = tempfile::tempdir().expect("a folder");
    let endpoint = Endpoint::unix(&dir.path().join("hung.sock")).expect("a short path");
    // Listens but never accepts.
    let _hung = bind(&endpoint).expect("binds");
    let mut subject = Subject::begin(&dir, &endpoint);
    let status = subject.status().await;
    assert_eq!(
        (status.monitor.as_str(), status.kind.as_str(), status.attached),
        ("fake-monitor", "fake", false)
    );
    let error = subject.client.check_now(v1::CheckNowRequest { service: "web".into(), check: String::new() });
    assert_eq!(error.await.expect_err("no targets yet").code(), Code::NotFound);
    subject.end().await;
}

#[tokio::test]
async fn checks_now_when_asked_and_ends_its_streams_at_shutdown() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut supervisor = Supervisor::at(&dir);
    let hour = Some(to_wire(Duration::from_secs(3600)));
    supervisor.sends(vec![v1::Target { interval: hour, retry_interval: hour, ..target() }]);
    supervisor.begin();
    let mut subject = Subject::begin(&dir, &supervisor.endpoint);
    subject.shows(|status| status.attached && !status.results.is_empty()).await;
    for (sick, detail) in [(false, "ok"), (true, "ECONNREFUSED")] {
        subject.patient.is(sick);
        let request = v1::CheckNowRequest { service: "web".into(), check: "port".into() };
        let checked = subject.client.check_now(request).await.expect("answers").into_inner();
        assert_eq!(checked.results[0].detail, detail);
    }
    let empty = subject.client.check_now(v1::CheckNowRequest::default()).await.expect_err("refused");
    assert_eq!((empty.code(), empty.message()), (Code::InvalidArgument, "service: is empty"));

    let request = v1::WatchMonitorStatusRequest {};
    let mut stream = subject.client.watch_monitor_status(request).await.expect("opens").into_inner();
    let ended = tokio::spawn(async move { while let Ok(Some(_)) = stream.message().await {} });
    subject.end().await;
    timeout(CEILING, ended).await.expect("in time").expect("no panic");
}
