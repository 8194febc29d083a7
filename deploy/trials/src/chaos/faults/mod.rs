//! Decides what is killed, and when: at random from the seed, but the effect depends on timing.
//! `actions` performs what is decided.

mod actions;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::time::{Duration, Instant, SystemTime};

use super::census;
use super::now;
use super::setup::Setup;
use crate::Failure;
use crate::ctl::Answer;

/// Number of short lives after which a guard delays the restart, and the lifetime after which a life no
/// longer counts as short.
const SHORT_LIVES: u32 = 8;
const LONG_LIFE: Duration = Duration::from_secs(11);
/// Time limit for any operation that is not broken.
const CEILING: Duration = Duration::from_secs(60);

/// A fault to inject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Kills the supervisor, whatever it is doing.
    Supervisor,
    /// Kills a monitor.
    Monitor,
    /// Kills the leader of a run.
    Service,
    /// Kills a leader, and the supervisor while it starts the successor.
    Spawn,
    /// Runs `ctl stop` or `ctl restart`, and meanwhile kills the supervisor, the leader, or nothing.
    Stop,
    /// Kills the supervisor during a log rotation.
    Rotation,
    /// Kills the supervisor, and its successor during adoption.
    Adoption,
    /// Runs `ctl upgrade`, and meanwhile kills the supervisor, a leader, or nothing.
    Upgrade,
    /// Kills supervisor and leader at once.
    Both,
    /// Kills supervisor and monitors at once.
    Daemons,
}

/// The faults; one that is listed more often is chosen more often.
const FAULTS: [Fault; 18] = [
    Fault::Supervisor,
    Fault::Supervisor,
    Fault::Monitor,
    Fault::Service,
    Fault::Service,
    Fault::Spawn,
    Fault::Spawn,
    Fault::Spawn,
    Fault::Stop,
    Fault::Stop,
    Fault::Stop,
    Fault::Rotation,
    Fault::Rotation,
    Fault::Adoption,
    Fault::Adoption,
    Fault::Upgrade,
    Fault::Upgrade,
    Fault::Both,
];

/// Counts and findings of a test.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Number of kills by kind.
    pub(super) faults: BTreeMap<&'static str, u64>,
    /// For each death of the supervisor, how long no supervisor answered.
    pub(super) without: Vec<Duration>,
    /// Number of these deaths after which a guard restarted it.
    pub(super) revived: u64,
    /// Periods in which no process read the services' output, and perhaps none held the pipes either.
    pub(super) unread: Vec<(SystemTime, SystemTime)>,
    /// Errors found so far.
    pub(super) wrong: Vec<String>,
}

/// Injects faults into a running set-up.
#[derive(Debug)]
pub(super) struct FaultInjector<'a> {
    setup: &'a Setup,
    chance: fastrand::Rng,
    names: Vec<String>,
    began: Instant,
    diary: File,
    /// Time at which the supervisor was killed by us, while it is dead.
    down: Option<(Instant, SystemTime)>,
    /// Number of short lives in a row.
    short_lives: u32,
    /// Time until which the supervisor is not killed.
    spared_until: Option<Instant>,
    /// Whether a monitor holds a copy of every pipe. If not, the last output of a run that ends while no
    /// supervisor runs may be lost.
    kept: bool,
    /// What was done and found so far.
    pub(super) tally: Tally,
}

/// How a killed supervisor came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Back {
    /// The supervisor had not been killed.
    NeverGone,
    /// A monitor restarted it.
    ByItself,
    /// `ctl up` was needed.
    Called,
}

impl<'a> FaultInjector<'a> {
    /// Creates an injector that has not begun.
    pub(super) fn new(setup: &'a Setup) -> Result<Self, Failure> {
        Ok(Self {
            setup,
            chance: fastrand::Rng::with_seed(setup.seed),
            names: setup.names(),
            began: now(),
            diary: File::create(setup.folder.join("diary"))?,
            down: None,
            short_lives: 0,
            spared_until: None,
            kept: false,
            tally: Tally::default(),
        })
    }

