//! The role that each call needs: one row per RPC. This table alone decides.

use proto::Role;
use proto::Role::{Monitor, Operator, Viewer};

/// Service, call, and the lowest role that may make the call.
pub const ROWS: &[(&str, &str, Role)] = &[
    ("sereno.v1.Supervisor", "GetStatus", Viewer),
    ("sereno.v1.Supervisor", "WatchStatus", Viewer),
    ("sereno.v1.Supervisor", "GetTimeline", Viewer),
    ("sereno.v1.Supervisor", "GetIncidents", Viewer),
    ("sereno.v1.Supervisor", "GetEvidence", Viewer),
    ("sereno.v1.Supervisor", "WatchEvents", Viewer),
    ("sereno.v1.Supervisor", "ReadLogs", Viewer),
    ("sereno.v1.Supervisor", "Start", Operator),
    ("sereno.v1.Supervisor", "Stop", Operator),
    ("sereno.v1.Supervisor", "Restart", Operator),
    ("sereno.v1.Supervisor", "Reload", Operator),
    ("sereno.v1.Supervisor", "Signal", Operator),
    ("sereno.v1.Supervisor", "Reset", Operator),
    ("sereno.v1.Supervisor", "Pause", Operator),
    ("sereno.v1.Supervisor", "Resume", Operator),
    ("sereno.v1.Supervisor", "Plan", Operator),
    ("sereno.v1.Supervisor", "Apply", Operator),
    ("sereno.v1.Supervisor", "AddService", Operator),
    ("sereno.v1.Supervisor", "RemoveService", Operator),
    ("sereno.v1.Supervisor", "Shutdown", Operator),
    ("sereno.v1.Supervisor", "Upgrade", Operator),
    // Targets may hold headers and environments, which a viewer may not see.
    ("sereno.v1.Arbiter", "WatchTargets", Monitor),
    ("sereno.v1.Arbiter", "ReportHealth", Monitor),
    ("sereno.v1.Arbiter", "RequestRestart", Monitor),
    ("sereno.v1.Monitor", "GetMonitorStatus", Viewer),
    ("sereno.v1.Monitor", "WatchMonitorStatus", Viewer),
    // This call makes a monitor act, which other monitors have no reason to do.
    ("sereno.v1.Monitor", "CheckNow", Operator),
    ("grpc.health.v1.Health", "Check", Viewer),
    ("grpc.health.v1.Health", "Watch", Viewer),
    ("grpc.reflection.v1.ServerReflection", "ServerReflectionInfo", Viewer),
    ("grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo", Viewer),
];

/// Returns the role that a call needs, by its path on the wire. A call without a row needs `Operator`; an
/// operator then learns that no such call exists.
pub fn needed(path: &str) -> Role {
    let (service, call) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
    ROWS.iter().find(|row| (row.0, row.1) == (service, call)).map_or(Operator, |row| row.2)
}

/// Returns the call's short name, for display.
pub fn call(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    /// Returns every RPC that any of our endpoints serves.
    fn served() -> BTreeSet<(String, String)> {
        let sets = [
            proto::DESCRIPTORS,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        let mut served = BTreeSet::new();
        for set in sets {
            for file in FileDescriptorSet::decode(set).expect("descriptors").file {
                for service in &file.service {
                    let name = format!("{}.{}", file.package(), service.name());
                    served.extend(service.method.iter().map(|call| (name.clone(), call.name().to_owned())));
                }
            }
        }
        assert!(served.len() > 20, "the descriptors were not found: {served:?}");
        served
    }

    #[test]
    fn no_call_is_without_a_row_and_no_row_without_a_call() {
        let rows: BTreeSet<(String, String)> =
            ROWS.iter().map(|(service, call, _)| ((*service).into(), (*call).into())).collect();
        assert_eq!(rows.len(), ROWS.len(), "a call stands there twice");
        let served = served();
        let without: Vec<_> = served.difference(&rows).collect();
        assert!(without.is_empty(), "calls without a row: {without:?}");
        let idle: Vec<_> = rows.difference(&served).collect();
        assert!(idle.is_empty(), "rows without a call: {idle:?}");
    }

    #[test]
    fn a_monitor_may_do_three_things_and_a_viewer_changes_nothing() {
        let monitor: Vec<_> = ROWS.iter().filter(|row| row.2 == Monitor).map(|row| row.1).collect();
        assert_eq!(monitor, ["WatchTargets", "ReportHealth", "RequestRestart"]);
        let viewer = ROWS.iter().filter(|row| row.2 == Viewer).map(|row| row.1);
        for call in viewer {
            let reads = ["Get", "Watch", "Read", "Check", "ServerReflection"];
            assert!(reads.iter().any(|verb| call.starts_with(verb)), "{call}");
        }
        assert_eq!(needed("/sereno.v1.Supervisor/Stop"), Operator);
        assert_eq!(needed("/sereno.v1.Supervisor/GetStatus"), Viewer);
        for odd in ["", "/", "/sereno.v1.Supervisor", "//sereno.v1.Supervisor/GetStatus/x", "/x/GetStatus"] {
            assert_eq!(needed(odd), Operator, "{odd}");
        }
    }
}
