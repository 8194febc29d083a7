//! Parses a cron line and finds its next time, by the wall clock of a time zone.
//!
//! Summer time: when the clock is set forward, `30 2 * * *` comes as soon as the gap is over; when it is set back, it
//! comes once, the first time. A line with a `*` or a step in its minutes or hours means an interval: it skips the gap,
//! and comes in both passes of the repeated hour.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use croner::errors::CronError as Cause;
use croner::parser::{CronParser, Year};
use croner::time::{CivilDate, CivilDateTime, CivilTime, CronDateTime, Resolution, Weekday};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ZonedDateTime};

/// Why a cron line or its time zone can not be used.
#[derive(Debug, thiserror::Error)]
pub enum CronError {
    /// The line can not be parsed.
    #[error("must be a line of cron such as \"0 3 * * *\" (minute hour day month weekday): {}", cause(.0))]
    Line(#[source] Cause),
    /// No year has such a day.
    #[error("names a day that never comes")]
    Never,
    /// This host does not know the time zone.
    #[error("can not find the time zone {0:?}: a name such as \"Europe/Madrid\" (is tzdata installed?)")]
    Zone(String),
}

/// A recurring time.
#[derive(Clone)]
pub struct Cron {
    text: String,
    zone: Option<String>,
    pattern: Arc<croner::Cron>,
}

impl Cron {
    /// Reads `minute hour day month weekday`, with seconds before them if there are six, or `@daily` and its like.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let parser = CronParser::builder().year(Year::Disallowed).build();
        let pattern = parser.parse(text).map_err(CronError::Line)?;
        let cron = Self { text: text.trim().into(), zone: None, pattern: Arc::new(pattern) };
        // The search starts on a fixed day, so that the result does not depend on today: the 29th of February is at
        // most eight years away, the 30th never comes.
        if cron.after_in(&TimeZone::UTC, Timestamp::UNIX_EPOCH).is_none() {
            return Err(CronError::Never);
        }
        Ok(cron)
    }

    /// Returns the same times by the clock of a time zone, such as `Europe/Madrid`.
    #[must_use]
    pub fn in_zone(self, zone: Option<String>) -> Self {
        Self { zone, ..self }
    }

    /// Returns the first time after `moment`; `None` if this host does not know the time zone.
    pub fn after(&self, moment: SystemTime) -> Option<SystemTime> {
        let zone = self.find_zone().ok()?;
        let moment = Timestamp::try_from(moment).ok()?;
        SystemTime::try_from(self.after_in(&zone, moment)?).ok()
    }

    /// Checks that this host knows the time zone.
    pub fn check_zone(&self) -> Result<(), CronError> {
        self.find_zone().map(|_| ())
    }

    /// Returns the line as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn after_in(&self, zone: &TimeZone, moment: Timestamp) -> Option<Timestamp> {
        let from = Clock(moment.to_zoned_datetime(zone.clone()));
        let next = self.pattern.find_next_occurrence(&from, false).ok()?;
        // No schedule is meant to reach that far.
        (next.0.year() < 4_000).then(|| next.0.timestamp())
    }

    fn find_zone(&self) -> Result<TimeZone, CronError> {
        let Some(name) = &self.zone else { return Ok(TimeZone::system()) };
        TimeZone::get(name).map_err(|_| CronError::Zone(name.clone()))
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.zone {
            Some(zone) => write!(f, "{} {zone}", self.text),
            None => write!(f, "{}", self.text),
        }
    }
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, &self.zone) == (&other.text, &other.zone)
    }
}

impl Eq for Cron {}

/// Returns the parser's reason, without capitals and full stop.
fn cause(error: &Cause) -> String {
    match error {
        Cause::InvalidPattern(what) | Cause::IllegalCharacters(what) | Cause::ComponentError(what) => {
            what.trim_end_matches('.').to_lowercase()
        }
        Cause::EmptyPattern => "it is empty".into(),
        Cause::InvalidDate | Cause::InvalidTime | Cause::TimeSearchLimitExceeded => {
            "it names a time that never comes".into()
        }
    }
}

/// A time of `jiff` for the search of `croner`, which has no adapter for this library.
#[derive(Clone)]
struct Clock(ZonedDateTime);

impl CronDateTime for Clock {
    fn to_civil(&self) -> CivilDateTime {
        let time = self.0.datetime();
        let unsigned = |part: i8| u32::try_from(part).unwrap_or(0);
        CivilDateTime::new(
            CivilDate::from_parts_unchecked(
                i32::from(time.year()),
                unsigned(time.month()),
                unsigned(time.day()),
            ),
            CivilTime::from_parts_unchecked(
                unsigned(time.hour()),
                unsigned(time.minute()),
                unsigned(time.second()),
            ),
        )
    }

