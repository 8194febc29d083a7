//! What somebody may do: each role may do what the one before it may.

use std::fmt;
use std::str::FromStr;

/// `viewer` < `monitor` < `operator`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Reads: status, events, logs.
    Viewer,
    /// Reads targets, reports, and asks for a restart.
    Monitor,
    /// Everything.
    Operator,
}

/// A text that names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no role: there are viewer, monitor and operator")]
pub struct RoleError(String);

impl Role {
    /// All of them, the least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Monitor, Self::Operator];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Monitor => "monitor",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        Self::ALL.into_iter().find(|role| role.word() == text).ok_or_else(|| RoleError(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_may_do_more_than_the_one_before_and_is_read_as_written() {
        assert!(Role::ALL.is_sorted());
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        let error = "root".parse::<Role>().expect_err("no role").to_string();
        assert!(error.contains("viewer, monitor and operator"), "{error}");
    }
}
