//! Decides when a check is failing. Pure: results with their times go in, state changes come out.
//!
//! ```text
//!            first success                failures in a row (or of the last `window`)
//!  Unknown ───────────────────▶ Passing ─────────────────────────────────────────────▶ Failing
//!     │                            ▲                                                      │ ▲
//!     │                            └──────────────── successes in a row ──────────────────┘ │
//!     └──────── failures in a row, begun after the start period ───────────────────────────┘
//! ```
//!
//! A counter belongs to one incarnation and is dropped with it.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::target::Rule;

/// State of a check, as the counter sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// No result that counts yet.
    Unknown,
    Passing,
    Failing,
}

/// Result of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    Pass,
    /// Failed, possibly by a short disturbance.
    Fail,
    /// Failed, and no second check is needed to be sure.
    SurelyFail,
}

/// Effect of one result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    /// The state has changed.
    pub flipped: bool,
    /// This is the first result of the incarnation.
    pub first: bool,
    /// The result is a pass after a failure, or a failure after a pass.
    pub turned: bool,
}

impl Change {
    /// Whether this change is reported to the supervisor at once.
    pub(super) fn is_news(self) -> bool {
        self.flipped || self.first || self.turned
    }
}

/// How many checks of an incarnation ended how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Runs {
    pub(super) passed: u64,
    pub(super) failed: u64,
}

/// Counts the results of one check of one incarnation.
#[derive(Debug, Clone)]
pub(super) struct Flip {
    rule: Rule,
    received: Instant,
    counts_from: Instant,
    state: State,
    last: Option<Seen>,
    passed: bool,
    /// Failures before the first success that began within the start period.
    forgiven: u32,
    failed_in_row: u32,
    passed_in_row: u32,
    runs: Runs,
    /// The last `window` results, true for a failure; empty where failures are counted in a row.
    window: VecDeque<bool>,
}

