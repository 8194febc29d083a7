//! Decides what is reported to and requested from the supervisor, and when. Pure: the newest board goes in,
//! requests come out.

use std::collections::HashMap;
use std::time::Duration;

use proto::v1::Decision;
use proto::{REPORT_WHILE_STARTING, v1};
use tokio::time::Instant;

use super::Identity;
use super::board::{Row, Snapshot, cut};
use super::flip::State;
use super::target::Key;

/// Tracks the reports sent over one connection.
#[derive(Debug, Default)]
pub(super) struct Reported {
    last: Option<(u64, Instant)>,
}

impl Reported {
    /// Whether a report is due.
    pub(super) fn is_due(&self, board: &Snapshot, now: Instant) -> bool {
        match self.last {
            None => true,
            Some((news, _)) if news != board.news => true,
            Some(_) => self.next(board).is_some_and(|at| now >= at),
        }
    }

    /// Returns when the next report is due if nothing changes.
    pub(super) fn next(&self, board: &Snapshot) -> Option<Instant> {
        let starting = board.any_starting().then_some(REPORT_WHILE_STARTING);
        let counted = board.report_every.filter(|_| !board.rows.is_empty());
        let every = starting.into_iter().chain(counted).min()?;
        self.last.map(|(_, at)| at + every)
    }

    /// Notes that a report was sent.
    pub(super) fn sent(&mut self, board: &Snapshot, now: Instant) {
        self.last = Some((board.news, now));
    }
}

/// Builds a report with the newest state of every target.
pub(super) fn report(identity: &Identity, board: &Snapshot, now: Instant) -> v1::ReportHealthRequest {
    v1::ReportHealthRequest {
        monitor: identity.name.to_string(),
        session: identity.session.clone(),
        generation: board.generation,
        blind: board.blind.is_some(),
        blind_reason: board.blind.as_deref().map(cut).unwrap_or_default(),
        results: board.results(now),
    }
}

/// Restart requests and their answers. Outlives connections: an answer stays valid after a reconnect.
#[derive(Debug, Default)]
pub(super) struct Asked {
    known: HashMap<Key, Ask>,
    /// Generation of the target set for which the `not_before` times hold.
    generation: u64,
}

#[derive(Debug)]
struct Ask {
    incarnation: u64,
    /// Value of `asks` at the last request.
    reasons: u64,
    settled: bool,
    not_before: Option<Instant>,
}

impl Asked {
    /// Returns the targets for which a restart request is due.
    pub(super) fn due<'a>(&self, board: &'a Snapshot, now: Instant) -> Vec<&'a Row> {
        board.rows.iter().filter(|row| self.is_due(board, row, now)).collect()
    }

    fn is_due(&self, board: &Snapshot, row: &Row, now: Instant) -> bool {
        let view = &row.view;
        let sick =
            view.state == State::Failing && view.failures > 0 && view.asks > 0 && !view.verdict.foreign;
        if !sick || row.report_only || board.blind.is_some() {
            return false;
        }
        match self.known.get(&view.key) {
            Some(ask) if ask.incarnation == view.incarnation => {
                !ask.settled && view.asks > ask.reasons && ask.not_before.is_none_or(|then| now >= then)
            }
            _ => true,
        }
    }

    /// Notes the supervisor's answer.
    pub(super) fn answered(&mut self, row: &Row, answer: &v1::RequestRestartResponse, now: Instant) {
        let settled = matches!(answer.decision(), Decision::Accepted | Decision::Merged | Decision::Stale);
        // Caps the wait: a longer one is a mistake and must not silence the check for ever.
        let wait = proto::time::lenient(answer.retry_after).map(|wait| wait.min(Duration::from_secs(3600)));
        self.note(row, settled, wait.map(|wait| now + wait));
    }

    /// Notes that the supervisor refused the call: the request is repeated at the next failed check.
    pub(super) fn refused(&mut self, row: &Row) {
        self.note(row, false, None);
    }

    fn note(&mut self, row: &Row, settled: bool, not_before: Option<Instant>) {
        let view = &row.view;
        let ask = Ask { incarnation: view.incarnation, reasons: view.asks, settled, not_before };
        self.known.insert(view.key.clone(), ask);
    }

    /// Forgets targets that are gone. Also clears all waits when the supervisor has sent a new set: a
    /// person may have granted a new budget.
    pub(super) fn retain(&mut self, board: &Snapshot) {
        if self.generation != board.generation {
            self.generation = board.generation;
            self.known.values_mut().for_each(|ask| ask.not_before = None);
        }
        self.known.retain(|key, _| board.rows.binary_search_by(|row| row.view.key.cmp(key)).is_ok());
    }
}

