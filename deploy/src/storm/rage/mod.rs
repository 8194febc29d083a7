//! The storm itself: what is killed, and when. Chance decides, from the seed; what it hits is a matter of the moment.
//! How it is done is in `hand`.

mod hand;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::time::{Duration, Instant, SystemTime};

use super::census;
use super::now;
use super::setup::Storm;
use crate::Failure;
use crate::asked::Answer;

/// A guard loses patience with a supervisor that dies so often in a row before it has lived for so long.
const SHORT_LIVES: u32 = 8;
const LONG_LIFE: Duration = Duration::from_secs(11);
/// Nothing takes longer unless it is broken.
const CEILING: Duration = Duration::from_secs(60);

/// What is done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    /// The supervisor, whatever it does.
    Supervisor,
    /// A monitor.
    Monitor,
    /// The leader of a run.
    Service,
    /// A leader, and while its successor is started the supervisor.
    Spawn,
    /// A `ctl stop` or `ctl restart`, and meanwhile the supervisor or the leader, or nobody.
    Stop,
    /// The supervisor, while a log is put aside.
    Rotation,
    /// The supervisor, and while its successor takes everything over, that one.
    Adoption,
    /// A `ctl upgrade`, and meanwhile the supervisor, a leader, or nobody.
    Upgrade,
    /// Supervisor and leader at once.
    Both,
    /// Supervisor and monitors at once.
    Daemons,
}

/// Each as often as it stands here.
const BLOWS: [Blow; 18] = [
    Blow::Supervisor,
    Blow::Supervisor,
    Blow::Monitor,
    Blow::Service,
    Blow::Service,
    Blow::Spawn,
    Blow::Spawn,
    Blow::Spawn,
    Blow::Stop,
    Blow::Stop,
    Blow::Stop,
    Blow::Rotation,
    Blow::Rotation,
    Blow::Adoption,
    Blow::Adoption,
    Blow::Upgrade,
    Blow::Upgrade,
    Blow::Both,
];

/// What a storm has done and seen.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// How often what was killed.
    pub(super) blows: BTreeMap<&'static str, u64>,
    /// For each death of the supervisor, how long nobody answered.
    pub(super) without: Vec<Duration>,
    /// How many of them it came back from by itself.
    pub(super) revived: u64,
    /// From when to when nobody read what services wrote, and perhaps nobody held it either.
    pub(super) unread: Vec<(SystemTime, SystemTime)>,
    /// What should not have been.
    pub(super) wrong: Vec<String>,
}

/// One that rages.
#[derive(Debug)]
pub(super) struct Rage<'a> {
    storm: &'a Storm,
    chance: fastrand::Rng,
    names: Vec<String>,
    began: Instant,
    diary: File,
    /// Since when the supervisor is dead by our hand.
    down: Option<(Instant, SystemTime)>,
    /// How often it has died in a row.
    short_lives: u32,
    /// Until when it is let live.
    spared_until: Option<Instant>,
    /// Whether a monitor keeps a copy of every pipe; if not, last words may go with a run that nobody supervises.
    kept: bool,
    /// What it has done and seen.
    pub(super) tally: Tally,
}

/// How a supervisor that was killed came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Back {
    /// It had not been killed.
    NeverGone,
    /// A monitor started it.
    ByItself,
    /// `ctl up` was needed.
    Called,
}

impl<'a> Rage<'a> {
    /// One that has not begun.
    pub(super) fn new(storm: &'a Storm) -> Result<Self, Failure> {
        Ok(Self {
            storm,
            chance: fastrand::Rng::with_seed(storm.seed),
            names: storm.names(),
            began: now(),
            diary: File::create(storm.folder.join("diary"))?,
            down: None,
            short_lives: 0,
            spared_until: None,
            kept: false,
            tally: Tally::default(),
        })
    }

