//! Tests of `TargetRegistry` and schedule together, in paused time, with a probe that the test answers for.

use std::sync::Arc;
use std::time::Duration;

use proto::time::to_wire;
use proto::v1;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, advance, timeout};

use super::board::{Snapshot, View};
use super::flip::State;
use super::probe::{Check, Probe, Verdict};
use super::registry::{Handle, Set, registry};
use super::self_check::NetworkProbe;
use super::target::{Target, TargetError};
use super::testing::wire;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);

/// A check in flight; the probe waits for the test's answer.
#[derive(Debug)]
pub(super) struct Look {
    at: Instant,
    service: String,
    incarnation: u64,
    answer: oneshot::Sender<Verdict>,
}

impl Look {
    fn answer(self, verdict: Verdict) {
        let _ = self.answer.send(verdict);
    }
    fn pass(self) {
        self.answer(Verdict::passing("ok"));
    }
    fn fail(self) {
        self.answer(Verdict::errno("ECONNREFUSED"));
    }
}

#[derive(Debug, Clone)]
pub(super) struct Fake(mpsc::UnboundedSender<Look>, Arc<Notify>);

impl Probe for Fake {
    const KINDS: &'static [&'static str] = &["fake"];
    type Check = Self;

    fn prepare(&self, target: &Target) -> Result<Self, TargetError> {
        match target.key.check.as_str() {
            "bad" => Err(TargetError::new("options", "makes no sense")),
            _ => Ok(self.clone()),
        }
    }
}

impl Check for Fake {
    async fn run(&mut self, target: &Target) -> Verdict {
        let (answer, verdict) = oneshot::channel();
        let look = Look {
            at: Instant::now(),
            service: target.key.service.to_string(),
            incarnation: target.incarnation,
            answer,
        };
        self.0.send(look).expect("the test listens");
        match verdict.await {
            Ok(verdict) => verdict,
            Err(_) => std::future::pending().await,
        }
    }

    async fn news(&mut self) {
        self.1.notified().await;
    }
}

struct Scene {
    registry: Handle,
    board: watch::Receiver<Arc<Snapshot>>,
    looks: mpsc::UnboundedReceiver<Look>,
    generation: u64,
    canary: watch::Sender<Option<String>>,
    news: Arc<Notify>,
}

impl Scene {
    async fn with(target: v1::Target) -> Self {
        let (sender, looks) = mpsc::unbounded_channel();
        let (canary, told) = watch::channel(None);
        let news = Arc::<Notify>::default();
        let (task, registry, board) = registry(Fake(sender, Arc::clone(&news)), NetworkProbe::Told(told));
        tokio::spawn(task.run());
        let mut scene = Self { registry, board, looks, generation: 0, canary, news };
        scene.set(vec![target]).await;
        scene
    }

    async fn set(&mut self, targets: Vec<v1::Target>) {
        self.set_of("home", targets).await;
    }

    async fn set_of(&mut self, instance: &str, targets: Vec<v1::Target>) {
        self.generation += 1;
        let wire = v1::WatchTargetsResponse {
            instance: instance.into(),
            generation: self.generation,
            targets,
            report_every: None,
        };
        self.registry.replace(Set { kind: "fake", received: Instant::now(), wire }).await;
    }

    /// Returns the next check; time advances until it comes.
    async fn look(&mut self) -> Look {
        timeout(S * 3600, self.looks.recv()).await.expect("a check within the hour").expect("the probe lives")
    }

    async fn no_look_for(&mut self, time: Duration) {
        assert!(timeout(time, self.looks.recv()).await.is_err(), "a check came");
    }

    /// Requests a check and returns the promise of its result.
    async fn ask(&self) -> oneshot::Receiver<Arc<View>> {
        let mut promised = self.registry.check_now("web".into(), String::new()).await.expect("a target");
        promised.remove(0).coming.expect("a check comes")
    }

    fn view(&self) -> Arc<View> {
        Arc::clone(&self.board.borrow().rows[0].view)
    }

    /// Waits until the board satisfies `what`.
    async fn shows(&mut self, what: impl Fn(&Snapshot) -> bool) {
        timeout(S * 3600, self.board.wait_for(|board| what(board)))
            .await
            .expect("shown")
            .expect("the registry lives");
    }

    async fn shows_failures(&mut self, failures: u32) {
        self.shows(|board| board.rows[0].view.failures == failures).await;
    }
}