    /// Acts until the time is over, or until there are too many errors to go on.
    pub(super) fn inject_all(
        &mut self,
        mut tell: impl FnMut(&Tally) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        const ENOUGH: usize = 5;
        self.inject_first()?;
        while now().duration_since(self.began) < self.setup.time && self.tally.wrong.len() < ENOUGH {
            let fault = self.choose();
            self.must_live();
            self.revive()?;
            self.kept = census::pipes_are_kept(&self.setup.folder, &self.names);
            if !self.kept {
                self.note("no monitor holds every pipe");
            }
            self.inject(fault)?;
            self.revive()?;
            tell(&self.tally)?;
            self.pause(300_000);
        }
        Ok(())
    }

    fn choose(&mut self) -> Fault {
        if self.spared_until.is_some_and(|until| now() < until) {
            return if self.chance.u32(0..8) == 0 { Fault::Monitor } else { Fault::Service };
        }
        if self.short_lives >= SHORT_LIVES {
            self.short_lives = 0;
            // Otherwise the test goes on, and `ctl up` must do what the guard now delays.
            if self.chance.bool() {
                self.spared_until = Some(now() + LONG_LIFE);
                return Fault::Service;
            }
        }
        if self.chance.u32(0..40) == 0 { Fault::Daemons } else { FAULTS[self.chance.usize(0..FAULTS.len())] }
    }

    /// Kills the supervisor and a leader with child processes shortly after the first start, before
    /// anything has been written down.
    fn inject_first(&mut self) -> Result<(), Failure> {
        if let Some(name) = self.names.get(5).or(self.names.get(2)).cloned()
            && self.chance.bool()
        {
            self.pause(150_000);
            self.kill_leader(&name, "service");
            self.kill_supervisor("supervisor, with a service");
            self.revive()?;
        }
        Ok(())
    }

    fn inject(&mut self, fault: Fault) -> Result<(), Failure> {
        let name = self.names[self.chance.usize(0..self.names.len())].clone();
        match fault {
            Fault::Supervisor => drop(self.kill_supervisor("supervisor")),
            Fault::Monitor => self.kill_monitor(),
            Fault::Service => drop(self.kill_leader(&name, "service")),
            Fault::Spawn => {
                self.kill_leader(&name, "service");
                self.pause(8_000);
                self.kill_supervisor("supervisor, during a spawn");
            }
            Fault::Stop => self.during_stop(&name)?,
            Fault::Rotation => self.during_rotation(),
            Fault::Adoption => self.during_adoption()?,
            Fault::Upgrade => self.during_upgrade(&name)?,
            Fault::Both => {
                if self.chance.bool() {
                    self.kill_leader(&name, "service");
                    self.kill_supervisor("supervisor, with a service");
                } else {
                    self.kill_supervisor("supervisor, with a service");
                    self.kill_leader(&name, "service");
                }
            }
            Fault::Daemons => {
                self.kill_monitor();
                if self.chance.bool() {
                    self.kill_monitor();
                }
                self.kill_supervisor("supervisor, with monitors");
            }
        }
        Ok(())
    }

    fn during_stop(&mut self, name: &str) -> Result<(), Failure> {
        let verb = if self.chance.bool() { "stop" } else { "restart" };
        self.note(&format!("ctl {verb} {name}"));
        let asked = self.setup.ask(&[verb, name, "--timeout", "5s"])?;
        match self.chance.u32(0..4) {
            0 => {
                let answer = self.heard(asked, &format!("ctl {verb} {name}"))?;
                if verb == "stop" {
                    self.nobody_left(name, &answer);
                    self.kill_supervisor("supervisor, after a stop");
                    if self.revive()? == Back::ByItself {
                        self.nobody_left(name, &answer);
                        self.stays_stopped(name)?;
                    }
                }
            }
            1 => {
                self.pause(40_000);
                self.kill_leader(name, "service, during a stop");
                self.heard(asked, &format!("ctl {verb} {name}"))?;
            }
            _ => {
                let most = if self.chance.bool() { 40_000 } else { 400_000 };
                self.pause(most);
                self.kill_supervisor("supervisor, during a stop");
                self.revive()?;
                self.heard(asked, &format!("ctl {verb} {name}"))?;
            }
        }
        let asked = self.setup.ask(&["start", name, "--timeout", "5s"])?;
        self.heard(asked, &format!("ctl start {name}")).map(drop)
    }

