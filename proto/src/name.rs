//! Names of services, monitors and checks. They need no quoting in a path, a mark or a terminal.

use std::fmt;
use std::sync::Arc;

/// A valid name: `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`, optionally followed by `:N` for one of several instances.
///
/// Cheap to clone. Safe as a part of a file name, because of the characters it can not contain.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// Why a text is not a [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("a name must not be empty")]
    Empty,
    /// The name has more than 64 characters.
    #[error("a name has at most 64 characters, this one has {0}")]
    TooLong(usize),
    /// The first character is not a letter or a digit.
    #[error("a name begins with a letter or a digit, not with {0:?}")]
    BadStart(char),
    /// The name contains a character that is not allowed.
    #[error("a name has only letters, digits, '.', '_' and '-', not {0:?}")]
    BadCharacter(char),
}

/// Maximum length of a name without its instance number.
pub const MAX_NAME: usize = 64;

impl Name {
    /// Validates a text.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let base = match text.split_once(':') {
            Some((base, instance))
                if !instance.is_empty() && instance.bytes().all(|b| b.is_ascii_digit()) =>
            {
                base
            }
            _ => text,
        };
        let first = base.chars().next().ok_or(NameError::Empty)?;
        if !first.is_ascii_alphanumeric() {
            return Err(NameError::BadStart(first));
        }
        if let Some(bad) = base.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')))
        {
            return Err(NameError::BadCharacter(bad));
        }
        if base.len() > MAX_NAME {
            return Err(NameError::TooLong(base.len()));
        }
        Ok(Self(text.into()))
    }

    /// Returns a key for natural sorting: `job:2` before `job:10`.
    pub fn counted(&self) -> (&str, Option<u64>) {
        (self.base(), self.instance().and_then(|number| number.parse().ok()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name without its instance number.
    pub fn base(&self) -> &str {
        self.0.split_once(':').map_or(&self.0, |(base, _)| base)
    }

    /// Returns the instance number; `None` for a service without instances.
    pub fn instance(&self) -> Option<&str> {
        self.0.split_once(':').map(|(_, number)| number)
    }

    /// Returns the name for use in a file name: `:` is not allowed on Windows.
    pub fn file_stem(&self) -> String {
        self.0.replace(':', "@")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Name {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_the_contract_names() {
        for good in ["a", "0", "mw-vision-backend", "a.b_c-d", "web:0", "web:12", &"x".repeat(64)] {
            assert_eq!(Name::new(good).expect(good).as_str(), good);
        }
    }

    #[test]
    fn an_instance_knows_its_number_and_whose_it_is() {
        let parts = |text: &str| {
            let name = Name::new(text).expect(text);
            (name.base().to_owned(), name.instance().map(str::to_owned))
        };
        assert_eq!(parts("web"), ("web".into(), None));
        assert_eq!(parts("web:12"), ("web".into(), Some("12".into())));
    }

    #[test]
    fn refuses_what_could_leave_a_folder_or_confuse_a_reader() {
        for (bad, why) in [
            ("", NameError::Empty),
            (".", NameError::BadStart('.')),
            ("../etc", NameError::BadStart('.')),
            ("-rf", NameError::BadStart('-')),
            ("a/b", NameError::BadCharacter('/')),
            ("a b", NameError::BadCharacter(' ')),
            ("a\n", NameError::BadCharacter('\n')),
            ("web:", NameError::BadCharacter(':')),
            ("web:x", NameError::BadCharacter(':')),
            ("ñ", NameError::BadStart('ñ')),
            (":0", NameError::Empty),
        ] {
            assert_eq!(Name::new(bad).expect_err(bad), why, "{bad:?}");
        }
        assert_eq!(Name::new(&"x".repeat(65)).expect_err("long"), NameError::TooLong(65));
    }
}
