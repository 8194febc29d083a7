//! Renders incidents: the table of `incidents`, its JSON, and the first line of `why`.

use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use proto::time::{lenient, unstamp};
use proto::v1::Incident;
use serde::Serialize;

use super::time::{clock, day, rfc3339, span};
use super::{BAD, BOLD, DIM, Look, PLAIN, cut, one_line};

/// Spaces between two columns.
const GAP: &str = "  ";

const TITLES: [&str; 6] = ["ID", "SERVICE", "BEGAN", "DOWN", "CAUSE", "HEALED BY"];

/// The column that is cut if space is short.
const CAUSE: usize = 4;

/// The least width at which it is of use.
const WORTH: usize = 16;

/// Renders incidents as a table, one line each.
pub(crate) fn table(incidents: &[Incident], now: SystemTime, zone: &TimeZone, look: Look) -> String {
    let rows: Vec<[String; 6]> = std::iter::once(TITLES.map(String::from))
        .chain(incidents.iter().map(|incident| row(incident, now, zone)))
        .collect();
    let mut widths: [usize; 6] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let others: usize = widths.iter().sum::<usize>() - widths[CAUSE] + GAP.len() * (TITLES.len() - 1);
    widths[CAUSE] = widths[CAUSE].min(look.width.saturating_sub(others).max(WORTH));
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let is_open = number > 0 && incidents[number - 1].healed.is_none();
        for (column, cell) in row.iter().enumerate() {
            let cell = cut(cell, widths[column]);
            let pad = " ".repeat(widths[column] - cell.chars().count());
            let style = match column {
                _ if number == 0 => BOLD,
                5 if is_open => BAD,
                _ => PLAIN,
            };
            let painted = look.paint(style, &cell);
            match column {
                0 | 3 => text.extend([pad, painted]),
                5 => text.push_str(&painted),
                _ => text.extend([painted, pad]),
            }
            text.push_str(if column == 5 { "\n" } else { GAP });
        }
    }
    text
}

fn row(incident: &Incident, now: SystemTime, zone: &TimeZone) -> [String; 6] {
    let began = unstamp(incident.began);
    let time = clock(began, zone);
    let is_today = day(began, zone) == day(Some(now), zone);
    let began =
        day(began, zone).filter(|_| !is_today).map_or(time.clone(), |day| format!("{day} {}", &time[..5]));
    let healed = match incident.healed_by.as_str() {
        "" => "open".into(),
        by => one_line(by),
    };
    let [id, service] = [incident.id.to_string(), one_line(&incident.service)];
    [id, service, began, span(down(incident)), cause(incident), healed]
}

/// Returns the first cause: `http: health failed: 503`, or `dependency (incident 7): health failed: 503`.
fn cause(incident: &Incident) -> String {
    let kind = match incident.cause_incident {
        0 => incident.cause_kind.clone(),
        other => format!("{} (incident {other})", incident.cause_kind),
    };
    one_line(&format!("{kind}: {}", incident.cause))
}

/// Renders the first line of `why`: `down 2.3 s (12:00:01.1 to 12:00:03.4), noticed after 2.0 s, healed by a restart`.
pub(crate) fn headline(incident: &Incident, now: SystemTime, zone: &TimeZone, look: Look) -> String {
    let (began, healed) = (unstamp(incident.began), unstamp(incident.healed));
    let today = day(Some(now), zone);
    let date = day(began, zone).filter(|began| Some(began) != today.as_ref());
    let date = date.map_or_else(String::new, |date| format!("{date} "));
    let from = format!("{date}{}", clock(began, zone));
    let times = match healed {
        Some(_) => format!("({from} to {})", clock(healed, zone)),
        None => format!("(since {from})"),
    };
    let noticed =
        unstamp(incident.noticed).zip(began).and_then(|(noticed, began)| noticed.duration_since(began).ok());
    let noticed = noticed.filter(|after| *after >= Duration::from_millis(50));
    let noticed = noticed.map_or_else(String::new, |after| format!(", noticed after {}", span(after)));
    let runs = match incident.restarts {
        0 | 1 => "a restart".into(),
        many => format!("{many} restarts"),
    };
    let end = match incident.healed_by.as_str() {
        "" if incident.restarts > 0 => format!(", not healed by {runs} so far"),
        "" => ", not healed yet".into(),
        "supervisor" => format!(", healed by {runs}"),
        "person" => ", ended by a person".into(),
        _ => ", healed by itself".into(),
    };
    let style = if healed.is_some() { PLAIN } else { BAD };
    let mut line = look.paint(style, &format!("down {} {times}{noticed}{end}", span(down(incident))));
    if incident.cause_incident != 0 {
        let because = format!("\nbecause of incident {}, of a dependency", incident.cause_incident);
        line.push_str(&look.paint(DIM, &because));
    }
    line
}

fn down(incident: &Incident) -> Duration {
    lenient(incident.downtime).unwrap_or_default()
}

