use super::*;
use crate::value::{duration, flag, number, size, whole};

#[test]
fn no_table_has_a_key_twice() {
    for keys in TABLES {
        let mut names: Vec<&str> = keys.all().map(|key| key.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "{}", keys.table);
    }
}

/// Checks the defaults. Those of choices and lists are checked for their form only: the parser knows the meanings of
/// the words.
#[test]
fn every_default_is_a_good_value() {
    let mut seen = 0;
    for (keys, key) in TABLES.iter().flat_map(|keys| keys.all().map(move |key| (keys, key))) {
        let Some(node) = key.default_node() else { continue };
        let kinds = if let Kind::Any(kinds) = &key.kind { kinds } else { std::slice::from_ref(&key.kind) };
        let is_good = kinds.iter().any(|kind| match kind {
            Kind::Flag => flag(&node).is_ok(),
            Kind::False => matches!(node.value, Value::Boolean(false)),
            Kind::Whole(least, most) => whole::<i64>(*least..=*most)(&node).is_ok(),
            Kind::Number(least, most) => number(*least..=*most)(&node).is_ok(),
            Kind::Duration(least) => duration(least)(&node).is_ok(),
            Kind::Size(least) => size(least)(&node).is_ok(),
            Kind::Choice(words) => node.text().is_some_and(|text| words.contains(&text)),
            Kind::Text(..) => node.text().is_some(),
            Kind::List(_) => node.list().is_some(),
            _ => false,
        });
        assert!(is_good, "{}.{}: {:?}", keys.table, key.name, key.default);
        seen += 1;
    }
    assert!(seen > 50, "{seen}");
}
