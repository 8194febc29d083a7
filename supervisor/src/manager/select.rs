//! Resolves which services a command applies to: names (of a service, or of all its instances), globs and tags.

use std::collections::BTreeSet;

use proto::Name;

use super::command::Selection;
use super::services::Services;
use crate::service::Service;

/// Returns the selected services, each once and in the order of their names, and every selector that matches nothing.
pub(super) fn select<'a>(services: &Services, selection: &'a Selection) -> (Vec<Name>, BTreeSet<&'a str>) {
    let mut chosen = Vec::new();
    for service in services.values() {
        let by_selector = selection.selectors.iter().any(|selector| means(selector, service));
        if by_selector || selection.all && service.is_users() {
            chosen.push(service.name.clone());
        }
    }
    let nobody = |selector: &&str| !services.values().any(|service| means(selector, service));
    let unmatched = selection.selectors.iter().map(String::as_str).filter(nobody).collect();
    (chosen, unmatched)
}

/// Returns the answer for a selector that matches nothing.
pub(super) fn nobody(selector: &str) -> String {
    format!("no service is meant by {selector:?}")
}

fn means(selector: &str, service: &Service) -> bool {
    if let Some(tag) = selector.strip_prefix("tag:") {
        return service.spec.tags.iter().any(|own| own == tag);
    }
    // A glob never matches a monitor: `*` is for services.
    if selector.contains(['*', '?']) {
        return service.is_users() && wildmatch::WildMatch::new(selector).matches(service.name.as_str());
    }
    service.name.as_str() == selector || service.name.base() == selector
}
