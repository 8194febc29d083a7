//! Formats times for display.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Formats a duration with at most two units: `0.5 s`, `42 s`, `3m 20s`, `2h 4m`, `3d 4h`. That is exact
/// enough to act on.
pub(crate) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match seconds {
        0..10 => {
            // Truncated like all other units: 9.96 s is not yet 10 s.
            let tenths = duration.as_millis() / 100;
            format!("{}.{} s", tenths / 10, tenths % 10)
        }
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes}m {}s", seconds % 60),
        3600..86_400 => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

/// Formats the local time: `12:00:03.1`.
pub(crate) fn clock(time: Option<SystemTime>, zone: &TimeZone) -> String {
    let Some(time) = time.and_then(|time| Timestamp::try_from(time).ok()) else {
        return "--:--:--.-".into();
    };
    let local = time.to_zoned_datetime(zone.clone());
    let tenth = local.subsec_nanosecond() / 100_000_000;
    format!("{:02}:{:02}:{:02}.{tenth}", local.hour(), local.minute(), local.second())
}

/// Formats the local date: `2024-05-01`.
pub(crate) fn day(time: Option<SystemTime>, zone: &TimeZone) -> Option<String> {
    let time = Timestamp::try_from(time?).ok()?;
    Some(time.to_zoned_datetime(zone.clone()).date().to_string())
}

/// Formats a time by RFC 3339 in UTC, always with milliseconds.
pub(crate) fn rfc3339(time: SystemTime) -> Option<String> {
    let time = Timestamp::try_from(time).ok()?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
}

/// Formats bytes in the largest unit in which the number is at least 1.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut tenths = bytes / 100;
    let mut unit = 0;
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_figures() {
        for (milliseconds, text) in [
            (0, "0.0 s"),
            (500, "0.5 s"),
            (3_249, "3.2 s"),
            (9_999, "9.9 s"),
            (10_000, "10 s"),
            (59_999, "59 s"),
            (200_000, "3m 20s"),
            (7_440_000, "2h 4m"),
            (273_600_000, "3d 4h"),
        ] {
            assert_eq!(span(Duration::from_millis(milliseconds)), text);
        }
    }

    #[test]
    fn clocks_are_local_and_cut_to_a_tenth() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_714_564_803_199);
        assert_eq!(clock(Some(time), &TimeZone::UTC), "12:00:03.1");
        let two_hours_east = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(clock(Some(time), &two_hours_east), "14:00:03.1");
        assert_eq!(clock(None, &TimeZone::UTC), "--:--:--.-");
        assert_eq!(rfc3339(time).as_deref(), Some("2024-05-01T12:00:03.199Z"));
        assert_eq!(day(Some(time), &TimeZone::UTC).as_deref(), Some("2024-05-01"));
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [(0, "0 B"), (999, "999 B"), (84_000_000, "84.0 MB"), (1_500, "1.5 kB")] {
            assert_eq!(size(bytes), text);
        }
        assert_eq!(size(u64::MAX), "18446.7 PB");
    }
}
