//! Snapshot of the state of every target, and its wire form.

use std::sync::Arc;
use std::time::Duration;

use proto::time::to_wire;
use proto::{bounds, v1};
use tokio::time::Instant;

use super::flip::{Runs, State};
use super::probe::Verdict;
use super::target::Key;

/// State of all targets at one instant.
#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot {
    /// Generation of the set of targets.
    pub(super) generation: u64,
    /// Counter that grows with each change that is reported to the supervisor at once.
    pub(super) news: u64,
    /// Reason why current measurements can not be trusted, if any.
    pub(super) blind: Option<String>,
    /// How often the supervisor wants a report although there is no news, if it does.
    pub(super) report_every: Option<Duration>,
    /// Sorted by key.
    pub(super) rows: Vec<Row>,
}

#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) starting: bool,
    pub(super) report_only: bool,
    pub(super) view: Arc<View>,
}

/// State of one target, from the checks of one incarnation.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) key: Key,
    pub(super) incarnation: u64,
    pub(super) state: State,
    pub(super) failures: u32,
    pub(super) runs: Runs,
    pub(super) latency: Duration,
    /// Time from the beginning of the last check to that of the next one; zero before the first.
    pub(super) every: Duration,
    /// When the last check ended; `None` before the first.
    pub(super) ended: Option<Instant>,
    pub(super) verdict: Verdict,
    /// Number of reasons to request a restart: grows with each failed check while the state is failing.
    pub(super) asks: u64,
}

impl View {
    /// Creates the view of a target that was not checked, with the reason.
    pub(super) fn unknown(key: Key, incarnation: u64, detail: String) -> Self {
        let verdict = Verdict { detail, ..Verdict::default() };
        let (failures, latency, every, asks) = (0, Duration::ZERO, Duration::ZERO, 0);
        let (state, runs, ended) = (State::Unknown, Runs::default(), None);
        Self { key, incarnation, state, failures, runs, latency, every, ended, verdict, asks }
    }

    pub(super) fn to_wire(&self, now: Instant) -> v1::CheckResult {
        let state = match self.state {
            State::Unknown => v1::CheckState::Unknown,
            State::Passing => v1::CheckState::Passing,
            State::Failing => v1::CheckState::Failing,
        };
        v1::CheckResult {
            service: self.key.service.to_string(),
            incarnation: self.incarnation,
            check: self.key.check.to_string(),
            state: state.into(),
            failures: self.failures,
            latency: self.ended.map(|_| to_wire(self.latency)),
            age: self.ended.map(|ended| to_wire(now.saturating_duration_since(ended))),
            detail: cut(&self.verdict.detail),
            foreign: self.verdict.foreign,
            stalled: self.verdict.stalled,
            every: self.ended.map(|_| to_wire(self.every)),
            passed: self.runs.passed,
            failed: self.runs.failed,
        }
    }

    /// Returns the evidence for a restart request.
    pub(super) fn evidence(&self) -> v1::Evidence {
        let Verdict { detail, evidence, .. } = &self.verdict;
        let summary = if evidence.summary.is_empty() { detail } else { &evidence.summary };
        v1::Evidence {
            summary: cut(summary),
            http_status: evidence.http_status.into(),
            body_head: evidence.body_head.iter().take(bounds::BODY_HEAD).copied().collect(),
            errno: evidence.errno.clone(),
            owner_pid: evidence.owner_pid,
            owner_command: cut(&evidence.owner_command),
            failures: self.failures,
        }
    }
}

impl Snapshot {
    /// Whether the supervisor waits for any target to become ready.
    pub(super) fn any_starting(&self) -> bool {
        self.rows.iter().any(|row| row.starting)
    }

    pub(super) fn results(&self, now: Instant) -> Vec<v1::CheckResult> {
        self.rows.iter().map(|row| row.view.to_wire(now)).collect()
    }
}

/// Returns one short printable line: text from a service is untrusted and may hold any bytes.
pub(super) fn cut(text: &str) -> String {
    // Every character has at least one byte, so `DETAIL` characters are always enough.
    let line = text.chars().take(bounds::DETAIL).map(proto::text::printable).collect();
    bounds::cut(line, bounds::DETAIL)
}

#[cfg(test)]
mod tests {
    use proto::Name;

    use super::*;

    #[test]
    fn what_a_service_says_becomes_one_short_line() {
        let key =
            Key { service: Name::new("web").expect("a name"), check: Name::new("health").expect("a name") };
        let mut view = View::unknown(key, 1, format!("500\r\n\u{1b}[31m{}", "é".repeat(1000)));
        view.verdict.evidence.body_head = vec![b'x'; 1000];
        let result = view.to_wire(Instant::now());
        assert!(result.detail.starts_with("500   [31mé") && result.detail.len() <= bounds::DETAIL);
        assert_eq!(result.age, None, "it was never checked");
        let evidence = view.evidence();
        assert_eq!(evidence.summary, result.detail, "without a summary the detail serves");
        assert_eq!(evidence.body_head.len(), bounds::BODY_HEAD);
    }
}
