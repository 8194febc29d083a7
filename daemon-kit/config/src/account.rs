//! The user and groups of a service, as the name service of the system (NSS) knows them: local files, LDAP, SSSD. A
//! program that is linked with musl asks `/etc/passwd`, `/etc/group` and nscd only.
//!
//! A lookup may ask a network and blocks for as long as that takes: a caller keeps the answer.

use std::io;
use std::path::PathBuf;

/// The user and groups that a service runs as.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// User id; `None`: the supervisor's own.
    pub uid: Option<u32>,
    /// Primary group id; `None`: the supervisor's own.
    pub gid: Option<u32>,
    /// Name of the user.
    pub name: Option<String>,
    /// Home of the user.
    pub home: Option<PathBuf>,
    /// Every group, the primary one first. Empty if no user is named: then only `gid` applies.
    pub groups: Vec<u32>,
}

/// Why a service can not have an account, or not the rights that it asks for.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The system has no user of this name.
    #[error("can not find the user {0:?}")]
    NoUser(String),
    /// The system has no user of this number, and no group is given.
    #[error("can not find user {0}: give its group too")]
    NoGroupOf(u32),
    /// The system has no group of this name.
    #[error("can not find the group {0:?}")]
    NoGroup(String),
    /// The name service failed.
    #[error("can not look up {0:?}: {1}")]
    Lookup(String, #[source] io::Error),
    /// Only root may start a process of another user.
    #[error("can not run as user {0}: only root may run as somebody else")]
    OtherUser(u32),
    /// This system starts no process of another user.
    #[error("can not run as another user on this system")]
    NoUsers,
    /// Only root may limit capabilities.
    #[error("can not be set: only root may say what a service can have of its power")]
    Unprivileged,
    /// Only Linux has capabilities and `no_new_privileges`.
    #[error("can not be had on this system: it is Linux's own")]
    NotLinux,
}

/// Looks `user` and `group` up, by name or number. A user that is only a number needs a group; a group that is a number
/// needs no entry.
pub fn account(user: Option<&str>, group: Option<&str>) -> Result<Account, AccountError> {
    if user.is_none() && group.is_none() {
        return Ok(Account::default());
    }
    system::look_up(user, group)
}

#[cfg(unix)]
mod system {
    use nix::errno::Errno;
    use nix::unistd::{Gid, Group, Uid, User};

    use super::{Account, AccountError};

    pub(super) fn look_up(user: Option<&str>, group: Option<&str>) -> Result<Account, AccountError> {
        let Some(user) = user else {
            return Ok(Account { gid: group.map(group_id).transpose()?, ..Account::default() });
        };
        // A number is a user id, even if a user has that number as its name.
        let uid = user.parse().ok();
        let asked = uid.map_or_else(|| User::from_name(user), |uid| User::from_uid(Uid::from_raw(uid)));
        let known = found(user, asked)?;
        if let (None, None) = (&known, uid) {
            return Err(AccountError::NoUser(user.into()));
        }
        let gid = group.map(group_id).transpose()?;
        let Some(known) = known else {
            let gid = gid.ok_or_else(|| AccountError::NoGroupOf(uid.unwrap_or_default()))?;
            return Ok(Account { uid, gid: Some(gid), groups: vec![gid], ..Account::default() });
        };
        let gid = gid.unwrap_or(known.gid.as_raw());
        let others = supplementary_groups(&known.name, Gid::from_raw(gid))?;
        Ok(Account {
            uid: Some(known.uid.as_raw()),
            gid: Some(gid),
            groups: [gid].into_iter().chain(others.into_iter().filter(|other| *other != gid)).collect(),
            name: Some(known.name),
            home: Some(known.dir).filter(|home| !home.as_os_str().is_empty()),
        })
    }

    fn group_id(group: &str) -> Result<u32, AccountError> {
        if let Ok(id) = group.parse() {
            return Ok(id);
        }
        let known = found(group, Group::from_name(group))?;
        known.map(|known| known.gid.as_raw()).ok_or_else(|| AccountError::NoGroup(group.into()))
    }

    /// Returns the entry, if there is one. POSIX leaves open which error means that there is none: getpwnam(3) lists
    /// these four.
    fn found<T>(name: &str, asked: nix::Result<Option<T>>) -> Result<Option<T>, AccountError> {
        match asked {
            Err(Errno::ENOENT | Errno::ESRCH | Errno::EBADF | Errno::EPERM) => Ok(None),
            asked => asked.map_err(|error| AccountError::Lookup(name.into(), error.into())),
        }
    }

