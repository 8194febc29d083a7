//! Decides the words and the colour of a check, the same for `status`, `describe` and `top`: its state together with the
//! failures that count so far.

use anstyle::Style;
use proto::v1::CheckState;

use super::{BAD, BUSY, DIM, PLAIN, cut, one_line};
use crate::view::CheckView;

/// What a check's state and its count of failures say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CheckVerdict {
    /// Its last result passed.
    Passing,
    /// Its last result failed, and the failures are fewer than its threshold. Its state is still `passing`.
    Counting,
    /// Its failures have reached the threshold.
    Failing,
    /// There is no result that counts.
    Unknown,
}

impl CheckVerdict {
    /// Returns the verdict on a check.
    pub(crate) fn of(check: &CheckView) -> Self {
        match check.state {
            CheckState::Passing if check.failures > 0 => Self::Counting,
            CheckState::Passing => Self::Passing,
            CheckState::Failing => Self::Failing,
            CheckState::Unknown | CheckState::Unspecified => Self::Unknown,
        }
    }

    /// Returns the style in which a check with this verdict is shown.
    pub(crate) fn style(self) -> Style {
        match self {
            Self::Passing => PLAIN,
            Self::Counting => BUSY,
            Self::Failing => BAD,
            Self::Unknown => DIM,
        }
    }
}

/// Returns the words for a table: `port own`, `health failing`, `health 1 of 3 failed: 503`.
pub(crate) fn short(check: &CheckView) -> String {
    let id = one_line(&check.id);
    let detail = |width| check.detail.as_ref().map(|detail| cut(&one_line(detail), width));
    match CheckVerdict::of(check) {
        CheckVerdict::Passing => format!("{id} {}", detail(20).unwrap_or_else(|| "ok".into())),
        CheckVerdict::Counting => match detail(20) {
            Some(detail) => format!("{}: {detail}", shortest(check)),
            None => shortest(check),
        },
        CheckVerdict::Failing => format!("{id} failing"),
        CheckVerdict::Unknown => match detail(24) {
            Some(detail) if detail.starts_with("unknown") => format!("{id} {detail}"),
            _ => format!("{id} unknown"),
        },
    }
}

/// Summarizes checks where there is little room: `2 passing`, `1 failing`, `health 1 of 3 failed`, `1 of 2 passing`.
pub(crate) fn summary(checks: &[CheckView]) -> Option<(String, Style)> {
    let of = |verdict| checks.iter().filter(move |check| CheckVerdict::of(check) == verdict);
    let count = |verdict| of(verdict).count();
    let (all, passing, failing) = (checks.len(), count(CheckVerdict::Passing), count(CheckVerdict::Failing));
    let counting: Vec<String> = of(CheckVerdict::Counting).map(shortest).collect();
    Some(match (passing, failing) {
        _ if all == 0 => return None,
        (_, 1..) => (format!("{failing} failing"), BAD),
        _ if !counting.is_empty() => (counting.join(", "), BUSY),
        _ if passing == all => (format!("{all} passing"), PLAIN),
        _ => (format!("{passing} of {all} passing"), DIM),
    })
}

/// Returns the words for a check whose failures are counted, without what it said: `health 1 of 3 failed`.
fn shortest(check: &CheckView) -> String {
    format!("{} {} failed", one_line(&check.id), count(check))
}

/// Returns the words for a line of their own: `passing, 200`, `failing, 1 of 3: ECONNREFUSED`.
pub(crate) fn long(check: &CheckView) -> String {
    let detail = |mark: &str| {
        check.detail.as_deref().map(|detail| format!("{mark} {}", one_line(detail))).unwrap_or_default()
    };
    match CheckVerdict::of(check) {
        CheckVerdict::Passing => format!("passing{}", detail(",")),
        CheckVerdict::Counting | CheckVerdict::Failing => failing(check) + &detail(":"),
        CheckVerdict::Unknown => {
            let said = check.detail.as_deref().map(one_line).filter(|detail| detail.starts_with("unknown"));
            let failures = (check.failures > 0).then(|| format!(", {} failures", check.failures));
            said.unwrap_or_else(|| format!("unknown{}", detail(","))) + &failures.unwrap_or_default()
        }
    }
}

/// Returns `failing` with the count that belongs to it.
fn failing(check: &CheckView) -> String {
    let window = match check.window {
        0 => String::new(),
        window => format!(" in the last {window}"),
    };
    match check.failures {
        // It must pass more often than once to recover.
        0 => "failing, but passed last".into(),
        1 if check.threshold == 0 => "failing".into(),
        failures if failures > check.threshold => format!("failing, {failures} times{window}"),
        _ => format!("failing, {}{window}", count(check)),
    }
}

/// Returns the failures of the threshold: `1 of 3`. The threshold is not known from an older supervisor.
fn count(check: &CheckView) -> String {
    match check.threshold {
        0 => check.failures.to_string(),
        threshold => format!("{} of {threshold}", check.failures.min(threshold)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::testing::view;

    fn check(state: CheckState, failures: u32, threshold: u32, window: u32, detail: &str) -> CheckView {
        let mut check = view().services.remove(0).checks.remove(0);
        (check.state, check.failures, check.threshold, check.window) = (state, failures, threshold, window);
        check.detail = Some(detail.into());
        check
    }

    #[test]
    fn the_words_say_state_and_count() {
        use CheckState::{Failing, Passing, Unknown};
        for (state, failures, threshold, window, detail, table, line) in [
            (Passing, 0, 3, 0, "200", "health 200", "passing, 200"),
            (Passing, 1, 3, 0, "503", "health 1 of 3 failed: 503", "failing, 1 of 3: 503"),
            (Passing, 2, 3, 5, "503", "health 2 of 3 failed: 503", "failing, 2 of 3 in the last 5: 503"),
            (Passing, 1, 0, 0, "503", "health 1 failed: 503", "failing: 503"),
            (Passing, 2, 0, 0, "503", "health 2 failed: 503", "failing, 2 times: 503"),
            (Failing, 3, 3, 0, "503", "health failing", "failing, 3 of 3: 503"),
            (Failing, 9, 3, 0, "503", "health failing", "failing, 9 times: 503"),
            (Failing, 0, 3, 0, "200", "health failing", "failing, but passed last: 200"),
            (Unknown, 2, 3, 0, "503", "health unknown", "unknown, 503, 2 failures"),
            (Unknown, 0, 3, 0, "unknown, 9s old", "health unknown, 9s old", "unknown, 9s old"),
        ] {
            let check = check(state, failures, threshold, window, detail);
            assert_eq!((short(&check).as_str(), long(&check).as_str()), (table, line));
        }
    }

    #[test]
    fn a_check_whose_failures_count_is_never_shown_as_well() {
        let style = |state, failures| CheckVerdict::of(&check(state, failures, 3, 0, "503")).style();
        assert_eq!(style(CheckState::Passing, 1), BUSY, "the warning colour");
        assert_eq!(style(CheckState::Passing, 0), PLAIN);
        assert_eq!(style(CheckState::Failing, 3), BAD);
        assert_eq!(style(CheckState::Unknown, 1), DIM);
    }
}
