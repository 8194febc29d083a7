//! Settings with their secrets hidden.

use std::borrow::Cow;

/// What makes a name a secret's.
const SECRET: [&str; 12] = [
    "KEY",
    "TOKEN",
    "SECRET",
    "PASS",
    "PWD",
    "CREDENTIAL",
    "AUTH",
    "DSN",
    "PRIVATE",
    "COOKIE",
    "SALT",
    "SIGNATURE",
];

/// What stands instead.
pub(crate) const HIDDEN: &str = "***";

/// The value, unless its name says that it is a secret; a password within a URL is one by its place.
pub(crate) fn shown<'a>(name: &str, value: &'a str) -> Cow<'a, str> {
    let upper = name.to_ascii_uppercase();
    if SECRET.iter().any(|word| upper.contains(word)) {
        return HIDDEN.into();
    }
    let Some((scheme, rest)) = value.split_once("://") else { return value.into() };
    // Up to the last `@` before the path: a password may hold one itself.
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rsplit_once('@') {
        Some((who, _)) => {
            let user = who.split_once(':').map_or(HIDDEN.into(), |(user, _)| format!("{user}:{HIDDEN}"));
            format!("{scheme}://{user}{}", &rest[who.len()..]).into()
        }
        None => value.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_names() {
        for name in
            ["API_KEY", "db_password", "Authorization", "AWS_SECRET", "PGPWD", "X_CREDENTIALS", "token"]
        {
            assert_eq!(shown(name, "s3cret"), HIDDEN, "{name}");
        }
        for name in ["PORT", "PATH", "PYTHONUNBUFFERED"] {
            assert_eq!(shown(name, "1"), "1", "{name}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_hidden_and_the_rest_is_not() {
        for (url, expected) in [
            ("postgres://app:p@ss@db:5432/x?a=b@c", "postgres://app:***@db:5432/x?a=b@c"),
            ("redis://:secret@cache", "redis://:***@cache"),
            ("https://ghp_abc@github.com/x", "https://***@github.com/x"),
            ("http://127.0.0.1:8000/a@b", "http://127.0.0.1:8000/a@b"),
        ] {
            assert_eq!(shown("DATABASE_URL", url), expected);
        }
    }
}