/// JSON of `incidents`: `{ "incidents": [ … ] }`.
#[derive(Serialize)]
pub(crate) struct Document<'a> {
    incidents: Vec<IncidentJson<'a>>,
}

/// JSON of one incident; its fields are part of the contract.
#[derive(Serialize)]
pub(crate) struct IncidentJson<'a> {
    id: u64,
    service: &'a str,
    began: Option<String>,
    noticed: Option<String>,
    acted: Option<String>,
    healed: Option<String>,
    downtime_seconds: f64,
    cause: CauseJson<'a>,
    healed_by: Option<&'a str>,
    runs: [u64; 2],
    restarts: u32,
    evidence: Option<&'a str>,
}

#[derive(Serialize)]
struct CauseJson<'a> {
    kind: &'a str,
    text: &'a str,
    incident: Option<u64>,
}

impl<'a> Document<'a> {
    pub(crate) fn new(incidents: &'a [Incident]) -> Self {
        Self { incidents: incidents.iter().map(IncidentJson::new).collect() }
    }
}

impl<'a> IncidentJson<'a> {
    pub(crate) fn new(incident: &'a Incident) -> Self {
        let time = |stamp| unstamp(stamp).and_then(rfc3339);
        let some = |text: &'a str| (!text.is_empty()).then_some(text);
        Self {
            id: incident.id,
            service: &incident.service,
            began: time(incident.began),
            noticed: time(incident.noticed),
            acted: time(incident.acted),
            healed: time(incident.healed),
            downtime_seconds: down(incident).as_secs_f64(),
            cause: CauseJson {
                kind: &incident.cause_kind,
                text: &incident.cause,
                incident: (incident.cause_incident != 0).then_some(incident.cause_incident),
            },
            healed_by: some(&incident.healed_by),
            runs: [incident.first_run, incident.last_run],
            restarts: incident.restarts,
            evidence: some(&incident.evidence),
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::time::{stamp, to_wire};

    use super::*;
    use crate::view::testing::noon;

    const LOOK: Look = Look { colour: false, width: 80 };

    fn incident() -> Incident {
        let at = |milliseconds| Some(stamp(noon() + Duration::from_millis(milliseconds)));
        Incident {
            id: 41,
            service: "backend".into(),
            began: at(1_100),
            noticed: at(3_100),
            acted: at(3_100),
            healed: at(3_400),
            downtime: Some(to_wire(Duration::from_millis(2_300))),
            cause_kind: "http".into(),
            cause: "health failed: 503".into(),
            first_run: 4,
            last_run: 5,
            restarts: 1,
            healed_by: "supervisor".into(),
            ..Incident::default()
        }
    }

    fn open() -> Incident {
        Incident { id: 42, healed: None, healed_by: String::new(), cause_incident: 41, ..incident() }
    }

    /// The contract's example, word for word.
    #[test]
    fn why_begins_with_the_downtime() {
        let line = |incident: &Incident| headline(incident, noon(), &TimeZone::UTC, LOOK);
        assert_eq!(
            line(&incident()),
            "down 2.3 s (12:00:01.1 to 12:00:03.4), noticed after 2.0 s, healed by a restart"
        );
        assert_eq!(
            line(&open()),
            "down 2.3 s (since 12:00:01.1), noticed after 2.0 s, not healed by a restart so far\n\
             because of incident 41, of a dependency"
        );
        let crash = Incident { noticed: incident().began, restarts: 3, ..incident() };
        assert_eq!(line(&crash), "down 2.3 s (12:00:01.1 to 12:00:03.4), healed by 3 restarts");
    }

    #[test]
    fn the_table_fits_and_cuts_the_cause() {
        let long = Incident { cause: "x".repeat(200), cause_kind: "dependency".into(), ..open() };
        let later = noon() + Duration::from_secs(24 * 3600);
        let text = table(&[incident(), long], noon(), &TimeZone::UTC, LOOK);
        assert_eq!(
            text,
            "\
ID  SERVICE  BEGAN        DOWN  CAUSE                                 HEALED BY
41  backend  12:00:01.1  2.3 s  http: health failed: 503              supervisor
42  backend  12:00:01.1  2.3 s  dependency (incident 41): xxxxxxxxx…  open
"
        );
        assert!(table(&[incident()], later, &TimeZone::UTC, LOOK).contains("2024-05-01 12:00"));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn json_is_the_contract_s() {
        let text = serde_json::to_string(&Document::new(&[open()])).expect("JSON");
        assert_eq!(
            text,
            "{\"incidents\":[{\"id\":42,\"service\":\"backend\",\"began\":\"2024-05-01T12:00:01.100Z\",\
             \"noticed\":\"2024-05-01T12:00:03.100Z\",\"acted\":\"2024-05-01T12:00:03.100Z\",\"healed\":null,\
             \"downtime_seconds\":2.3,\"cause\":{\"kind\":\"http\",\"text\":\"health failed: 503\",\"incident\":41},\
             \"healed_by\":null,\"runs\":[4,5],\"restarts\":1,\"evidence\":null}]}"
        );
    }
}