    fn civil_weekday(&self) -> Weekday {
        Weekday::from_days_from_sunday(u32::try_from(self.0.weekday().to_sunday_zero_offset()).unwrap_or(0))
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, Cause> {
        let small = |part: u32| i8::try_from(part).map_err(|_| Cause::InvalidTime);
        let year = i16::try_from(civil.year()).map_err(|_| Cause::InvalidDate)?;
        let (month, day) = (small(civil.month())?, small(civil.day())?);
        let (hour, minute, second) = (small(civil.hour())?, small(civil.minute())?, small(civil.second())?);
        let time =
            DateTime::new(year, month, day, hour, minute, second, 0).map_err(|_| Cause::InvalidDate)?;
        let found = self.0.time_zone().to_ambiguous_zoned_datetime(time);
        let there =
            |zoned: Result<ZonedDateTime, jiff::Error>| zoned.map(Self).map_err(|_| Cause::InvalidTime);
        Ok(match found.offset() {
            AmbiguousOffset::Unambiguous { .. } => Resolution::Single(there(found.unambiguous())?),
            AmbiguousOffset::Fold { .. } => {
                Resolution::Ambiguous(there(found.clone().earlier())?, there(found.later())?)
            }
            AmbiguousOffset::Gap { .. } => Resolution::Gap,
        })
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        self.0.checked_add(SignedDuration::from_secs(seconds)).ok().map(Self)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.0.timestamp().cmp(&other.0.timestamp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the next times after a moment, as the clock in Madrid shows them.
    fn next(line: &str, from: &str, count: usize) -> Vec<String> {
        let cron = Cron::parse(line).expect("a line").in_zone(Some("Europe/Madrid".into()));
        let from = from.parse::<Timestamp>().expect("a moment");
        let mut at = SystemTime::try_from(from).expect("in range");
        let mut shown = Vec::new();
        for _ in 0..count {
            at = cron.after(at).expect("there is a next one");
            let at = Timestamp::try_from(at).expect("in range");
            let at = at.to_zoned_datetime(TimeZone::get("Europe/Madrid").expect("known"));
            shown.push(at.strftime("%d %H:%M %:z").to_string());
        }
        shown
    }

    #[test]
    fn it_comes_by_the_clock_of_its_place_and_never_at_the_moment_itself() {
        assert_eq!(next("0 3 * * *", "2026-01-10T02:00:00Z", 1), ["11 03:00 +01:00"]);
        assert_eq!(next("0 3 * * *", "2026-07-10T00:59:59Z", 2), ["10 03:00 +02:00", "11 03:00 +02:00"]);
        assert_eq!(next("@weekly", "2026-01-07T00:00:00Z", 1), ["11 00:00 +01:00"]);
        assert_eq!(next("*/20 * * * * *", "2026-01-07T00:00:01.5Z", 1), ["07 01:00 +01:00"]);
    }

    #[test]
    fn a_time_that_summer_time_skips_comes_when_the_gap_is_over_and_only_that_day() {
        // 2026-03-29: 02:00 is 03:00.
        let days = next("30 2 * * *", "2026-03-27T12:00:00Z", 3);
        assert_eq!(days, ["28 02:30 +01:00", "29 03:00 +02:00", "30 02:30 +02:00"]);
        let often = next("*/30 * * * *", "2026-03-29T00:20:00Z", 3);
        assert_eq!(often, ["29 01:30 +01:00", "29 03:00 +02:00", "29 03:30 +02:00"]);
    }

    #[test]
    fn a_time_that_comes_twice_counts_once_but_every_half_hour_is_every_half_hour() {
        // 2026-10-25: 03:00 is 02:00 again.
        let days = next("30 2 * * *", "2026-10-24T12:00:00Z", 2);
        assert_eq!(days, ["25 02:30 +02:00", "26 02:30 +01:00"]);
        let often = next("*/30 * * * *", "2026-10-25T00:10:00Z", 4);
        assert_eq!(often, ["25 02:30 +02:00", "25 02:00 +01:00", "25 02:30 +01:00", "25 03:00 +01:00"]);
    }

    #[test]
    fn what_is_no_line_or_never_comes_is_said() {
        for (line, words) in [
            ("every day", "must be a line of cron such as"),
            ("0 3 * *", "must be a line of cron such as"),
            ("61 * * * *", "must be a line of cron such as"),
            ("0 0 30 2 *", "never comes"),
        ] {
            let error = Cron::parse(line).expect_err(line).to_string();
            assert!(error.contains(words), "{line}: {error}");
        }
        assert!(Cron::parse("0 0 29 2 *").is_ok(), "leap years come");
        let nowhere = Cron::parse("@daily").expect("a line").in_zone(Some("Mars/Olympus".into()));
        assert!(nowhere.after(SystemTime::UNIX_EPOCH).is_none());
        assert!(nowhere.check_zone().expect_err("unknown").to_string().contains("Mars/Olympus"));
    }
}
