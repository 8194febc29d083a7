//! All metrics. `docs/metrics.md` has the same table, checked by a test.

/// A metric with its name, kind and help text.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) help: &'static str,
}

macro_rules! families {
    ($($id:ident = $name:literal $kind:ident $help:literal;)*) => {
        $(pub(super) static $id: Family = Family { name: $name, kind: stringify!($kind), help: $help };)*
        #[cfg(test)]
        pub(super) static ALL: &[&Family] = &[$(&$id),*];
    };
}

families! {
    BUILD = "sereno_build_info" gauge "Always 1; the label is the version of the supervisor.";
    STARTED = "sereno_start_time_seconds" gauge "When the supervisor started or was upgraded, in seconds since 1970.";
    OWN_CPU = "process_cpu_seconds_total" counter "CPU time of the supervisor itself.";
    OWN_MEMORY = "process_resident_memory_bytes" gauge "Resident memory of the supervisor itself.";
    NEWER = "sereno_config_newer" gauge "1: the file has changed since it was applied.";
    UNGUARDED = "sereno_unguarded" gauge "1: nobody would start the supervisor again if it died.";
    BRAKE = "sereno_brake" gauge "1: restarts are held for the whole host.";
    UNBOUND = "sereno_unbound_endpoints" gauge "Endpoints of the supervisor that can not be bound.";
    CERTIFICATE = "sereno_certificate_expiry_timestamp_seconds" gauge "When the first certificate in the file ends, in seconds since 1970.";
    DECISIONS = "sereno_decisions_total" counter "Answers to requests for a restart, of monitors and of the watchdog.";
    INCIDENTS = "sereno_incidents_open" gauge "Services that have an open incident.";
    RECOVERY = "sereno_recovery_seconds" histogram "From the first evidence that a service did not serve until it was ready again.";
    ATTACHED = "sereno_monitor_attached" gauge "1: the monitor's stream to the supervisor is open.";
    BLIND = "sereno_monitor_blind" gauge "1: the monitor doubts what it measures.";
    UP = "sereno_service_up" gauge "1: the service runs and is ready, or has completed (a job between its runs too).";
    WANTED = "sereno_service_wanted" gauge "1: the service is wanted up; 0: a person stopped it.";
    READY = "sereno_service_ready" gauge "1: the service runs and is ready.";
    UNREADY = "sereno_unready_seconds_total" counter "How long it was wanted up and not ready.";
    STATE = "sereno_service_state" gauge "1 for the state that the service is in, 0 for all others.";
    PAUSED = "sereno_service_paused" gauge "1: requests of monitors are not acted on.";
    FROZEN = "sereno_service_frozen" gauge "1: it lives and does nothing, as far as the watchdog can tell.";
    HELD = "sereno_held_requests" gauge "1: a restart that a monitor asked for is held.";
    INCARNATION = "sereno_service_incarnation" gauge "Number of the current or the last run.";
    SINCE = "sereno_service_start_time_seconds" gauge "When the current run started, in seconds since 1970.";
    NEXT_RUN = "sereno_next_run_timestamp_seconds" gauge "When it is run or restarted by its schedule, in seconds since 1970.";
    EXIT = "sereno_last_exit_code" gauge "Exit code of the last run that ended; 128 and the number of the signal that ended it.";
    DROPPED = "sereno_log_dropped_bytes_total" counter "Bytes of output that could not be written.";
    RESTARTS = "sereno_restarts_total" counter "Starts after the first, by the cause of the end before it; from 0 again after ctl reset. Managed monitors too.";
    CPU = "sereno_cpu_seconds_total" counter "CPU time of all processes of the current run, as seen by those who read this. Managed monitors too.";
    MEMORY = "sereno_memory_bytes" gauge "Resident memory of all processes. Managed monitors too.";
    PROCESSES = "sereno_processes" gauge "Processes. Managed monitors too.";
    CHECK = "sereno_check_state" gauge "1 for what the check says of the current run (passing, failing, unknown), 0 for all others.";
    CHECK_RUNS = "sereno_check_runs_total" counter "Checks that ended, by result (passed, failed), as monitors report them: at once with any news, else each 15 s.";
    FAILURES = "sereno_check_failures" gauge "Failures of the check that count so far, also while they are too few and it is passing.";
    LATENCY = "sereno_check_latency_seconds" gauge "How long the last check took.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_the_docs_has_the_same_table() {
        let docs = include_str!("../../../docs/metrics.md");
        let rows = docs.lines().filter(|line| line.starts_with("| `"));
        let rows: Vec<(&str, &str, &str)> = rows
            .map(|line| {
                let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
                (cells[0].trim_matches('`'), cells[1], cells[3])
            })
            .collect();
        let ours: Vec<_> = ALL.iter().map(|family| (family.name, family.kind, family.help)).collect();
        assert_eq!(rows, ours);
        for (name, kind, _) in ours {
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
        }
    }
}
