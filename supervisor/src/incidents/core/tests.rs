//! Walks the incidents, by hand and at random.

use super::*;

pub(crate) fn incident(service: &str) -> Incident {
    Incident {
        id: 7,
        service: service.into(),
        began: 1,
        noticed: 2,
        acted: None,
        healed: None,
        cause: Cause {
            kind: CauseKind::Crash,
            text: "exit 1".into(),
            incident: None,
            host: false,
            explains: false,
        },
        first_run: 1,
        last_run: 1,
        restarts: 0,
        evidence: String::new(),
        healed_by: None,
        by_person: false,
    }
}

fn name(name: &str) -> Name {
    Name::new(name).expect("a name")
}

fn at(time: u64, service: &str, what: Happening) -> Occurrence {
    Occurrence { service: name(service), run: 1, event: 0, at: time, what }
}

fn fault(time: u64, service: &str, kind: CauseKind) -> Occurrence {
    at(time, service, Happening::Fault { kind, text: "bad".into(), began: time - 1 })
}

fn nothing(_: &Name) -> Vec<Name> {
    Vec::new()
}

#[test]
fn a_crash_is_closed_by_the_run_that_serves() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut incidents = Incidents::open(folder.path());
    let opened = incidents.handle(fault(10, "web", CauseKind::Crash), 5, &nothing);
    assert!(matches!(opened, Some(Change::Opened(Incident { id: 5, began: 9, noticed: 10, .. }))));
    assert_eq!(incidents.handle(fault(11, "web", CauseKind::Start), 6, &nothing), None, "one at a time");
    assert_eq!(incidents.handle(at(12, "web", Happening::Started(2)), 6, &nothing), None);
    let Some(Change::Closed(closed)) = incidents.handle(at(20, "web", Happening::Serves), 6, &nothing) else {
        panic!("it is closed")
    };
    assert_eq!((closed.first_run, closed.last_run, closed.restarts), (1, 2, 1));
    assert_eq!(
        (closed.acted, closed.healed, closed.healed_by),
        (Some(12), Some(20), Some(HealedBy::Supervisor))
    );
    assert_eq!(incidents.handle(at(21, "web", Happening::Serves), 6, &nothing), None, "only once");
}

#[test]
fn who_heals_it_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut incidents = Incidents::open(folder.path());
    for (between, expected) in [
        (vec![], HealedBy::Itself),
        (vec![Happening::Acted], HealedBy::Supervisor),
        (vec![Happening::Acted, Happening::Person], HealedBy::Person),
    ] {
        incidents.handle(fault(10, "web", CauseKind::of_check("tcp")), 5, &nothing);
        for what in between {
            incidents.handle(at(11, "web", what), 6, &nothing);
        }
        let closed = incidents.handle(at(12, "web", Happening::Serves), 6, &nothing);
        assert!(
            matches!(closed, Some(Change::Closed(Incident { healed_by: Some(by), .. })) if by == expected)
        );
    }
}

#[test]
fn a_sick_dependency_is_the_cause_whoever_is_seen_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut incidents = Incidents::open(folder.path());
    let needs = |service: &Name| match service.as_str() {
        "page" => vec![name("web")],
        "web" | "api" => vec![name("db")],
        _ => vec![],
    };
    let http = || CauseKind::of_check("http");
    incidents.handle(fault(10_000, "web", http()), 1, &needs);
    incidents.handle(fault(10_500, "other", http()), 2, &needs);
    incidents.handle(fault(12_000, "db", CauseKind::Crash), 3, &needs);
    incidents.handle(fault(12_500, "api", http()), 4, &needs);
    incidents.handle(fault(13_000, "page", http()), 5, &needs);
    let causes: Vec<_> =
        incidents.all_open().map(|(name, of)| (name.as_str(), of.cause.incident, of.cause.kind())).collect();
    let dependency = Some(3);
    assert_eq!(
        causes,
        [
            ("api", dependency, "dependency"),
            ("db", None, "crash"),
            ("other", None, "http"),
            ("page", dependency, "dependency"),
            ("web", dependency, "dependency"),
        ]
    );
}

/// Any order of occurrences, with a kill of the supervisor in between, keeps these invariants: one open incident for
/// a service at most; each is opened once and closed once at most; its times are in order; the file says the same.
#[test]
fn a_random_walk_keeps_every_invariant() {
    for seed in 0..200 {
        let folder = tempfile::tempdir().expect("a folder");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut incidents = Incidents::open(folder.path());
        let needs = |service: &Name| if service.as_str() == "b" { vec![name("a")] } else { vec![] };
        let mut told: BTreeMap<u64, bool> = BTreeMap::new();
        for step in 1..300u64 {
            let service = *random.choice(&["a", "b", "c"]).expect("one");
            let what = match random.u32(..9) {
                0 | 1 => Happening::Fault {
                    kind: CauseKind::of_check("http"),
                    text: "503".into(),
                    began: (step * 10).saturating_sub(random.u64(..40)),
                },
                2 => Happening::Acted,
                3 => Happening::Person,
                4 => Happening::Started(step),
                5 => Happening::Evidence("asleep".into()),
                6 | 7 => Happening::Serves,
                _ => Happening::Unwanted,
            };
            match incidents.handle(at(step * 10, service, what), step, &needs) {
                Some(Change::Opened(incident)) => {
                    assert!(told.insert(incident.id, true).is_none(), "opened once");
                }
                Some(Change::Closed(incident)) => {
                    assert_eq!(told.insert(incident.id, false), Some(true), "closed once, after its opening");
                    let healed = incident.healed.expect("it is over");
                    assert!(incident.began <= incident.noticed && incident.began <= healed);
                    assert!(incident.acted.is_none_or(|acted| acted >= incident.noticed));
                }
                None => {}
            }
            incidents.flush();
            if random.u32(..20) == 0 {
                let before: Vec<Incident> = incidents.all_open().map(|(_, of)| of.clone()).collect();
                incidents = Incidents::open(folder.path());
                let after: Vec<Incident> = incidents.all_open().map(|(_, of)| of.clone()).collect();
                assert_eq!(before, after, "seed {seed}: open incidents survive");
            }
        }
        let kept = crate::incidents::file::read(&folder.path().join("incidents.jsonl")).expect("readable");
        let open: BTreeMap<u64, bool> = kept.iter().map(|of| (of.id, of.is_open())).collect();
        assert_eq!(open, told, "seed {seed}: the file says what was told");
    }
}
