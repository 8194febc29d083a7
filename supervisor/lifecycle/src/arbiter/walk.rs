//! Ten thousand requests race with each other, with people, exits and readiness over a hundred incarnations: each
//! incarnation is restarted exactly once, and named invariants hold after every step.

use std::collections::BTreeMap;
use std::time::Duration;

use sereno_config::{Budget, Ready, RestartPolicy};

use super::super::unit::Unit;
use super::super::unit::testing::{check, name, policy, rules};
use super::super::{Action, BootInstant, Exit, Fact, Request, WhyEnd};
use super::{Case, Decision, Fault, HostBrake, Ledger, RestartRequest, Ruling, Standing, decide};

const INCARNATIONS: u64 = 100;
/// Requests for each incarnation, by four monitors that do not know of each other.
const REQUESTS: usize = 100;
const BUDGET: Budget = Budget { max: 5, within: Duration::from_secs(600) };
const WINDOW: Duration = Duration::from_secs(30);

/// Creates a request, which may arrive long after its incarnation has ended.
fn request(check: &str, incarnation: u64) -> RestartRequest {
    RestartRequest { monitor: Some(name("monitor")), fault: Fault::Check(name(check)), incarnation }
}

#[expect(clippy::struct_excessive_bools, reason = "reasons to say no, each on its own")]
/// Conditions that prevent a restart, besides the unit itself.
#[derive(Default)]
struct Weather {
    paused: bool,
    dependency_sick: bool,
    brake_holds: bool,
    budget_counts: bool,
}

struct Scene {
    unit: Unit,
    ledger: Ledger,
    host: HostBrake,
    weather: Weather,
    chance: fastrand::Rng,
    now: BootInstant,
    leader: bool,
    /// By incarnation: how many requests were accepted, which ends were handed out, and whether anything else may have
    /// ended it.
    accepted: BTreeMap<u64, u32>,
    ended: BTreeMap<u64, Vec<WhyEnd>>,
    spawned: Vec<u64>,
    answers: BTreeMap<Decision, u32>,
}

fn invariant_one_request_of_an_incarnation_is_accepted(scene: &Scene) {
    assert!(scene.accepted.values().all(|count| *count == 1), "{:?}", scene.accepted);
}

fn invariant_a_run_is_told_to_go_once(scene: &Scene) {
    assert!(scene.ended.values().all(|ends| ends.len() == 1), "{:?}", scene.ended);
}

fn invariant_only_what_was_accepted_ends_for_a_monitor(scene: &Scene, incarnation: u64, why: WhyEnd) {
    assert!(
        why != WhyEnd::Asked || scene.accepted.contains_key(&incarnation),
        "{incarnation} ended for nobody"
    );
}

fn invariant_who_judged_another_run_hurts_nobody(asked: u64, current: u64, ruling: &Ruling) {
    assert_eq!(
        ruling.decision == Decision::Stale,
        asked != current,
        "{ruling:?} of {asked}, {current} is current"
    );
}

fn invariant_incarnations_come_one_by_one(scene: &Scene, next: u64) {
    assert_eq!(next, scene.spawned.last().map_or(1, |last| last + 1), "one was started twice or skipped");
    assert!(!scene.leader, "a second process beside the first");
}

fn invariant_held_says_what_releases_it(ruling: &Ruling) {
    let word = match ruling.decision {
        Decision::HeldDependency => "dependency db",
        Decision::HeldBudget => "`ctl reset`",
        Decision::HeldBrake => "let through every",
        _ => return,
    };
    assert!(ruling.message.contains(word), "{ruling:?}");
}