    #[cfg(not(target_os = "macos"))]
    fn supplementary_groups(user: &str, gid: Gid) -> Result<Vec<u32>, AccountError> {
        let failed = |error: Errno| AccountError::Lookup(user.into(), error.into());
        let name = std::ffi::CString::new(user).map_err(|_| failed(Errno::EINVAL))?;
        let groups = nix::unistd::getgrouplist(&name, gid).map_err(failed)?;
        Ok(groups.into_iter().map(Gid::as_raw).collect())
    }

    /// `nix` has no `getgrouplist` for macOS: only the primary group is known there.
    #[cfg(target_os = "macos")]
    #[expect(clippy::unnecessary_wraps, reason = "fails on the other systems")]
    fn supplementary_groups(_: &str, _: Gid) -> Result<Vec<u32>, AccountError> {
        Ok(Vec::new())
    }
}

#[cfg(not(unix))]
mod system {
    use super::{Account, AccountError};

    pub(super) fn look_up(_: Option<&str>, _: Option<&str>) -> Result<Account, AccountError> {
        Err(AccountError::NoUsers)
    }
}

/// Checks that this process may start another one as that account.
pub(super) fn may_become(account: &Account) -> Result<(), AccountError> {
    #[cfg(unix)]
    if let Some(uid) = account.uid {
        let own = rustix::process::geteuid();
        if !own.is_root() && own.as_raw() != uid {
            return Err(AccountError::OtherUser(uid));
        }
    }
    #[cfg(not(unix))]
    if account.uid.is_some() {
        return Err(AccountError::NoUsers);
    }
    Ok(())
}

/// Checks that this process may limit the capabilities of another one.
pub(super) fn may_confine(wanted: bool) -> Result<(), AccountError> {
    can_confine(wanted)?;
    #[cfg(unix)]
    if wanted && !rustix::process::geteuid().is_root() {
        return Err(AccountError::Unprivileged);
    }
    Ok(())
}

/// Checks that this system can confine a process.
pub(super) fn can_confine(wanted: bool) -> Result<(), AccountError> {
    if wanted && cfg!(not(target_os = "linux")) {
        return Err(AccountError::NotLinux);
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn of(user: Option<&str>, group: Option<&str>) -> Result<Account, Box<str>> {
        account(user, group).map_err(|error| error.to_string().into())
    }

    #[test]
    fn a_user_is_found_by_name_and_by_number() {
        let root = of(Some("root"), None).expect("everywhere");
        assert_eq!((root.uid, root.gid, root.name.as_deref()), (Some(0), Some(0), Some("root")));
        assert_eq!(root.groups.first(), Some(&0));
        assert_eq!(of(Some("0"), None), Ok(root.clone()));
        let other = of(Some("root"), Some("7")).expect("a number needs no entry");
        assert_eq!((other.uid, other.gid, other.groups.first()), (Some(0), Some(7), Some(&7)));
        assert_eq!((other.home, other.name), (root.home, root.name));
        let only = Account { gid: Some(50), ..Account::default() };
        assert_eq!(of(None, Some("50")), Ok(only), "a group alone brings no user");
    }

    #[test]
    fn a_number_needs_no_name() {
        let unnamed = 4_000_004_711;
        let nobody = Account { uid: Some(unnamed), gid: Some(7), groups: vec![7], ..Account::default() };
        assert_eq!(of(Some("4000004711"), Some("7")), Ok(nobody));
        let error = of(Some("4000004711"), None).expect_err("no group");
        assert_eq!(*error, *"can not find user 4000004711: give its group too");
    }

    #[test]
    fn an_unknown_name_is_in_the_message() {
        let error = of(Some("wbe"), Some("sll")).expect_err("no user");
        assert_eq!(*error, *"can not find the user \"wbe\"");
        let error = of(Some("root"), Some("sll")).expect_err("no group");
        assert_eq!(*error, *"can not find the group \"sll\"");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_user_has_the_groups_that_list_it() {
        // Any entry of the file that lists a member who is a user of its own.
        let text = std::fs::read_to_string("/etc/group").unwrap_or_default();
        for line in text.lines() {
            let fields: Vec<&str> = line.split(':').collect();
            let [_, _, id, members] = fields[..] else { continue };
            for account in members.split(',').filter_map(|member| of(Some(member), None).ok()) {
                assert!(account.groups.contains(&id.parse().expect("a number")), "{line}: {account:?}");
            }
        }
    }
}
