//! Settings with their secrets hidden.

/// What makes a name a secret's.
const SECRET: [&str; 7] = ["KEY", "TOKEN", "SECRET", "PASS", "PWD", "CREDENTIAL", "AUTH"];

/// What stands instead.
pub(crate) const HIDDEN: &str = "***";

/// The value, unless its name says that it is a secret.
pub(crate) fn shown<'a>(name: &str, value: &'a str) -> &'a str {
    let upper = name.to_ascii_uppercase();
    if SECRET.iter().any(|word| upper.contains(word)) { HIDDEN } else { value }
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
}
