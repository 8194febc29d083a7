//! Bearer tokens. Only hashes are stored, so a reader of the file can not use them.
//!
//! One token per line: `NAME ROLE SERVICES HASH WHEN`. A random token has 256 bits, so a plain hash is as
//! good as a slow one.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use proto::Name;
use proto::name::NameError;
use proto::role::RoleError;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use subtle::{Choice, ConstantTimeEq as _};

use super::secret::{self, SecretError};
use super::{Identity, services};

/// Prefix by which a token is recognized in a log or a commit.
const PREFIX: &str = "sereno_";
const HEAD: &str = "# tokens, hashed; written by \"ctl token\": name role services sha256 created\n";

/// A valid token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Holder of the token, with role and services.
    pub identity: Identity,
    /// SHA-256 hash of the token.
    pub hash: [u8; 32],
    /// Creation time, as text.
    pub created: String,
}

/// All valid tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tokens(pub Vec<Token>);

/// A line that can not be parsed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct LineError {
    /// Line number, from 1.
    pub line: usize,
    /// Problem with the line.
    pub fault: LineFault,
}

/// What is wrong with a line of a token file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// The line ends before this word.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A name is invalid, of the token or of a service.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The role is unknown.
    #[error(transparent)]
    Role(#[from] RoleError),
    /// The hash has another length, or is not hexadecimal.
    #[error("the hash is no SHA-256")]
    Hash,
}

/// Returns the path of the token file below a home's state folder.
pub fn path(state: &Path) -> PathBuf {
    state.join("tokens")
}

/// Generates a random token. Returns `None` if the system has no random numbers.
pub fn generate() -> Option<String> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(format!("{PREFIX}{}", hex(&bytes)))
}

/// Returns the hash of a token that is stored.
pub fn hash(token: &str) -> [u8; 32] {
    digest(&SHA256, token.as_bytes()).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Formats bytes as hexadecimal text.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes().chunks_exact(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    });
    digits.collect::<Option<Vec<u8>>>()?.try_into().ok()
}

impl Tokens {
    /// Reads the file, if it exists. Damaged lines are returned as errors and admit no caller.
    pub fn load(path: &Path) -> Result<(Self, Vec<LineError>), SecretError> {
        match secret::read(path) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(SecretError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Ok(Self::default_and_none())
            }
            Err(error) => Err(error),
        }
    }

    fn default_and_none() -> (Self, Vec<LineError>) {
        (Self::default(), Vec::new())
    }

    /// Parses the text of a token file.
    pub fn parse(text: &str) -> (Self, Vec<LineError>) {
        let mut bad = Vec::new();
        let mut tokens = Vec::new();
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            match one(line) {
                Ok(token) => tokens.push(token),
                Err(fault) => bad.push(LineError { line: index + 1, fault }),
            }
        }
        (Self(tokens), bad)
    }

    /// Returns the text of a token file.
    pub fn to_text(&self) -> String {
        self.0.iter().fold(HEAD.to_owned(), |mut text, Token { identity, hash, created }| {
            let services = identity.services.as_ref().map_or_else(
                || "-".to_owned(),
                |names| names.iter().map(Name::as_str).collect::<Vec<_>>().join(","),
            );
            let (name, role) = (&identity.name, identity.role);
            let _ = writeln!(text, "{name} {role} {services} {} {created}", hex(hash));
            text
        })
    }

    /// Returns the entry of a token. The time taken does not tell how close a wrong token was.
    pub fn whose(&self, token: &str) -> Option<&Token> {
        let hash = hash(token);
        let mut found = None;
        for known in &self.0 {
            let same: Choice = known.hash[..].ct_eq(&hash[..]);
            if bool::from(same) {
                found = Some(known);
            }
        }
        found
    }
}

fn one(line: &str) -> Result<Token, LineFault> {
    let mut words = line.split_whitespace();
    let mut word = |what| words.next().ok_or(LineFault::Missing(what));
    let name = Name::new(word("the name")?)?;
    let role = word("the role")?.parse()?;
    let services = services(word("the list of services")?)?;
    let hash = unhex(word("the hash")?).ok_or(LineFault::Hash)?;
    let created = word("the time").unwrap_or_default().to_owned();
    Ok(Token { identity: Identity { name, role, services }, hash, created })
}

/// Parses arbitrary bytes and checks that the result, written and parsed again, is the same.
pub(crate) fn fuzz(bytes: &[u8]) {
    let (tokens, _) = Tokens::parse(&String::from_utf8_lossy(bytes));
    let (again, bad) = Tokens::parse(&tokens.to_text());
    assert!(bad.is_empty(), "{bad:?} of {tokens:?}");
    assert_eq!(again, tokens);
}

#[cfg(test)]
mod tests {
    use proto::Role;

    use super::*;

    fn token(name: &str, role: Role, of: &str) -> (String, Token) {
        let text = generate().expect("random");
        let identity =
            Identity { name: Name::new(name).expect("a name"), role, services: services(of).expect("names") };
        let hash = hash(&text);
        (text, Token { identity, hash, created: "2026-01-02T03:04:05Z".into() })
    }

    #[test]
    fn only_hashes_are_kept_and_the_right_one_is_found() {
        let (a, first) = token("grafana", Role::Viewer, "-");
        let (b, second) = token("probe", Role::Monitor, "web,db");
        assert!(a != b && a.len() == PREFIX.len() + 64, "{a}");
        let tokens = Tokens(vec![first.clone(), second.clone()]);
        let text = tokens.to_text();
        assert!(!text.contains(&a) && text.contains("probe monitor web,db "), "{text}");
        assert_eq!(Tokens::parse(&text), (tokens.clone(), vec![]));
        assert_eq!(tokens.whose(&a), Some(&first));
        assert_eq!(tokens.whose(&b), Some(&second));
        for wrong in ["", "sereno_", &a[..a.len() - 1], &hex(&first.hash)] {
            assert_eq!(tokens.whose(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_damaged_line_lets_nobody_in_and_the_others_are_as_good_as_before() {
        let (a, first) = token("a", Role::Operator, "-");
        let text = Tokens(vec![first]).to_text();
        let (tokens, bad) = Tokens::parse(&format!("{text}b root - 00 x\nc viewer - 00ff now\n../d\n"));
        assert!(tokens.whose(&a).is_some());
        let bad: Vec<String> = bad.iter().map(ToString::to_string).collect();
        assert_eq!(bad.len(), 3, "{bad:?}");
        assert!(bad[0].starts_with("line 3: \"root\" is no role"), "{bad:?}");
        assert_eq!(bad[1], "line 4: the hash is no SHA-256");
    }
}
