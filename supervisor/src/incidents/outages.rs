//! Availability: how much of a time a service was not down.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::Incident;

/// The times over which availability is told.
pub const WINDOWS: [Duration; 3] =
    [Duration::from_secs(24 * 3600), Duration::from_secs(7 * 24 * 3600), Duration::from_secs(30 * 24 * 3600)];

/// The longest of them, in milliseconds.
const LONGEST: u64 = 30 * 24 * 3600 * 1000;

/// The times in which services were down.
#[derive(Debug, Default)]
pub struct Outages {
    /// By service, in the order of their ends: every view of a thousand services asks for each.
    over: BTreeMap<String, VecDeque<Outage>>,
}

#[derive(Debug)]
struct Outage {
    began: u64,
    healed: u64,
}

/// How available a service was over a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Availability {
    /// The time looked at.
    pub window: Duration,
    /// The share of it in which the service was not down, from 0 to 1.
    pub ratio: f64,
    /// How many incidents there were.
    pub incidents: u32,
    /// The longest of them, as far as it lies in that time.
    pub longest: Duration,
}

impl Outages {
    /// Adds an incident that is over.
    pub fn add(&mut self, incident: &Incident) {
        let Some(healed) = incident.healed else { return };
        let over = self.over.entry(incident.service.clone()).or_default();
        while over.len() >= super::file::KEPT
            || over.front().is_some_and(|first| first.healed + LONGEST < healed)
        {
            over.pop_front();
        }
        over.push_back(Outage { began: incident.began, healed });
    }

    /// Returns how available a service was until now, over each of [`WINDOWS`]; `open` is its open incident.
    pub fn of(&self, service: &str, open: Option<&Incident>, now: u64) -> [Availability; 3] {
        WINDOWS.map(|window| {
            let length = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
            let from = now.saturating_sub(length);
            let over = self.over.get(service).into_iter().flatten();
            let times = over.map(|outage| (outage.began, outage.healed));
            let times = times.chain(open.map(|incident| (incident.began, now)));
            let inside = times.filter(|(_, healed)| *healed > from);
            let (mut down, mut incidents, mut longest) = (0, 0, 0);
            for (began, healed) in inside {
                let time = healed.saturating_sub(began.max(from));
                (down, incidents, longest) = (down + time, incidents + 1, longest.max(time));
            }
            #[expect(clippy::cast_precision_loss, reason = "30 days have fewer than 2^52 milliseconds")]
            let ratio = 1.0 - down.min(length) as f64 / length as f64;
            Availability { window, ratio, incidents, longest: Duration::from_millis(longest) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incidents::core::tests::incident;

    #[test]
    fn only_what_lies_in_the_time_counts() {
        const DAY: u64 = 24 * 3600 * 1000;
        let mut outages = Outages::default();
        let now = 100 * DAY;
        let over = |began, healed| Incident { began, healed: Some(healed), ..incident("web") };
        outages.add(&over(now - 40 * DAY, now - 39 * DAY));
        outages.add(&over(now - 10 * DAY, now - 9 * DAY));
        outages.add(&over(now - DAY - 3_600_000, now - DAY + 3_600_000));
        outages.add(&Incident { service: "other".into(), ..over(now - 5, now - 1) });
        let open = Incident { began: now - 864_000, ..incident("web") };
        let [day, week, month] = outages.of("web", Some(&open), now);
        assert_eq!((day.incidents, day.longest), (2, Duration::from_secs(3600)));
        assert!((day.ratio - (1.0 - 1.0 / 24.0 - 0.01)).abs() < 1e-9, "{day:?}");
        assert_eq!((week.incidents, week.longest), (2, Duration::from_secs(7200)));
        assert_eq!((month.incidents, month.longest), (3, Duration::from_secs(24 * 3600)));
        let never = outages.of("nobody", None, now);
        assert!(never.iter().all(|of| (of.ratio - 1.0).abs() < f64::EPSILON && of.incidents == 0));
    }
}
