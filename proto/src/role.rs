//! Roles of callers. Each role includes the permissions of the one before it.

use std::fmt;
use std::str::FromStr;

/// Role of a caller: `viewer` < `monitor` < `operator`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// May read status, events and logs.
    Viewer,
    /// May also read targets, report, and request restarts.
    Monitor,
    /// May do everything.
    Operator,
}

/// A text that is not a role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no role: there are viewer, monitor and operator")]
pub struct RoleError(String);

impl Role {
    /// All roles, the lowest first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Monitor, Self::Operator];

    /// Returns the role's name.
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