    /// Checks that a stopped service has no processes.
    fn nobody_left(&mut self, name: &str, answer: &Answer) {
        if answer.code != Some(0) {
            return self.wrong(format!("ctl stop {name}: {:?}, {}", answer.code, answer.err.trim()));
        }
        let left: Vec<_> =
            census::look(&self.setup.folder).into_iter().filter(|seen| seen.service == name).collect();
        if !left.is_empty() {
            self.wrong(format!("ctl stop {name}: said to be stopped, but {left:?}"));
        }
    }

    /// Checks that a supervisor restarted by a monitor does not start a service that the user stopped.
    fn stays_stopped(&mut self, name: &str) -> Result<(), Failure> {
        let status = self.status()?;
        let mut services = status["services"].as_array().into_iter().flatten();
        let state = services.find(|service| service["name"] == name).map(|service| &service["state"]);
        if state.is_none_or(|state| state != "stopped" && state != "stopping") {
            self.wrong(format!("{name} was stopped, and is {state:?} under the next supervisor"));
        }
        Ok(())
    }

    fn during_rotation(&mut self) {
        let began = now();
        let log = |name: &String| self.setup.folder.join("home/log").join(format!("{name}.out.log"));
        let full = self.setup.rotate_at().saturating_sub(1_024);
        let is_full =
            |name: &String| fs::metadata(log(name)).is_ok_and(|meta| (full..2 * full).contains(&meta.len()));
        while !self.names.iter().any(is_full) {
            if now().duration_since(began) > Duration::from_secs(3) {
                return;
            }
            std::thread::park_timeout(Duration::from_micros(200));
        }
        self.pause(12_000);
        self.kill_supervisor("supervisor, during a rotation");
    }

    fn during_adoption(&mut self) -> Result<(), Failure> {
        for _ in 0..self.chance.u32(1..4) {
            let Some(dead) = self.kill_supervisor("supervisor, during an adoption") else { return Ok(()) };
            self.note("ctl up -d");
            let asked = self.setup.ask(&["up", "-d"])?;
            let began = now();
            while census::supervisor(&self.setup.folder).is_none_or(|pid| pid == dead) {
                if now().duration_since(began) > CEILING {
                    self.wrong("no supervisor came after a SIGKILL".into());
                    break;
                }
                std::thread::park_timeout(Duration::from_micros(300));
            }
            self.pause(60_000);
            self.kill_supervisor("supervisor, during an adoption");
            self.heard(asked, "ctl up -d")?;
        }
        Ok(())
    }

    fn during_upgrade(&mut self, name: &str) -> Result<(), Failure> {
        self.note("ctl upgrade");
        let asked = self.setup.ask(&["upgrade"])?;
        let whom = self.chance.u32(0..4);
        match whom {
            0 => {}
            1 => {
                self.pause(60_000);
                self.kill_leader(name, "service, during an upgrade");
            }
            _ => {
                self.pause(100_000);
                self.kill_supervisor("supervisor, during an upgrade");
                self.revive()?;
            }
        }
        let answer = self.heard(asked, "ctl upgrade")?;
        if whom < 2 {
            *self.tally.faults.entry("upgrade that nobody disturbed").or_default() += 1;
            if answer.code != Some(0) {
                self.wrong(format!("ctl upgrade: {:?}, {}", answer.code, answer.err.trim()));
            }
        }
        Ok(())
    }
}
