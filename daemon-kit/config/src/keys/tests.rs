use super::*;

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
