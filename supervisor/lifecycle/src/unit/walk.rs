//! A random walk over everything that can happen to a unit, in a small made-up world of processes, checking named
//! invariants after every step.

use std::time::Duration;

use proto::Name;
use sereno_config::{Policy, Ready, RestartPolicy};

use super::testing::{check, name, policy, rules};
use super::{Action, BootInstant, Exit, Fact, Note, Request, Rules, State, Unit, WhyEnd};

/// The processes of a service, as the operating system would have them.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "facts about a made-up world, each on its own")]
struct World {
    leader: bool,
    /// A start was handed out, and the fact about it has not followed yet.
    spawning: bool,
    leftovers: bool,
    told: bool,
    examining: bool,
    draining: bool,
    sweeping: bool,
    last_incarnation: u64,
    /// Whether the check's monitor is attached.
    watched: bool,
    /// Whether the check's newest report says that it passes, and its monitor was attached ever since.
    passes: bool,
}

impl World {
    fn perform(&mut self, unit: &Unit, action: &Action) {
        match action {
            Action::Spawn(incarnation) => {
                invariant_never_two_processes(self);
                invariant_only_what_is_wanted_is_spawned(unit);
                invariant_incarnations_only_grow(self, *incarnation);
                self.last_incarnation = *incarnation;
                self.spawning = true;
                self.passes = false;
            }
            Action::Examine(why) => {
                assert!(self.leader && !self.told, "only what lives and was not told is examined");
                assert!(unit.is_wanted() && why.wants_evidence(), "nobody waits for evidence of {why:?}");
                self.examining = true;
            }
            Action::Terminate(_) | Action::Kill => {
                self.examining = false;
                invariant_the_dead_are_never_signalled(self);
                self.told = true;
            }
            Action::Drain => {
                assert!(!self.leader, "a drain before the leader is gone");
                self.draining = true;
            }
            Action::Sweep => {
                assert!(!self.leader, "a sweep before the leader is gone");
                self.draining = false;
                self.sweeping = true;
            }
        }
    }
}

fn invariant_never_two_processes(world: &World) {
    assert!(!world.leader && !world.spawning && !world.leftovers, "a second process of the service");
}

fn invariant_only_what_is_wanted_is_spawned(unit: &Unit) {
    assert!(unit.is_wanted(), "spawned although not wanted");
}

fn invariant_incarnations_only_grow(world: &World, incarnation: u64) {
    assert!(incarnation > world.last_incarnation, "an incarnation used twice");
}

fn invariant_the_dead_are_never_signalled(world: &World) {
    assert!(world.leader, "a signal to a process that is gone");
}

fn invariant_no_deadline_is_overdue(unit: &Unit, now: BootInstant) {
    if let Some(deadline) = unit.deadline() {
        assert!(deadline > now, "overdue by {:?}: {unit:?}", now.since(deadline));
    }
}

fn invariant_a_stop_is_never_forgotten(unit: &Unit, stopped_by_person: bool, world: &World) {
    if stopped_by_person {
        assert!(!unit.is_wanted());
        assert!(world.told || !world.leader, "not wanted, and not told to go");
    }
}

fn invariant_a_hindrance_is_no_failure(unit: &Unit, before: &(u32, Option<Exit>), now: BootInstant) {
    assert_eq!((unit.streak(), unit.last_exit()), (before.0, before.1.as_ref()), "counted: {unit:?}");
    assert!(!unit.is_failed() && !unit.is_completed(), "given up: {unit:?}");
    let next = unit.next_start(now).unwrap_or_default();
    assert!(
        !unit.is_wanted() || next > Duration::ZERO && next <= Duration::from_secs(5),
        "not tried again: {unit:?}"
    );
}

fn invariant_no_wait_is_longer_than_max_wait(unit: &Unit, now: BootInstant) {
    let restart = &unit.rules.restart;
    if let Some(next) = unit.next_start(now).filter(|_| unit.hindrance.is_none()) {
        assert!(next <= restart.max_wait.max(restart.delay), "waits {next:?}: {unit:?}");
    }
}

fn invariant_what_passes_is_stable_min_uptime_after_it_was_ready(
    unit: &Unit,
    world: &World,
    now: BootInstant,
) {
    let Some(ready_at) = unit.ready_at() else { return };
    let unchecked = unit.rules.ready.checks.is_empty();
    if (unchecked || world.passes) && now >= ready_at + unit.rules.ready.min_uptime {
        assert_eq!(unit.streak(), 0, "not stable: {unit:?}");
    }
}

fn invariant_nothing_is_stable_too_early_or_while_a_check_fails(unit: &mut Unit, now: BootInstant) {
    if !unit.take_notes().contains(&Note::Stable) {
        return;
    }
    let ready_at = unit.ready_at().expect("only a ready run is stable");
    assert!(now >= ready_at + unit.rules.ready.min_uptime, "too early: {unit:?}");
    let mut marks = unit.marks().expect("it runs").values();
    assert!(marks.all(|mark| mark.last.is_some() && !mark.is_bad()), "a check fails: {unit:?}");
}

/// Returns a unit with rules at random.
fn any_unit(chance: &mut fastrand::Rng, port: &Name, seed: u64) -> Unit {
    let policies = [Policy::Always, Policy::OnFailure, Policy::Never];
    let restart = RestartPolicy {
        policy: policies[chance.usize(..3)],
        max: chance.u32(0..6),
        delay: Duration::from_millis(chance.u64(0..300)),
        max_wait: Duration::from_millis(chance.u64(500..3_000)),
        jitter: chance.f64() * 0.99,
        min_uptime: Duration::from_secs(chance.u64(0..15)),
        ..policy()
    };
    let condition =
        [Ready::Started, Ready::Check(port.clone()), Ready::Notify, Ready::Delay(Duration::from_secs(3))];
    let is_job = restart.policy != Policy::Always && chance.bool();
    let rules = rules(restart, vec![condition[chance.usize(..4)].clone()]);
    Unit::new(Rules { is_job, ..rules }, seed)
}

