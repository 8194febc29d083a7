//! Resolves which services a command applies to: names (of a service, or of all its instances), globs and tags.

use std::collections::BTreeSet;

use proto::Name;
use sereno_config::Selector;

use super::command::Selection;
use super::services::Services;

/// Returns the selected services, each once and in the order of their names, and every selector that matches nothing.
pub(super) fn select<'a>(services: &Services, selection: &'a Selection) -> (Vec<Name>, BTreeSet<&'a str>) {
    let selectors: Vec<_> = selection.selectors.iter().map(|text| (&**text, Selector::new(text))).collect();
    let mut unmatched: BTreeSet<&str> = selectors.iter().map(|(text, _)| *text).collect();
    let mut chosen = Vec::new();
    for service in services.values() {
        let mut is_chosen = selection.all && service.is_users();
        for (text, selector) in &selectors {
            // A glob never matches a monitor: `*` is for services.
            let may_match = service.is_users() || !matches!(selector, Selector::Glob(_));
            if may_match && selector.selects(service.name.as_str(), &service.spec.tags) {
                unmatched.remove(text);
                is_chosen = true;
            }
        }
        if is_chosen {
            chosen.push(service.name.clone());
        }
    }
    (chosen, unmatched)
}