fn starting() -> v1::Target {
    v1::Target { starting: true, ..wire("web", "port") }
}

#[tokio::test(start_paused = true)]
async fn a_starting_target_is_checked_at_once_and_then_less_and_less() {
    let began = Instant::now();
    let mut scene = Scene::with(starting()).await;
    let mut at = Vec::new();
    for _ in 0..8 {
        let look = scene.look().await;
        at.push(look.at - began);
        look.fail();
    }
    // Pauses of 250 ms, 500 ms, … up to the interval of 10 s.
    let expected = [0, 250, 750, 1750, 3750, 7750, 15_750, 25_750];
    for (at, expected) in at.iter().zip(expected) {
        let late = at.saturating_sub(MS * expected);
        assert!(*at >= MS * expected && late < MS * 20, "{at:?}, not {expected} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_result_tells_the_interval_that_its_check_has_now() {
    let mut scene = Scene::with(starting()).await;
    for (failures, expected) in [(1, 250), (2, 500), (3, 1000)] {
        scene.look().await.fail();
        scene.shows_failures(failures).await;
        let result = scene.view().to_wire(Instant::now());
        assert_eq!(result.every, Some(to_wire(MS * expected)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_ready_target_has_a_random_phase_and_its_interval() {
    let mut firsts = Vec::new();
    for _ in 0..60 {
        let began = Instant::now();
        let mut scene = Scene::with(wire("web", "port")).await;
        let first = scene.look().await;
        firsts.push(first.at - began);
        let mut last = first.at;
        first.pass();
        for _ in 0..3 {
            let look = scene.look().await;
            let pause = look.at - last;
            assert!(pause > S * 9 && pause < S * 11, "{pause:?}");
            last = look.at;
            look.pass();
        }
    }
    firsts.sort();
    assert!(firsts[0] < S * 4 && firsts[59] > S * 6 && firsts[59] <= S * 10, "{firsts:?}");
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_it_is_checked_again_sooner() {
    let mut scene = Scene::with(v1::Target { retry_interval: Some(to_wire(S)), ..wire("web", "port") }).await;
    let first = scene.look().await;
    let at = first.at;
    first.fail();
    let second = scene.look().await;
    let pause = second.at - at;
    assert!(pause > MS * 900 && pause < MS * 1100, "{pause:?}");
}

#[tokio::test(start_paused = true)]
async fn news_of_a_target_are_looked_at_before_it_is_due_but_not_without_end() {
    let mut scene = Scene::with(wire("web", "port")).await;
    scene.look().await.pass();
    scene.no_look_for(S).await;
    let heard = Instant::now();
    scene.news.notify_one();
    let look = scene.look().await;
    assert_eq!(look.at - heard, Duration::ZERO);
    look.fail();
    scene.shows_failures(1).await;
    scene.news.notify_one();
    assert_eq!(scene.look().await.at - heard, MS * 250);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_does_not_answer_is_abandoned_before_the_next_look() {
    let mut scene = Scene::with(wire("web", "port")).await;
    for failures in 1..=3 {
        let look = scene.look().await;
        assert!(!look.answer.is_closed());
        scene.shows_failures(failures).await;
        let view = scene.view();
        assert_eq!(view.verdict.evidence.errno, "ETIMEDOUT");
        assert_eq!(view.verdict.detail, "timed out after 1s");
        let late = (Instant::now() - look.at).saturating_sub(S);
        assert!(late < MS * 20, "{late:?} after the time-out");
        assert!(look.answer.is_closed(), "nothing of it goes on");
    }
    assert_eq!((scene.view().state, scene.view().asks), (State::Failing, 1));
    scene.look().await.fail();
    scene.shows(|board| board.rows[0].view.asks == 2).await;
}

#[tokio::test(start_paused = true)]
async fn check_now_starts_a_check_or_joins_the_one_in_flight() {
    let mut scene = Scene::with(wire("web", "port")).await;
    scene.look().await.pass();
    let asked = Instant::now();
    let first = scene.ask().await;
    let second = scene.ask().await;
    let look = scene.looks.recv().await.expect("a check");
    assert!(look.at - asked < MS * 20, "at once");
    let third = scene.ask().await;
    look.fail();
    for promise in [first, second, third] {
        assert_eq!(promise.await.expect("kept").failures, 1);
    }
    assert!(scene.looks.try_recv().is_err(), "one check for all three");
    assert!(scene.registry.check_now("web".into(), "health".into()).await.is_none());
    assert!(scene.registry.check_now("other".into(), String::new()).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_does_not_run_is_not_probed() {
    let mut scene = Scene::with(v1::Target { incarnation: 0, ..wire("web", "port") }).await;
    scene.no_look_for(S * 600).await;
    assert_eq!(scene.view().state, State::Unknown);
    scene.set(vec![wire("web", "port")]).await;
    scene.look().await.pass();
    scene.shows(|board| board.rows[0].view.state == State::Passing).await;
    scene.set(vec![]).await;
    scene.no_look_for(S * 600).await;
}

#[tokio::test(start_paused = true)]
async fn ready_keeps_the_count_and_a_new_incarnation_does_not() {
    let mut scene = Scene::with(starting()).await;
    scene.look().await.pass();
    scene.look().await.fail();
    scene.shows_failures(1).await;
    scene.set(vec![wire("web", "port")]).await;
    assert!(!scene.board.borrow().any_starting());
    scene.look().await.fail();
    scene.shows_failures(2).await;

    let old = scene.look().await;
    scene.set(vec![v1::Target { incarnation: 2, ..wire("web", "port") }]).await;
    assert_eq!((scene.view().state, scene.view().failures), (State::Unknown, 0));
    old.fail();
    let look = scene.look().await;
    assert_eq!(look.incarnation, 2);
    look.fail();
    scene.shows(|board| board.rows[0].view.ended.is_some()).await;
    assert_eq!(
        (scene.view().incarnation, scene.view().failures),
        (2, 1),
        "the old run's last check is not counted"
    );
}

#[tokio::test(start_paused = true)]
async fn another_spec_or_another_home_counts_anew() {
    let mut scene = Scene::with(wire("web", "port")).await;
    for change in ["interval", "home"] {
        scene.look().await.fail();
        scene.shows_failures(1).await;
        let target = v1::Target { interval: Some(to_wire(S * 20)), ..wire("web", "port") };
        let instance = if change == "home" { "another" } else { "home" };
        scene.set_of(instance, vec![target]).await;
        assert_eq!(scene.view().failures, 0, "{change}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_to_a_ready_run_gives_it_no_time_to_start() {
    let period = Some(to_wire(S * 3600));
    let mut late = Scene::with(v1::Target { start_period: period, ..wire("web", "port") }).await;
    for _ in 0..3 {
        late.look().await.fail();
    }
    late.shows(|board| board.rows[0].view.state == State::Failing).await;

    let mut early = Scene::with(v1::Target { start_period: period, ..starting() }).await;
    for _ in 0..3 {
        early.look().await.fail();
    }
    early.shows_failures(3).await;
    assert_eq!(early.view().state, State::Unknown, "its start period runs");
}

#[tokio::test(start_paused = true)]
async fn the_same_set_again_changes_nothing() {
    let mut scene = Scene::with(wire("web", "port")).await;
    scene.look().await.fail();
    scene.shows_failures(1).await;
    scene.set(vec![wire("web", "port")]).await;
    assert_eq!((scene.view().failures, scene.board.borrow().generation), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_can_not_be_checked_is_shown_and_harms_nobody() {
    let mut scene = Scene::with(wire("web", "bad")).await;
    let news = scene.board.borrow().news;
    assert!(news > 0, "the supervisor is told");
    let nameless = v1::Target { service: "../x".into(), ..wire("web", "port") };
    let late = v1::Target { timeout: None, ..wire("web", "late") };
    scene.set(vec![nameless, wire("web", "bad"), late, wire("web", "port")]).await;
    scene.look().await.pass();
    scene.shows(|board| board.rows.iter().any(|row| row.view.state == State::Passing)).await;
    let shown: Vec<_> = scene.board.borrow().rows.iter().map(|row| row.view.verdict.detail.clone()).collect();
    assert_eq!(
        shown,
        [
            "can not be checked: options: makes no sense",
            "can not be checked: timeout: is missing or zero",
            "ok"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_foreign_port_is_a_sure_failure_and_no_reason_to_ask() {
    let mut scene = Scene::with(wire("web", "port")).await;
    for _ in 0..5 {
        let look = scene.look().await;
        look.answer(Verdict { foreign: true, ..Verdict::failing("foreign pid 1 init") });
        scene.shows(|board| board.rows[0].view.state == State::Failing).await;
    }
    assert_eq!(scene.view().asks, 0);
}

#[path = "tests_self_check.rs"]
mod self_check;
