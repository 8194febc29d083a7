//! Pure: reads starts from the journal. Finds an incarnation that was given to two processes, and an event
//! that appears twice.

use std::collections::BTreeMap;

use serde_json::Value;

/// Facts read from a journal.
#[derive(Debug, Default)]
pub struct Told {
    /// Pid that was started or adopted, by service and incarnation.
    pub pids: BTreeMap<(String, u64), u32>,
    /// Number of starts.
    pub starts: u64,
    /// Number of runs that another supervisor adopted.
    pub adoptions: u64,
    /// Contradictions found in the journal.
    pub wrong: Vec<String>,
}

/// Reads all files of the journal, oldest first, as one text.
pub fn read(text: &str) -> Told {
    let mut told = Told::default();
    let mut started = BTreeMap::new();
    let mut seq = 0;
    for event in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let number = event["seq"].as_u64().unwrap_or(0);
        if number <= seq {
            told.wrong.push(format!("journal: event {number} follows event {seq}"));
        }
        seq = seq.max(number);
        let Some((service, run, pid)) = start(&event) else { continue };
        let key = (service.to_string(), run);
        let began = event["message"].as_str().is_some_and(|message| message.starts_with("start "));
        if began {
            told.starts += 1;
            if let Some(other) = started.insert(key.clone(), pid) {
                told.wrong
                    .push(format!("journal: {service} {run} was started twice: pid {other} and pid {pid}"));
            }
        } else {
            // The run was adopted, alive or dead.
            told.adoptions += 1;
        }
        if let Some(other) = told.pids.insert(key, pid).filter(|other| *other != pid) {
            told.wrong.push(format!("journal: {service} {run} is pid {other} and pid {pid}"));
        }
    }
    told
}

/// Returns service, incarnation and pid of an event about a start or an adoption.
fn start(event: &Value) -> Option<(&str, u64, u32)> {
    if event["kind"] != "start" {
        return None;
    }
    let pid = event["message"].as_str()?.split_once("pid ")?.1.split(' ').next()?.parse().ok()?;
    Some((event["service"].as_str()?, event["incarnation"].as_u64()?, pid))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64, run: u64, message: &str) -> String {
        format!(
            "{{\"seq\":{seq},\"kind\":\"start\",\"service\":\"s\",\"incarnation\":{run},\"message\":\"{message} (incarnation {run})\"}}\n"
        )
    }

    #[test]
    fn starts_and_adoptions_are_counted() {
        let text = event(1, 1, "start pid 10") + "half a li\n" + &event(2, 1, "adopted pid 10");
        let told = read(&(text + &event(5, 2, "start pid 11")));
        assert_eq!((told.starts, told.adoptions, told.pids.len()), (2, 1, 2));
        assert_eq!(told.wrong, [""; 0]);
    }

    #[test]
    fn a_number_used_twice_is_seen() {
        let told = read(&(event(1, 4, "start pid 10") + &event(2, 4, "start pid 11")));
        assert_eq!(told.wrong[0], "journal: s 4 was started twice: pid 10 and pid 11");
        let told = read(&(event(1, 4, "start pid 10") + &event(2, 4, "adopted pid 12")));
        assert_eq!(told.wrong, ["journal: s 4 is pid 10 and pid 12"]);
    }

    #[test]
    fn an_event_that_is_there_twice_is_seen() {
        let told = read(&(event(3, 1, "start pid 10") + &event(3, 2, "start pid 11")));
        assert_eq!(told.wrong, ["journal: event 3 follows event 3"]);
    }
}