impl Flip {
    /// Creates a counter for an incarnation that was received at `received`.
    pub(super) fn new(rule: Rule, received: Instant, start_period: Duration) -> Self {
        Self {
            rule,
            received,
            counts_from: received + start_period,
            state: State::Unknown,
            last: None,
            passed: false,
            forgiven: 0,
            failed_in_row: 0,
            passed_in_row: 0,
            runs: Runs::default(),
            window: VecDeque::new(),
        }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    /// Returns how many checks ended how, of all that count.
    pub(super) fn runs(&self) -> Runs {
        self.runs
    }

    /// Returns the number of failures for display: 0 after a success.
    pub(super) fn failures(&self) -> u32 {
        match self.last {
            None | Some(Seen::Pass) => 0,
            Some(_) if self.counted() == 0 => self.forgiven,
            Some(_) => self.counted(),
        }
    }

    /// Counts the result of a check that began at `begun`. Returns `None` if it began before the
    /// incarnation was received: such a result is ignored.
    pub(super) fn observe(&mut self, begun: Instant, seen: Seen) -> Option<Change> {
        if begun < self.received {
            return None;
        }
        let before = (self.state, self.last);
        match seen {
            Seen::Pass => self.runs.passed += 1,
            Seen::Fail | Seen::SurelyFail => self.runs.failed += 1,
        }
        match seen {
            Seen::Pass => self.pass(),
            Seen::Fail if !self.passed && begun < self.counts_from => {
                self.forgiven = self.forgiven.saturating_add(1);
            }
            Seen::Fail => self.fail(),
            Seen::SurelyFail => {
                self.fail();
                self.state = State::Failing;
            }
        }
        self.last = Some(seen);
        let turned = before.1.is_some_and(|last| (last == Seen::Pass) != (seen == Seen::Pass));
        Some(Change { flipped: self.state != before.0, first: before.1.is_none(), turned })
    }

    /// Clears the counters but keeps the state. Called after lost time: results from before a gap can not
    /// be added to those after it.
    pub(super) fn forget(&mut self) {
        self.failed_in_row = 0;
        self.passed_in_row = 0;
        self.window.clear();
    }

    /// Forgets what is known: the target can not be checked. Returns whether anything was known.
    pub(super) fn lose_sight(&mut self) -> bool {
        self.forget();
        self.last = None;
        std::mem::replace(&mut self.state, State::Unknown) != State::Unknown
    }

    fn pass(&mut self) {
        self.passed = true;
        self.failed_in_row = 0;
        self.passed_in_row = self.passed_in_row.saturating_add(1);
        self.remember(false);
        let recovered = self.passed_in_row >= self.rule.successes && self.counted() < self.rule.failures;
        if self.state == State::Unknown || (self.state == State::Failing && recovered) {
            self.state = State::Passing;
        }
    }

    fn fail(&mut self) {
        self.passed_in_row = 0;
        self.failed_in_row = self.failed_in_row.saturating_add(1);
        self.remember(true);
        if self.counted() >= self.rule.failures {
            self.state = State::Failing;
        }
    }

    fn remember(&mut self, failed: bool) {
        if self.rule.window == 0 {
            return;
        }
        while self.window.len() >= self.rule.window as usize {
            self.window.pop_front();
        }
        self.window.push_back(failed);
    }

    fn counted(&self) -> u32 {
        if self.rule.window == 0 {
            return self.failed_in_row;
        }
        let failed = self.window.iter().filter(|failed| **failed).count();
        u32::try_from(failed).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn rule(failures: u32, window: u32, successes: u32) -> Rule {
        Rule { failures, window, successes }
    }

    /// Feeds results one second apart (`.` pass, `x` fail, `!` surely fail) and draws the state after each.
    fn play(rule: Rule, start_period: u32, results: &str) -> (String, Flip) {
        let received = Instant::now();
        let mut flip = Flip::new(rule, received, S * start_period);
        let mut drawn = String::new();
        for (second, result) in (0u32..).zip(results.chars()) {
            let seen = match result {
                '.' => Seen::Pass,
                'x' => Seen::Fail,
                _ => Seen::SurelyFail,
            };
            flip.observe(received + S * second, seen).expect("of this incarnation");
            drawn.push(match flip.state() {
                State::Unknown => '?',
                State::Passing => '.',
                State::Failing => 'F',
            });
        }
        (drawn, flip)
    }

    #[test]
    fn table() {
        for (what, rule, start_period, results, states) in [
            ("three in a row", rule(3, 0, 1), 0, "..xx.xxx.", ".......F."),
            ("one is enough", rule(1, 0, 1), 0, ".x.", ".F."),
            ("slow to recover", rule(1, 0, 3), 0, ".x..x...", ".FFFFFF."),
            ("never well", rule(3, 0, 1), 0, "xxxx", "??FF"),
            ("start period forgives", rule(2, 0, 1), 4, "xxxxxx", "?????F"),
            ("first success ends the start period", rule(2, 0, 1), 100, "xx.xx", "??..F"),
            ("two of the last three", rule(2, 3, 1), 0, ".x.x..x", "...F..."),
            ("a window is not left while it is full of failures", rule(3, 5, 1), 0, ".xxx...", "...FFF."),
            ("sure at once, even in the start period", rule(3, 0, 1), 100, "!.", "F."),
        ] {
            let (drawn, flip) = play(rule, start_period, results);
            assert_eq!(drawn, states, "{what}: {results}");
            let passed = results.matches('.').count() as u64;
            let runs = Runs { passed, failed: results.len() as u64 - passed };
            assert_eq!(flip.runs(), runs, "{what}: every check is counted");
        }
    }

    #[test]
    fn counts_as_a_person_does() {
        for (rule, start_period, results, failures) in [
            (rule(3, 0, 1), 0, "", 0),
            (rule(3, 0, 1), 0, ".xx", 2),
            (rule(3, 0, 1), 0, ".xx.", 0),
            (rule(3, 0, 1), 100, "xxxxx", 5),
            (rule(3, 0, 1), 3, "xxxx", 1),
            (rule(5, 10, 1), 0, ".x.x.x", 3),
            (rule(5, 10, 1), 0, ".x.x.x.", 0),
        ] {
            assert_eq!(play(rule, start_period, results).1.failures(), failures, "{results}");
        }
    }

    #[test]
    fn news_is_a_flip_a_first_result_and_every_turn() {
        let received = Instant::now();
        let mut flip = Flip::new(rule(3, 0, 1), received, Duration::ZERO);
        let mut news = |seen| flip.observe(received, seen).expect("counts").is_news();
        assert!(news(Seen::Pass), "first");
        assert!(!news(Seen::Pass));
        assert!(news(Seen::Fail), "first failure");
        assert!(!news(Seen::Fail), "second");
        assert!(news(Seen::Fail), "flip");
        assert!(!news(Seen::Fail));
        assert!(news(Seen::Pass), "flip back");
        assert!(news(Seen::Fail), "first failure");
        assert!(news(Seen::Pass), "and its end");
    }

    #[test]
    fn what_began_before_the_incarnation_means_nothing() {
        let received = Instant::now() + S;
        let mut flip = Flip::new(rule(1, 0, 1), received, Duration::ZERO);
        assert_eq!(flip.observe(received - Duration::from_nanos(1), Seen::Fail), None);
        assert_eq!((flip.state(), flip.failures()), (State::Unknown, 0));
    }

    #[test]
    fn a_gap_forgets_counts_and_keeps_the_state() {
        let received = Instant::now();
        let mut flip = Flip::new(rule(3, 0, 1), received, Duration::ZERO);
        for seen in [Seen::Pass, Seen::Fail, Seen::Fail] {
            flip.observe(received, seen);
        }
        flip.forget();
        flip.observe(received, Seen::Fail);
        assert_eq!((flip.state(), flip.failures()), (State::Passing, 1));
    }

    #[test]
    fn random_walk() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..2_000 {
            let failures = rng.u32(1..6);
            let window = if rng.bool() { 0 } else { rng.u32(failures..12) };
            let rule = rule(failures, window, rng.u32(1..4));
            let start = rng.u32(0..5);
            let received = Instant::now();
            let mut flip = Flip::new(rule, received, S * start);
            let mut history: Vec<(u32, bool)> = Vec::new();
            for second in 0..rng.u32(1..60) {
                let failed = rng.bool();
                let before = flip.state();
                let seen = if failed { Seen::Fail } else { Seen::Pass };
                let change = flip.observe(received + S * second, seen).expect("counts");
                history.push((second, failed));
                check_walk(rule, start, before, &flip, change, &history);
            }
        }
    }

    /// Checks the invariants after every step against the whole history instead of the counters.
    fn check_walk(
        rule: Rule,
        start: u32,
        before: State,
        flip: &Flip,
        change: Change,
        history: &[(u32, bool)],
    ) {
        let told = format!("{rule:?} start {start} {history:?}");
        let counted = |from: usize| history[from..].iter().filter(|(_, failed)| *failed).count();
        let in_row = history.iter().rev().take_while(|(_, failed)| *failed).count();
        let failed = in_row > 0;
        assert_eq!(change.flipped, before != flip.state(), "{told}");
        if flip.state() == State::Failing && before != State::Failing {
            assert!(failed, "a success never makes it fail: {told}");
            let from = if rule.window == 0 {
                history.len() - in_row
            } else {
                history.len().saturating_sub(rule.window as usize)
            };
            assert!(counted(from) >= rule.failures as usize, "failing without enough failures: {told}");
        }
        if flip.state() == State::Passing && before == State::Failing {
            let well = history.iter().rev().take_while(|(_, failed)| !failed).count();
            assert!(well >= rule.successes as usize, "recovered too soon: {told}");
        }
        if rule.window == 0 && in_row >= rule.failures as usize + start as usize {
            assert_eq!(flip.state(), State::Failing, "enough failures and not failing: {told}");
        }
        if history.iter().all(|(second, failed)| *failed && *second < start) {
            assert_eq!(flip.state(), State::Unknown, "the start period forgives: {told}");
        }
        assert_eq!(flip.failures() > 0, failed, "{told}");
    }
}
