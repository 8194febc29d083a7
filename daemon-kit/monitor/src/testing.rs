//! Shared helpers of this crate's tests.

use std::time::Duration;

use proto::time::to_wire;
use proto::v1;

/// Returns a ready target of incarnation 1: interval 10 s, time-out 1 s, 3 failures in a row.
pub(super) fn wire(service: &str, check: &str) -> v1::Target {
    v1::Target {
        service: service.into(),
        incarnation: 1,
        pid: 4711,
        check: check.into(),
        interval: Some(to_wire(Duration::from_secs(10))),
        timeout: Some(to_wire(Duration::from_secs(1))),
        retry_interval: Some(to_wire(Duration::from_secs(10))),
        failures: 3,
        successes: 1,
        spec: Some(v1::target::Spec::Options(v1::Options::default())),
        ..v1::Target::default()
    }
}
