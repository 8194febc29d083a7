//! Performs actions: kills, waits until a supervisor runs again, runs `ctl`, and writes a diary.

use std::fs;
use std::io::Write;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::{Back, CEILING, FaultInjector};
use crate::Failure;
use crate::chaos::service::note_of;
use crate::chaos::{census, now};
use crate::ctl::{Answer, Asked};

/// A killed supervisor is given this time to be restarted by a monitor; then `ctl up` is run.
const MOMENT: Duration = Duration::from_millis(600);
const LOOK_AGAIN: Duration = Duration::from_millis(2);

impl FaultInjector<'_> {
    /// Kills the supervisor and returns its pid.
    pub(super) fn kill_supervisor(&mut self, how: &'static str) -> Option<u32> {
        let folder = self.setup.folder.clone();
        let pid = census::supervisor(&folder)?;
        let before = (now(), SystemTime::now());
        if self.kill(pid, how, || census::supervisor(&folder) == Some(pid)) {
            self.down.get_or_insert(before);
            self.short_lives += 1;
            return Some(pid);
        }
        None
    }

    pub(super) fn kill_leader(&mut self, name: &str, how: &'static str) -> Option<u32> {
        let seen = census::look(&self.setup.folder);
        let newest = seen.iter().filter(|seen| seen.service == name).map(|seen| seen.incarnation).max()?;
        let text = fs::read_to_string(note_of(&self.setup.folder, name, newest)).ok()?;
        let (pid, start) = text.trim().split_once(' ')?;
        let (pid, start) = (pid.parse().ok()?, start.parse().ok()?);
        self.kill(pid, how, || census::start_of(pid) == Some(start)).then_some(pid)
    }

    pub(super) fn kill_monitor(&mut self) {
        let monitor = census::MONITORS[self.chance.usize(0..census::MONITORS.len())];
        let folder = self.setup.folder.clone();
        let Some(seen) = census::look(&folder).into_iter().find(|seen| seen.service == monitor) else {
            return;
        };
        let start = census::start_of(seen.pid);
        self.kept = false;
        self.kill(seen.pid, "monitor", || start.is_some() && census::start_of(seen.pid) == start);
    }

    pub(super) fn kill(&mut self, pid: u32, how: &'static str, still: impl Fn() -> bool) -> bool {
        match census::kill(pid, still) {
            Ok(true) => {
                self.note(&format!("SIGKILL to pid {pid}: {how}"));
                *self.tally.faults.entry(how).or_default() += 1;
                true
            }
            Ok(false) => false,
            Err(error) => {
                self.wrong(format!("pid {pid} could not be killed: {error}"));
                false
            }
        }
    }

    /// Waits until a supervisor runs again, and runs `ctl up` if none is restarted by a monitor.
    pub(in crate::chaos) fn revive(&mut self) -> Result<Back, Failure> {
        let Some((since, wall)) = self.down else { return Ok(Back::NeverGone) };
        let mut called = false;
        loop {
            if self.answers()? {
                let without = now().duration_since(since);
                self.note(&format!(
                    "back after {} ms{}",
                    without.as_millis(),
                    if called { "" } else { ", by itself" }
                ));
                self.tally.without.push(without);
                self.tally.revived += u64::from(!called);
                if !self.kept {
                    self.tally.unread.push((wall, SystemTime::now()));
                }
                self.down = None;
                return Ok(if called { Back::Called } else { Back::ByItself });
            }
            let waited = now().duration_since(since);
            if waited > MOMENT && !called {
                called = true;
                self.up()?;
            }
            if waited > CEILING {
                self.wrong(format!("nobody supervises {} s after a SIGKILL", waited.as_secs()));
                self.down = None;
                return Ok(Back::Called);
            }
            std::thread::park_timeout(LOOK_AGAIN);
        }
    }

    /// Checks that the supervisor is alive: only we may end it.
    pub(super) fn must_live(&mut self) {
        if census::supervisor(&self.setup.folder).is_none() {
            self.wrong("the supervisor died, and nobody had killed it".into());
            self.down = Some((now(), SystemTime::now()));
        }
    }

    /// Runs `ctl up`, which must succeed if nothing is killed meanwhile.
    pub(in crate::chaos) fn up(&mut self) -> Result<(), Failure> {
        self.note("ctl up -d");
        let answer = self.setup.ctl(&["up", "-d"])?;
        if answer.code != Some(0) {
            self.wrong(format!("ctl up -d: {:?}, {}", answer.code, answer.err.trim()));
        }
        Ok(())
    }

    pub(super) fn answers(&self) -> Result<bool, Failure> {
        if census::supervisor(&self.setup.folder).is_none() {
            return Ok(false);
        }
        let status = self.status()?;
        Ok(status["supervisor"]["state"] == "up")
    }

    /// Returns the output of `ctl status --json`.
    pub(in crate::chaos) fn status(&self) -> Result<Value, Failure> {
        let answer = self.setup.ctl(&["status", "--json"])?;
        Ok(serde_json::from_str(&answer.out).unwrap_or(Value::Null))
    }

    /// Waits for a running `ctl`. Any answer is allowed, but it must not hang.
    pub(super) fn heard(&mut self, asked: Asked, what: &str) -> Result<Answer, Failure> {
        let answer = asked.answer()?;
        let said = format!("{}{}", answer.out, answer.err);
        self.note(&format!("{what}: {:?} {}", answer.code, said.trim().replace('\n', " | ")));
        if answer.code.is_none() {
            self.wrong(format!("{what}: did not end"));
        }
        Ok(answer)
    }

    /// Waits for a random time of at most `most` microseconds.
    pub(super) fn pause(&mut self, most: u64) {
        let micros = self.chance.u64(0..most);
        std::thread::park_timeout(Duration::from_micros(micros));
    }

    pub(in crate::chaos) fn note(&mut self, what: &str) {
        let at = now().duration_since(self.began).as_secs_f64();
        // A diary that can not be written does not affect the result.
        let _ = writeln!(self.diary, "{at:9.3}  {what}");
    }

    pub(in crate::chaos) fn wrong(&mut self, what: String) {
        self.note(&format!("WRONG: {what}"));
        self.tally.wrong.push(what);
    }
}
