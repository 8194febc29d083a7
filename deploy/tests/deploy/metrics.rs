//! Every metric that the dashboard and the alert rules name is one of `docs/metrics.md`, which the supervisor's own
//! tests hold against its code. What the rules do, promtool tests (`alerts_test.yml`), and what all of it does at work
//! `deploy/tests/alerts.py`; here is what can be seen without either.

use std::collections::BTreeSet;

use serde_json::Value;

const DOCS: &str = include_str!("../../../docs/metrics.md");
const COMMANDS: &str = include_str!("../../../docs/commands.md");
const ALERTS: &str = include_str!("../../prometheus/alerts.yml");
const CASES: &str = include_str!("../../prometheus/alerts_test.yml");
const DASHBOARD: &str = include_str!("../../grafana/sereno.json");

fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let series = words.filter(|word| word.starts_with("sereno_"));
    // A histogram has series of these names.
    let family = |name| ["_bucket", "_sum", "_count"].iter().find_map(|end| str::strip_suffix(name, end));
    series.map(|name| family(name).unwrap_or(name)).collect()
}

/// Returns the values of a key, in the order of the file.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    text.lines().filter_map(|line| line.trim_start().strip_prefix(key)).map(str::trim).collect()
}

#[test]
fn what_rules_and_dashboard_name_is_there() {
    let known: BTreeSet<&str> =
        DOCS.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert!(known.len() > 20, "{known:?}");
    for (file, text) in [("alerts.yml", ALERTS), ("sereno.json", DASHBOARD)] {
        let named = named(text);
        assert!(named.len() > 4, "{file} names {named:?}");
        let unknown: Vec<_> = named.difference(&known).collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
    }
}

#[test]
fn each_rule_says_what_to_type_and_has_a_case_that_fires_and_one_that_does_not() {
    let alerts = values(ALERTS, "- alert:");
    let todo = values(ALERTS, "do:");
    assert!(alerts.len() > 10 && alerts.len() == todo.len(), "{} alerts, {} lines", alerts.len(), todo.len());
    for (alert, line) in alerts.iter().zip(todo) {
        let commands: Vec<&str> = line.split("ctl ").skip(1).collect();
        assert!(!commands.is_empty(), "{alert}: {line}");
        for command in commands {
            let verb = command.split([' ', ';', ',', '"']).next().unwrap_or_default();
            assert!(COMMANDS.contains(&format!("\n## `ctl {verb}`\n")), "{alert}: there is no ctl {verb}");
        }
    }
    let expected = alerts.iter().flat_map(|alert| [format!("{alert} fires"), format!("{alert} is silent")]);
    assert_eq!(values(CASES, "- name:"), expected.collect::<Vec<_>>());
    let silent = CASES.matches("exp_alerts: []").count();
    assert_eq!((silent, CASES.matches("exp_labels:").count()), (alerts.len(), alerts.len()));
}

#[test]
fn the_dashboard_can_be_provisioned() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let variables: BTreeSet<String> =
        list(&dashboard["templating"]["list"]).iter().map(|one| text(&one["name"])).collect();
    assert!(!DASHBOARD.contains("${DS_"), "a name that only an import by hand would fill in");
    let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
    for panel in list(&dashboard["panels"]) {
        let title = text(&panel["title"]);
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{title}: its id stands twice");
        let place = &panel["gridPos"];
        let side = |key: &str| place[key].as_u64().unwrap_or_else(|| panic!("{title}: no {key}"));
        assert!(side("x") + side("w") <= 24, "{title} is wider than the page");
        for (x, y) in (0..side("w")).flat_map(|x| (0..side("h")).map(move |y| (x, y))) {
            assert!(places.insert((side("x") + x, side("y") + y)), "{title} lies over another");
        }
        let targets = list(&panel["targets"]);
        let refs: BTreeSet<String> = targets.iter().map(|target| text(&target["refId"])).collect();
        assert_eq!(refs.len(), targets.len(), "{title}: each query has a letter of its own");
        for target in targets {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            let expr = text(&target["expr"]);
            let used = expr.split('$').skip(1).map(|rest| {
                let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
                rest[..end.unwrap_or(rest.len())].to_owned()
            });
            let unknown: Vec<String> = used.filter(|name| !variables.contains(name)).collect();
            assert!(unknown.is_empty(), "{title}: {expr} names {unknown:?}");
            assert!(expr.contains("instance=~\"$instance\""), "{title}: {expr} is of every host at once");
        }
    }
    let provider = include_str!("../../grafana/provisioning/dashboards/sereno.yml");
    let source = include_str!("../../grafana/provisioning/datasources/sereno.yml");
    assert_eq!((values(provider, "type:"), values(source, "type:")), (vec!["file"], vec!["prometheus"]));
    let scraped = values(include_str!("../../prometheus/prometheus.yml"), "scrape_interval:");
    assert_eq!(values(source, "timeInterval:"), scraped, "no finer steps than there are samples");
}