impl Scene {
    fn new(seed: u64) -> Self {
        let conditions = ["port", "health"].map(|id| Ready::Check(name(id)));
        // Backoff is tested elsewhere; here restarts must follow each other closely.
        let restart = RestartPolicy {
            max: 1_000_000,
            initial: Duration::from_millis(10),
            max_wait: Duration::from_millis(50),
            ..policy()
        };
        let mut scene = Self {
            unit: Unit::new(rules(restart, conditions.to_vec()), seed),
            ledger: Ledger::default(),
            host: HostBrake::default(),
            weather: Weather::default(),
            chance: fastrand::Rng::with_seed(seed),
            now: BootInstant::since_boot(Duration::from_secs(1)),
            leader: false,
            accepted: BTreeMap::new(),
            ended: BTreeMap::new(),
            spawned: Vec::new(),
            answers: BTreeMap::new(),
        };
        scene.unit.request(scene.now, Request::Start);
        scene
    }

    fn run_until_quiet(&mut self) {
        while let Some(action) = self.unit.poll(self.now) {
            match action {
                Action::Spawn(incarnation) => {
                    invariant_incarnations_come_one_by_one(self, incarnation);
                    self.spawned.push(incarnation);
                    self.leader = true;
                    self.unit.observe(self.now, Fact::Spawned);
                }
                Action::Terminate(why) => {
                    let incarnation = self.unit.incarnation();
                    invariant_only_what_was_accepted_ends_for_a_monitor(self, incarnation, why);
                    self.ended.entry(incarnation).or_default().push(why);
                    invariant_a_run_is_told_to_go_once(self);
                }
                Action::Examine(_) => self.unit.observe(self.now, Fact::Examined),
                Action::Kill => assert!(self.leader, "a signal to the dead"),
                Action::Drain | Action::Sweep => {}
            }
        }
        self.unit.take_notes();
    }

    /// Makes one random event other than a request; only a run that is `about` is touched by people and crashes.
    fn something_happens(&mut self, about: u64) {
        self.now = self.now + Duration::from_millis(self.chance.u64(0..300));
        let current = self.unit.incarnation() == about && self.unit.is_started();
        match self.chance.u32(0..24) {
            0..8 => self.process_goes_on(),
            8..14 => self.report(true),
            14 if current => self.report(false),
            15 => self.weather.paused = self.chance.bool(),
            16 => self.weather.dependency_sick = self.chance.bool(),
            17 => self.weather.brake_holds = self.chance.bool(),
            18 if current && self.chance.u32(0..20) == 0 => {
                self.unit.request(self.now, Request::Restart);
            }
            19 if current && self.chance.u32(0..20) == 0 => self.exit(),
            // Two people act: the first stops it, the second starts it before it has ended.
            20 if current && self.chance.u32(0..20) == 0 => {
                self.unit.request(self.now, Request::Stop);
                self.unit.request(self.now, Request::Start);
            }
            _ => {}
        }
        self.run_until_quiet();
    }

    /// Ends the process that was told to end, and sweeps what it left behind, each after a random time.
    fn process_goes_on(&mut self) {
        if self.unit.ends_because().is_none() {
            return;
        }
        if self.leader {
            self.exit();
        } else {
            self.unit.observe(self.now, Fact::Drained);
            self.run_until_quiet();
            self.unit.observe(self.now, Fact::Swept);
        }
    }

    fn exit(&mut self) {
        self.leader = false;
        self.unit.observe(self.now, Fact::Exited(Exit::Code(1)));
    }

    fn report(&mut self, passing: bool) {
        for id in ["port", "health"] {
            self.unit.observe(self.now, Fact::Watched(name(id), true));
            self.unit.observe(self.now, Fact::Check(name(id), check(passing, self.now)));
        }
    }

