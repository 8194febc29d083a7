//! Every metric that the dashboard and the alert rules name is one of `docs/metrics.md`, which the supervisor's own
//! tests hold against its code.

use std::collections::BTreeSet;

const DOCS: &str = include_str!("../../../docs/metrics.md");
const ALERTS: &str = include_str!("../../prometheus/alerts.yml");
const DASHBOARD: &str = include_str!("../../grafana/sereno.json");

fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("sereno_")).collect()
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