/// Ends a start that was handed out: it is withdrawn if it is not wanted any more.
fn answer_spawn(world: &mut World, unit: &mut Unit, chance: &mut fastrand::Rng, now: BootInstant) {
    world.spawning = false;
    let before = (unit.streak(), unit.last_exit().cloned());
    match chance.u32(0..10) {
        _ if !unit.is_wanted() => {
            unit.observe(now, Fact::Hindered("stopped before it began".into()));
            assert!(unit.is_down() && unit.state(now) == State::Stopped, "not withdrawn: {unit:?}");
        }
        0 | 1 => {
            unit.observe(now, Fact::Hindered("no space".into()));
            invariant_a_hindrance_is_no_failure(unit, &before, now);
        }
        2 | 3 => unit.observe(now, Fact::SpawnFailed("no".into())),
        _ => {
            world.leader = true;
            unit.observe(now, Fact::Spawned);
        }
    }
}

fn walk(seed: u64) {
    let mut chance = fastrand::Rng::with_seed(seed);
    let port = name("port");
    let mut unit = any_unit(&mut chance, &port, seed);
    let (mut world, mut stopped_by_person) = (World::default(), true);
    let mut now = BootInstant::since_boot(Duration::from_secs(1));

    for _ in 0..200 {
        now = now + Duration::from_millis(chance.u64(0..4_000));
        match chance.u32(0..16) {
            0 | 1 => {
                unit.request(now, if chance.bool() { Request::Start } else { Request::Arm });
                stopped_by_person = false;
            }
            2 => {
                unit.request(now, Request::Stop);
                stopped_by_person = true;
            }
            3 => {
                unit.request(now, Request::Restart);
                stopped_by_person = false;
            }
            4 => {
                let request = [Request::Ask, Request::Unburden, Request::Overdue][chance.usize(..3)];
                unit.request(now, request);
            }
            5 if chance.u32(0..4) == 0 => drop(unit.request(now, Request::Reset)),
            6..=8 if world.leader => {
                world.leader = false;
                (world.told, world.examining) = (false, false);
                world.leftovers = chance.bool();
                let exit = [Exit::Code(0), Exit::Code(1), Exit::Unknown, Exit::Signal("SIGKILL".into())];
                let exit = exit[chance.usize(..4)].clone();
                let fact = if chance.u8(..4) > 0 { Fact::Exited(exit) } else { Fact::OutOfMemory(exit) };
                unit.observe(now, fact);
            }
            9 => unit.observe(now, Fact::Gate(chance.bool())),
            10 => {
                let watched = chance.u32(0..4) > 0;
                world.passes &= watched && world.watched;
                world.watched = watched;
                unit.observe(now, Fact::Watched(port.clone(), watched));
            }
            11 | 12 => {
                let passing = chance.u32(0..4) > 0;
                world.passes = passing && world.watched && world.leader;
                unit.observe(now, Fact::Check(port.clone(), check(passing, now)));
            }
            13 => unit.observe(now, Fact::Notified),
            14 => unit.observe(now, Fact::Paused(chance.bool())),
            _ if world.spawning => answer_spawn(&mut world, &mut unit, &mut chance, now),
            _ if world.examining => {
                let longer = Fact::Examining(Duration::from_millis(chance.u64(0..4_000)));
                unit.observe(now, if chance.u8(..3) > 0 { Fact::Examined } else { longer });
            }
            _ if world.draining => {
                world.draining = false;
                unit.observe(now, Fact::Drained);
            }
            _ if world.sweeping => {
                world.sweeping = false;
                world.leftovers = false;
                unit.observe(now, Fact::Swept);
            }
            _ => {}
        }
        let mut polls = 0;
        while let Some(action) = unit.poll(now) {
            world.perform(&unit, &action);
            let can_be_refused =
                Action::Terminate(WhyEnd::Restart) == action || Action::Examine(WhyEnd::Asked) == action;
            if can_be_refused && chance.u32(0..5) == 0 {
                (world.told, world.examining) = (false, false);
                unit.observe(now, Fact::NotTold);
                assert!(unit.is_started(), "it goes on: {unit:?}");
            }
            // Often what the start needs is looked up first.
            if world.spawning && chance.bool() {
                answer_spawn(&mut world, &mut unit, &mut chance, now);
            }
            polls += 1;
            assert!(polls < 20, "it never comes to rest: {unit:?}");
        }
        invariant_no_deadline_is_overdue(&unit, now);
        invariant_no_wait_is_longer_than_max_wait(&unit, now);
        invariant_what_passes_is_stable_min_uptime_after_it_was_ready(&unit, &world, now);
        invariant_nothing_is_stable_too_early_or_while_a_check_fails(&mut unit, now);
        invariant_a_stop_is_never_forgotten(&unit, stopped_by_person, &world);
        assert_eq!(unit.is_alive(), world.leader, "{unit:?}");
        assert!(!(unit.state(now) == State::Failed && world.leader));
    }
}

#[test]
fn two_thousand_random_lives_keep_every_invariant() {
    for seed in 0..2_000 {
        walk(seed);
    }
}