    /// Delivers a request, and acts on the answer as the manager does.
    fn ask(&mut self, request: &RestartRequest) -> Ruling {
        let current = self.unit.incarnation();
        let standing = Standing {
            leaving: None,
            paused: self.weather.paused,
            start_period: Duration::from_secs(5),
            suspect: self.weather.dependency_sick.then(|| name("db")),
        };
        let case = Case::of(&self.unit, request, standing, self.now);
        let budget = if self.weather.budget_counts { BUDGET } else { Budget { max: u32::MAX, ..BUDGET } };
        let holds = self.weather.brake_holds.then(|| ("5 of 6 went bad".to_string(), WINDOW));
        let ruling = decide(&case, &mut self.ledger, budget, (&mut self.host, holds), self.now);
        invariant_who_judged_another_run_hurts_nobody(request.incarnation, current, &ruling);
        invariant_held_says_what_releases_it(&ruling);
        *self.answers.entry(ruling.decision).or_default() += 1;
        if ruling.decision == Decision::Accepted {
            *self.accepted.entry(current).or_default() += 1;
            invariant_one_request_of_an_incarnation_is_accepted(self);
            self.unit.request(self.now, Request::Ask);
        }
        self.run_until_quiet();
        ruling
    }

    /// Runs until everything pending has happened: a run is ready.
    fn calm(&mut self) {
        self.weather = Weather::default();
        for _ in 0..1_000 {
            self.run_until_quiet();
            if self.unit.is_ready() {
                return;
            }
            self.now = self.unit.deadline().map_or(self.now, |at| if at > self.now { at } else { self.now });
            self.run_until_quiet();
            self.process_goes_on();
            self.run_until_quiet();
            if self.unit.is_started() {
                self.report(true);
            }
        }
        panic!("it never is ready: {:?}", self.unit);
    }

    /// Sends requests about an incarnation and its neighbours, in any order, while other events happen.
    fn storm(&mut self, about: u64) {
        let mut sent: Vec<RestartRequest> = (0..REQUESTS)
            .map(|number| {
                let check = if number % 2 == 0 { "port" } else { "health" };
                let incarnation = match number {
                    0..4 => about.saturating_sub(1),
                    4 => about + 7,
                    5..12 => about + 1,
                    _ => about,
                };
                request(check, incarnation)
            })
            .collect();
        self.chance.shuffle(&mut sent);
        let mut rare = || self.chance.u32(0..3) == 0;
        self.weather =
            Weather { paused: rare(), dependency_sick: rare(), brake_holds: rare(), budget_counts: rare() };
        for request in &sent {
            // Requests about the next run only while it starts: once it is ready, a failure is a new fault.
            if request.incarnation != about + 1 || !self.unit.is_ready() {
                self.ask(request);
            }
            self.something_happens(about);
        }
        // Held monitors ask again at the next failed check: once nothing prevents the restart any more, it is granted.
        for _ in 0..20 {
            self.weather = Weather::default();
            if self.unit.incarnation() != about || self.unit.ends_because().is_some() {
                break;
            }
            self.report(true);
            let ruling = self.ask(&request("port", about));
            self.now = self.now + ruling.retry_after.unwrap_or_default() + Duration::from_millis(1);
        }
        self.calm();
    }
}

#[test]
fn ten_thousand_racing_requests_make_one_restart_each() {
    use Decision::{Accepted, HeldBrake, HeldBudget, HeldDependency, InGrace, Merged, Paused, Stale};
    let mut answers = BTreeMap::new();
    for seed in 0..8 {
        let mut scene = Scene::new(seed);
        scene.calm();
        for incarnation in 1..=INCARNATIONS {
            assert_eq!(scene.unit.incarnation(), incarnation);
            scene.storm(incarnation);
            assert_eq!(scene.unit.incarnation(), incarnation + 1, "restarted exactly once, seed {seed}");
        }
        assert_eq!(scene.spawned.len() as u64, INCARNATIONS + 1);
        for (answer, count) in scene.answers {
            *answers.entry(answer).or_insert(0) += count;
        }
    }
    // A walk that never meets an answer tests nothing about it.
    let met: Vec<Decision> = answers.keys().copied().collect();
    let expected = [Accepted, Merged, Stale, InGrace, Paused, HeldDependency, HeldBudget, HeldBrake];
    assert_eq!(met, expected, "{answers:?}");
}
