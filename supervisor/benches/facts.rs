//! What deciding costs: `cargo bench -p supervisor --bench facts`.
//!
//! Twenty services live through faults on one core: their checks pass and fail, two monitors ask for a restart each, the
//! arbiter answers, the old run goes and a new one becomes ready. Every fact, request and answer counts as one; after
//! each the unit is polled and asked for its deadline, as the supervisor does. Prints a number and never fails on it.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench measures real time and says what it saw"
)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use proto::Name;
use sereno_config::{Brake, Budget, Ready, RestartPolicy};
use supervisor::lifecycle::arbiter::{
    Case, Decision, Fault, HostBrake, Ledger, RestartRequest, Standing, decide,
};
use supervisor::lifecycle::ready::{CheckRule, ReadyRules};
use supervisor::lifecycle::unit::Rules;
use supervisor::lifecycle::{Action, BootInstant, CheckFact, Exit, Fact, Request, Unit};

const SERVICES: usize = 20;
const ROUNDS: usize = 20_000;
const PASSES: u32 = 20;
const BUDGET: Budget = Budget { max: u32::MAX, within: Duration::from_secs(60) };
const BRAKE: Brake = Brake { share: 0.5, min: 4, window: Duration::from_secs(30) };

struct Service {
    name: Name,
    unit: Unit,
    ledger: Ledger,
}

struct Bench {
    services: Vec<Service>,
    checks: [Name; 2],
    brake: HostBrake,
    now: BootInstant,
    facts: u64,
    restarts: u64,
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn rules(checks: &[Name]) -> Rules {
    let rule = CheckRule { period: Duration::from_secs(32), start_period: Duration::ZERO };
    let ready = ReadyRules {
        conditions: checks.iter().cloned().map(Ready::Check).collect(),
        timeout: Duration::from_secs(60),
        min_uptime: Duration::from_secs(30),
        checks: checks.iter().map(|check| (check.clone(), rule)).collect::<BTreeMap<_, _>>(),
    };
    let restart = RestartPolicy { max: 1_000_000_000, initial: Duration::ZERO, ..RestartPolicy::default() };
    Rules { restart, ready, stop_timeout: Duration::from_secs(10), is_job: false }
}

impl Bench {
    fn new() -> Self {
        let checks = [name("health"), name("port")];
        let service = |number: usize| {
            let mut unit = Unit::new(rules(&checks), 7);
            for check in &checks {
                unit.observe(BootInstant::default(), Fact::Watched(check.clone(), true));
            }
            unit.request(BootInstant::default(), Request::Start);
            Service { name: name(&format!("service-{number}")), unit, ledger: Ledger::default() }
        };
        let services = (0..SERVICES).map(service).collect();
        let brake = HostBrake::default();
        Self {
            services,
            checks,
            brake,
            now: BootInstant::since_boot(Duration::from_secs(1)),
            facts: 0,
            restarts: 0,
        }
    }

    fn observe(&mut self, service: usize, fact: Fact) {
        self.now = self.now + Duration::from_micros(500);
        self.facts += 1;
        self.services[service].unit.observe(self.now, fact);
        self.settle(service);
    }

    fn settle(&mut self, service: usize) {
        let unit = &mut self.services[service].unit;
        while let Some(action) = unit.poll(self.now) {
            self.facts += 1;
            let fact = match action {
                Action::Spawn(_) => Fact::Spawned,
                Action::Examine(_) => Fact::Examined,
                Action::Terminate(_) | Action::Kill => Fact::Exited(Exit::Code(0)),
                Action::Drain => Fact::Drained,
                Action::Sweep => Fact::Swept,
            };
            unit.observe(self.now, fact);
        }
        black_box(unit.take_notes());
        black_box(unit.deadline());
    }

    fn report(&mut self, service: usize, check: usize, failures: u32) {
        let passing = Some(failures < 3);
        let fact =
            CheckFact { passing, failures, foreign: false, at: self.now, every: Duration::from_secs(30) };
        self.observe(service, Fact::Check(self.checks[check].clone(), fact));
        let name = &self.services[service].name;
        if failures > 0 { self.brake.bad(name, self.now) } else { self.brake.well(name) }
    }

    fn ask(&mut self, number: usize, check: usize, incarnation: u64) {
        self.facts += 1;
        let Service { unit, ledger, .. } = &mut self.services[number];
        let fault = Fault::Check(self.checks[check].clone());
        let request = RestartRequest { monitor: Some(name("monitor")), fault, incarnation };
        let case = Case::of(unit, &request, Standing::default(), self.now);
        let holds = self.brake.holds(&BRAKE, SERVICES, Duration::from_secs(30), self.now);
        let holds = holds.map(|why| (why, BRAKE.window));
        let ruling = decide(&case, ledger, BUDGET, (&mut self.brake, holds), self.now);
        if ruling.decision == Decision::Accepted {
            self.restarts += 1;
            unit.request(self.now, Request::Ask);
        }
        black_box(ruling);
        self.settle(number);
    }

    /// A while of health, then a fault that both monitors see.
    fn fault(&mut self, service: usize) {
        for _ in 0..PASSES {
            self.report(service, 0, 0);
            self.report(service, 1, 0);
        }
        for failures in 1..=3 {
            self.report(service, 0, failures);
            self.report(service, 1, failures);
        }
        let incarnation = self.services[service].unit.incarnation();
        self.ask(service, 0, incarnation);
        self.ask(service, 1, incarnation);
        // The new run is well: else half the host is soon bad, and the brake holds the rest.
        self.report(service, 0, 0);
        self.report(service, 1, 0);
    }
}

fn main() {
    let mut bench = Bench::new();
    (0..SERVICES).for_each(|service| bench.settle(service));
    let began = Instant::now();
    for round in 0..ROUNDS {
        bench.fault(round % SERVICES);
    }
    let took = began.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let rate = bench.facts as f64 / took / 1e6;
    println!(
        "{} facts, {} restarts of {SERVICES} services in {took:.2} s on one core: {rate:.1} M facts per second",
        bench.facts, bench.restarts
    );
}
