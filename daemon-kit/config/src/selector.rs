//! Selectors: which services a command applies to, as users type them and as the wire has them.

use wildmatch::WildMatch;

/// A parsed selector. Every text is one; whether it selects anything depends on the services.
#[derive(Debug)]
pub enum Selector<'a> {
    /// `tag:NAME`: every service with this tag.
    Tag(&'a str),
    /// A text with `*` or `?`: every service whose whole name matches.
    Glob(WildMatch),
    /// The name of a service, or of all its instances.
    Name(&'a str),
}

/// A selector that selects no service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no service is meant by {0:?}")]
pub struct Unmatched(pub String);

impl<'a> Selector<'a> {
    /// Parses a text.
    pub fn new(text: &'a str) -> Self {
        match text.strip_prefix("tag:") {
            Some(tag) => Self::Tag(tag),
            None if text.contains(['*', '?']) => Self::Glob(WildMatch::new(text)),
            None => Self::Name(text),
        }
    }

    /// Returns whether it selects the service with this name and these tags.
    pub fn selects(&self, name: &str, tags: &[String]) -> bool {
        match self {
            Self::Tag(tag) => tags.iter().any(|own| own == tag),
            Self::Glob(glob) => glob.matches(name),
            Self::Name(text) => {
                name.strip_prefix(text).is_some_and(|rest| rest.is_empty() || is_instance(rest))
            }
        }
    }
}

/// Returns whether `rest` is an instance number as it follows a name: `:0`.
fn is_instance(rest: &str) -> bool {
    rest.strip_prefix(':')
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_instances_globs_and_tags_select() {
        let selected = |text| {
            let selector = Selector::new(text);
            let services = [("web:0", "front"), ("web:10", "front"), ("web-api", "back"), ("db", "back")];
            let selected =
                services.into_iter().filter(|(name, tag)| selector.selects(name, &[(*tag).into()]));
            selected.map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(selected("web"), ["web:0", "web:10"]);
        assert_eq!(selected("web:1"), [""; 0]);
        assert_eq!(selected("web:10"), ["web:10"]);
        assert_eq!(selected("web*"), ["web:0", "web:10", "web-api"]);
        assert_eq!(selected("?b"), ["db"]);
        assert_eq!(selected("tag:back"), ["web-api", "db"]);
        assert_eq!(selected("tag:ba*"), [""; 0], "a tag is no glob");
        assert_eq!(selected("we"), [""; 0]);
        assert_eq!(Unmatched("x".into()).to_string(), "no service is meant by \"x\"");
    }
}