/// Builds the request for one restart.
pub(super) fn ask(identity: &Identity, row: &Row) -> v1::RequestRestartRequest {
    v1::RequestRestartRequest {
        monitor: identity.name.to_string(),
        session: identity.session.clone(),
        service: row.view.key.service.to_string(),
        incarnation: row.view.incarnation,
        check: row.view.key.check.to_string(),
        evidence: Some(row.view.evidence()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proto::Name;
    use proto::time::to_wire;

    use super::super::board::View;
    use super::*;

    fn sick(incarnation: u64, asks: u64) -> Snapshot {
        let key =
            Key { service: Name::new("web").expect("a name"), check: Name::new("port").expect("a name") };
        let mut view = View::unknown(key, incarnation, "ECONNREFUSED".into());
        (view.state, view.failures, view.asks) = (State::Failing, 3, asks);
        Snapshot {
            rows: vec![Row { starting: false, report_only: false, view: Arc::new(view) }],
            ..Snapshot::default()
        }
    }

    fn edit(mut board: Snapshot, change: impl FnOnce(&mut Row, &mut View)) -> Snapshot {
        let mut view = (*board.rows[0].view).clone();
        change(&mut board.rows[0], &mut view);
        board.rows[0].view = Arc::new(view);
        board
    }

    fn answer(decision: Decision, retry_after: Option<Duration>) -> v1::RequestRestartResponse {
        v1::RequestRestartResponse {
            decision: decision.into(),
            retry_after: retry_after.map(to_wire),
            ..v1::RequestRestartResponse::default()
        }
    }

    #[test]
    fn reports_on_attach_on_news_and_every_two_seconds_while_starting() {
        let now = Instant::now();
        let mut board = sick(1, 1);
        let mut reported = Reported::default();
        assert!(reported.is_due(&board, now), "on attach");
        reported.sent(&board, now);
        assert!(!reported.is_due(&board, now + REPORT_WHILE_STARTING * 9), "else not");
        assert_eq!(reported.next(&board), None, "and no timer runs");
        board.news += 1;
        assert!(reported.is_due(&board, now));
        reported.sent(&board, now);
        board.rows[0].starting = true;
        assert!(!reported.is_due(&board, now + REPORT_WHILE_STARTING - Duration::from_millis(1)));
        assert!(reported.is_due(&board, now + REPORT_WHILE_STARTING));
        assert_eq!(reported.next(&board), Some(now + REPORT_WHILE_STARTING));
        board.rows[0].starting = false;
        let every = REPORT_WHILE_STARTING * 5;
        board.report_every = Some(every);
        assert_eq!(reported.next(&board), Some(now + every), "somebody counts checks");
        assert!(!reported.is_due(&board, now + every - Duration::from_millis(1)));
        assert!(reported.is_due(&board, now + every));
        board.rows.clear();
        assert_eq!(reported.next(&board), None, "there is nothing to count");
    }

    #[test]
    fn asks_once_for_each_failed_check_until_it_is_settled() {
        let now = Instant::now();
        for (decision, settles) in [
            (Decision::Accepted, true),
            (Decision::Merged, true),
            (Decision::Stale, true),
            (Decision::HeldBudget, false),
            (Decision::InGrace, false),
            (Decision::Paused, false),
            (Decision::NotWanted, false),
            (Decision::UnknownService, false),
            (Decision::Unspecified, false),
        ] {
            let mut asked = Asked::default();
            let first = sick(1, 1);
            assert_eq!(asked.due(&first, now).len(), 1);
            asked.answered(&first.rows[0], &answer(decision, None), now);
            assert_eq!(asked.due(&first, now).len(), 0, "{decision}: no new reason");
            assert_eq!(asked.due(&sick(1, 2), now).is_empty(), settles, "{decision}: the next failed check");
            assert_eq!(asked.due(&sick(2, 1), now).len(), 1, "{decision}: another incarnation");
        }
    }

    #[test]
    fn waits_as_long_as_it_is_told() {
        let now = Instant::now();
        let s = Duration::from_secs(1);
        let mut asked = Asked::default();
        asked.answered(&sick(1, 1).rows[0], &answer(Decision::HeldBrake, Some(s * 30)), now);
        assert_eq!(asked.due(&sick(1, 2), now + s * 29).len(), 0);
        assert_eq!(asked.due(&sick(1, 3), now + s * 30).len(), 1);
        let newer = Snapshot { generation: 1, ..sick(1, 4) };
        asked.retain(&newer);
        assert_eq!(asked.due(&newer, now).len(), 1, "the supervisor has something new to say");
    }

    #[test]
    fn never_asks_without_a_reason_of_the_services_own() {
        let now = Instant::now();
        let asked = Asked::default();
        for board in [
            edit(sick(1, 1), |_, view| view.state = State::Passing),
            edit(sick(1, 1), |_, view| view.failures = 0),
            edit(sick(1, 1), |_, view| view.verdict.foreign = true),
            edit(sick(1, 1), |row, _| row.report_only = true),
            Snapshot { blind: Some("was stopped".into()), ..sick(1, 1) },
            sick(1, 0),
        ] {
            assert!(asked.due(&board, now).is_empty(), "{board:?}");
        }
    }

    #[test]
    fn forgets_what_is_gone() {
        let mut asked = Asked::default();
        asked.refused(&sick(1, 1).rows[0]);
        asked.retain(&sick(1, 1));
        assert_eq!(asked.known.len(), 1);
        asked.retain(&Snapshot::default());
        assert_eq!(asked.known.len(), 0);
    }
}