    /// Strikes until the time is over, or too much is wrong to go on.
    pub(super) fn rage(
        &mut self,
        mut tell: impl FnMut(&Tally) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        const ENOUGH: usize = 5;
        self.first_strike()?;
        while now().duration_since(self.began) < self.storm.time && self.tally.wrong.len() < ENOUGH {
            let blow = self.draw();
            self.must_live();
            self.revive()?;
            self.kept = census::pipes_are_kept(&self.storm.folder, &self.names);
            if !self.kept {
                self.note("no monitor holds every pipe");
            }
            self.strike(blow)?;
            self.revive()?;
            tell(&self.tally)?;
            self.pause(300_000);
        }
        Ok(())
    }

    fn draw(&mut self) -> Blow {
        if self.spared_until.is_some_and(|until| now() < until) {
            return if self.chance.u32(0..8) == 0 { Blow::Monitor } else { Blow::Service };
        }
        if self.short_lives >= SHORT_LIVES {
            self.short_lives = 0;
            // Else it goes on, and `ctl up` must do what the guard no longer does at once.
            if self.chance.bool() {
                self.spared_until = Some(now() + LONG_LIFE);
                return Blow::Service;
            }
        }
        if self.chance.u32(0..40) == 0 { Blow::Daemons } else { BLOWS[self.chance.usize(0..BLOWS.len())] }
    }

    /// Before anything has been written down: the supervisor and the leader of a family, a moment after the first start.
    fn first_strike(&mut self) -> Result<(), Failure> {
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

    fn strike(&mut self, blow: Blow) -> Result<(), Failure> {
        let name = self.names[self.chance.usize(0..self.names.len())].clone();
        match blow {
            Blow::Supervisor => drop(self.kill_supervisor("supervisor")),
            Blow::Monitor => self.kill_monitor(),
            Blow::Service => drop(self.kill_leader(&name, "service")),
            Blow::Spawn => {
                self.kill_leader(&name, "service");
                self.pause(8_000);
                self.kill_supervisor("supervisor, during a spawn");
            }
            Blow::Stop => self.during_stop(&name)?,
            Blow::Rotation => self.during_rotation(),
            Blow::Adoption => self.during_adoption()?,
            Blow::Upgrade => self.during_upgrade(&name)?,
            Blow::Both => {
                if self.chance.bool() {
                    self.kill_leader(&name, "service");
                    self.kill_supervisor("supervisor, with a service");
                } else {
                    self.kill_supervisor("supervisor, with a service");
                    self.kill_leader(&name, "service");
                }
            }
            Blow::Daemons => {
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
        let asked = self.storm.ask(&[verb, name, "--timeout", "5s"])?;
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
        let asked = self.storm.ask(&["start", name, "--timeout", "5s"])?;
        self.heard(asked, &format!("ctl start {name}")).map(drop)
    }

    /// Stopped means stopped.
    fn nobody_left(&mut self, name: &str, answer: &Answer) {
        if answer.code != Some(0) {
            return self.wrong(format!("ctl stop {name}: {:?}, {}", answer.code, answer.err.trim()));
        }
        let left: Vec<_> =
            census::look(&self.storm.folder).into_iter().filter(|seen| seen.service == name).collect();
        if !left.is_empty() {
            self.wrong(format!("ctl stop {name}: said to be stopped, but {left:?}"));
        }
    }

    /// What a person stopped is not started by a supervisor that a monitor started.
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
        let log = |name: &String| self.storm.folder.join("home/log").join(format!("{name}.out.log"));
        let full = self.storm.rotate_at().saturating_sub(1_024);
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
            let asked = self.storm.ask(&["up", "-d"])?;
            let began = now();
            while census::supervisor(&self.storm.folder).is_none_or(|pid| pid == dead) {
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
        let asked = self.storm.ask(&["upgrade"])?;
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
            *self.tally.blows.entry("upgrade that nobody disturbed").or_default() += 1;
            if answer.code != Some(0) {
                self.wrong(format!("ctl upgrade: {:?}, {}", answer.code, answer.err.trim()));
            }
        }
        Ok(())
    }
}
