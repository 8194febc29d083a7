//! Hides secrets in settings.

use std::borrow::Cow;

/// Parts of a name that mark its value as a secret.
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

/// Whole words of a name that mark its value as a secret: `GITHUB_PAT`, but not `PATH`.
const SECRET_WORDS: [&str; 3] = ["PAT", "JWT", "BEARER"];

/// Prefixes of keys of well-known services: GitHub, GitLab, Slack, AWS.
const PREFIXES: [&str; 9] =
    ["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "-----BEGIN", "AKIA"];

/// Prefixes of other keys that also begin plain words, with the minimum length of a key.
const LONG_PREFIXES: [(&str, usize); 2] = [("sk-", 12), ("xox", 12)];

/// Text before a secret, also in the middle of a value: connection strings and headers.
const BEFORE: [&str; 4] = ["password=", "pwd=", "bearer ", "basic "];

/// Replacement for a secret.
pub(crate) const HIDDEN: &str = "***";

/// Returns the value with secrets hidden, judged by its name, form or position. This is the only place that decides.
pub(crate) fn shown<'a>(name: &str, value: &'a str) -> Cow<'a, str> {
    if is_secret_name(name) {
        return HIDDEN.into();
    }
    let value = without_password_of_url(value).map_or(Cow::Borrowed(value), Cow::Owned);
    if words(&value).any(is_key) {
        return HIDDEN.into();
    }
    after_words(&value).map_or(value, Cow::Owned)
}

fn is_secret_name(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    SECRET.iter().any(|word| upper.contains(word))
        || upper.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| SECRET_WORDS.contains(&word))
}

/// Splits a value at white space and at characters that no key contains.
fn words(value: &str) -> impl Iterator<Item = &str> {
    value.split(|c: char| c.is_whitespace() || "\"'=:;,&?/".contains(c))
}

fn is_key(word: &str) -> bool {
    let is_jwt = word.starts_with("eyJ") && word.contains('.');
    is_jwt
        || PREFIXES.iter().any(|prefix| word.starts_with(prefix))
        || LONG_PREFIXES.iter().any(|(prefix, least)| word.starts_with(prefix) && word.len() >= *least)
}

/// Hides the password in a URL: up to the last `@` before the path, because a password may contain `@` itself.
fn without_password_of_url(value: &str) -> Option<String> {
    let (scheme, rest) = value.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (who, _) = rest[..end].rsplit_once('@')?;
    let user = who.split_once(':').map_or(HIDDEN.into(), |(user, _)| format!("{user}:{HIDDEN}"));
    Some(format!("{scheme}://{user}{}", &rest[who.len()..]))
}

/// Hides the rest of a value after a word that precedes a secret, because the end of the secret is uncertain.
fn after_words(value: &str) -> Option<String> {
    // The byte length stays the same: only ASCII characters change.
    let lower = value.to_ascii_lowercase();
    let ends = BEFORE.iter().filter_map(|word| Some(lower.find(word)? + word.len()));
    ends.min().filter(|end| *end < value.len()).map(|end| format!("{}{HIDDEN}", &value[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_names() {
        for name in [
            "API_KEY",
            "GITHUB_PAT",
            "pat",
            "BEARER_HDR",
            "db_password",
            "Authorization",
            "AWS_SECRET",
            "PGPWD",
            "X_CREDENTIALS",
            "token",
        ] {
            assert_eq!(shown(name, "s3cret"), HIDDEN, "{name}");
        }
        for name in ["PORT", "PATH", "PATTERN", "COMPAT", "PYTHONUNBUFFERED"] {
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

    #[test]
    fn secrets_are_known_by_their_look() {
        for value in [
            "ghp_0123456789abcdef",
            "token ghs_0123456789abcdef",
            "github_pat_11ABC",
            "glpat-xxxxxxxx",
            "xoxb-1234567890-abc",
            "sk-proj-0123456789",
            "https://api.example.com/?id=AKIAIOSFODNN7EXAMPLE",
            "-----BEGIN PRIVATE KEY-----\nMIIE",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        ] {
            assert_eq!(shown("X", value), HIDDEN, "{value}");
        }
        for value in ["sk-learn", "xoxo", "eyJ", "graph_x", "a=b;c=d", "/usr/bin:/bin", "basic", "Bearer "] {
            assert_eq!(shown("X", value), value);
        }
    }

    #[test]
    fn what_comes_after_a_word_for_it_is_hidden() {
        for (value, expected) in [
            ("Server=h;Password=p;w;Timeout=3", "Server=h;Password=***"),
            ("Server=h;Uid=u;PWD=x", "Server=h;Uid=u;PWD=***"),
            ("Authorization: Bearer abc", "Authorization: Bearer ***"),
            ("Basic dXNlcjpw", "Basic ***"),
            ("jdbc:postgresql://h/x?user=u&password=p", "jdbc:postgresql://h/x?user=u&password=***"),
            ("postgres://u:p@h/x?password=q", "postgres://u:***@h/x?password=***"),
            ("Größe;Password=ß", "Größe;Password=***"),
        ] {
            assert_eq!(shown("CONN", value), expected);
        }
    }
}
