//! Converts durations and timestamps between the wire and std, with validation.

use std::time::{Duration, SystemTime};

/// Why a wire duration can not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct DurationError {
    /// Name of the field.
    pub field: &'static str,
    /// Problem with its value.
    pub problem: &'static str,
}

/// Converts a duration to the wire.
pub fn to_wire(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).expect("a second has fewer than 2^31 nanoseconds"),
    }
}

/// Converts a duration from the wire. Absent means zero; a negative value or one out of range is an error
/// that names the field.
pub fn from_wire(
    field: &'static str,
    wire: Option<prost_types::Duration>,
) -> Result<Duration, DurationError> {
    let Some(wire) = wire else { return Ok(Duration::ZERO) };
    let error = |problem| DurationError { field, problem };
    let seconds = u64::try_from(wire.seconds).map_err(|_| error("a negative duration"))?;
    let nanos = u32::try_from(wire.nanos).map_err(|_| error("a negative duration"))?;
    if nanos >= 1_000_000_000 {
        return Err(error("a second has fewer than 10^9 nanoseconds"));
    }
    Ok(Duration::new(seconds, nanos))
}

/// Converts a duration from the wire; anything unusable counts as absent.
pub fn lenient(wire: Option<prost_types::Duration>) -> Option<Duration> {
    wire.and_then(|wire| from_wire("duration", Some(wire)).ok())
}

/// Converts a wall-clock time to the wire.
pub fn stamp(time: SystemTime) -> prost_types::Timestamp {
    time.into()
}

/// Converts a wall-clock time from the wire.
pub fn unstamp(wire: Option<prost_types::Timestamp>) -> Option<SystemTime> {
    wire.and_then(|wire| SystemTime::try_from(wire).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_survive_the_wire() {
        for duration in [Duration::ZERO, Duration::from_millis(250), Duration::new(7, 999_999_999)] {
            assert_eq!(from_wire("interval", Some(to_wire(duration))), Ok(duration));
        }
        assert_eq!(from_wire("interval", None), Ok(Duration::ZERO));
    }

    #[test]
    fn nonsense_names_its_field() {
        for (seconds, nanos) in [(-1, 0), (0, -1), (0, 1_000_000_000)] {
            let error =
                from_wire("timeout", Some(prost_types::Duration { seconds, nanos })).expect_err("refused");
            assert!(error.to_string().starts_with("timeout: "), "{error}");
        }
        assert_eq!(lenient(Some(prost_types::Duration { seconds: -1, nanos: 0 })), None);
    }
}
