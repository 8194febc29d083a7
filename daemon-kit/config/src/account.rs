//! Who a service runs as. `/etc/passwd` and `/etc/group` are read here: what else a system may ask (LDAP and the
//! like) would take C's own functions, and with them `unsafe`. On macOS, whose people are in neither file, its directory
//! is asked through a library.

use std::path::PathBuf;

/// Who a service runs as.
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
    /// Every group, the primary one first. Empty where no user is named: only `gid` is taken over then.
    pub groups: Vec<u32>,
}

/// What systems without these files say.
const ELSEWHERE: &str = "can not run as another user on this system";

/// Looks `user` and `group` up in `/etc/passwd` and `/etc/group`; numbers are taken too.
pub fn account(user: Option<&str>, group: Option<&str>) -> Result<Account, String> {
    if user.is_none() && group.is_none() {
        return Ok(Account::default());
    }
    if cfg!(not(unix)) {
        return Err(ELSEWHERE.into());
    }
    let read = |path: &str| std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let passwd = read("/etc/passwd").unwrap_or_default() + &directory::user(user);
    let groups = read("/etc/group").unwrap_or_default() + &directory::group(group);
    look_up(user, group, &passwd, &groups)
}

/// What the directory of the system knows beyond the files, as a line of them.
mod directory {
    #[cfg(target_os = "macos")]
    pub(super) fn user(user: Option<&str>) -> String {
        use nix::unistd::{Uid, User};
        let found = user.and_then(|user| match user.parse() {
            Ok(uid) => User::from_uid(Uid::from_raw(uid)).ok()?,
            Err(_) => User::from_name(user).ok()?,
        });
        let line =
            |user: User| format!("\n{}:*:{}:{}::{}:\n", user.name, user.uid, user.gid, user.dir.display());
        found.map(line).unwrap_or_default()
    }

    #[cfg(target_os = "macos")]
    pub(super) fn group(group: Option<&str>) -> String {
        let found = group.and_then(|group| nix::unistd::Group::from_name(group).ok()?);
        found.map(|group| format!("\n{}:*:{}:\n", group.name, group.gid)).unwrap_or_default()
    }

    #[cfg(not(target_os = "macos"))]
    pub(super) fn user(_: Option<&str>) -> String {
        String::new()
    }

    #[cfg(not(target_os = "macos"))]
    pub(super) fn group(_: Option<&str>) -> String {
        String::new()
    }
}

/// Whether this process may start another one as that account.
pub(super) fn may_become(account: &Account) -> Result<(), String> {
    #[cfg(unix)]
    if let Some(uid) = account.uid {
        let own = rustix::process::geteuid();
        if !own.is_root() && own.as_raw() != uid {
            return Err(format!("can not run as user {uid}: only root may run as somebody else"));
        }
    }
    #[cfg(not(unix))]
    if account.uid.is_some() {
        return Err(ELSEWHERE.into());
    }
    Ok(())
}

/// Whether this process may take from another one what it has itself.
pub(super) fn may_confine(wanted: bool) -> Result<(), String> {
    can_confine(wanted)?;
    #[cfg(unix)]
    if wanted && !rustix::process::geteuid().is_root() {
        return Err("can not be set: only root may say what a service can have of its power".into());
    }
    Ok(())
}

/// Whether that can be had on this system.
pub(super) fn can_confine(wanted: bool) -> Result<(), String> {
    if wanted && cfg!(not(target_os = "linux")) {
        return Err("can not be had on this system: it is Linux's own".into());
    }
    Ok(())
}

fn look_up(user: Option<&str>, group: Option<&str>, passwd: &str, groups: &str) -> Result<Account, String> {
    let gid = group.map(|group| group_id(group, groups)).transpose()?;
    let Some(user) = user else { return Ok(Account { gid, ..Account::default() }) };
    let fields = |line: &'_ str| line.split(':').map(str::to_owned).collect::<Vec<String>>();
    let known = passwd.lines().map(fields).find(|fields| {
        // A number is the number, also where a user is called so.
        let key = if user.parse::<u32>().is_ok() { fields.get(2) } else { fields.first() };
        key.is_some_and(|key| key == user)
    });
    let Some(known) = known else {
        return match (user.parse().ok(), gid) {
            (Some(uid), Some(gid)) => {
                Ok(Account { uid: Some(uid), gid: Some(gid), groups: vec![gid], ..Account::default() })
            }
            (Some(uid), None) => Err(format!("can not find user {uid} in /etc/passwd: give its group too")),
            (None, _) => Err(format!("can not find the user {user:?} in /etc/passwd")),
        };
    };
    let number = |index: usize| known.get(index).and_then(|field| field.parse::<u32>().ok());
    let (Some(name), Some(uid), Some(own_gid)) = (known.first(), number(2), number(3)) else {
        return Err(format!("can not read the line of the user {user:?} in /etc/passwd"));
    };
    let gid = gid.unwrap_or(own_gid);
    let mut all = vec![gid];
    for line in groups.lines().map(fields) {
        let member = line.get(3).is_some_and(|members| members.split(',').any(|member| member == name));
        if let Some(id) = line.get(2).and_then(|id| id.parse().ok()).filter(|id| member && !all.contains(id))
        {
            all.push(id);
        }
    }
    let home = known.get(5).filter(|home| !home.is_empty()).map(PathBuf::from);
    Ok(Account { uid: Some(uid), gid: Some(gid), name: Some(name.clone()), home, groups: all })
}

fn group_id(group: &str, groups: &str) -> Result<u32, String> {
    if let Ok(id) = group.parse() {
        return Ok(id);
    }
    let named = |line: &&str| line.split(':').next() == Some(group);
    let line = groups.lines().find(named);
    line.and_then(|line| line.split(':').nth(2)?.parse().ok())
        .ok_or_else(|| format!("can not find the group {group:?} in /etc/group"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nbroken\nweb:x:33:34:Web:/var/www:/bin/false\n";
    const GROUPS: &str = "root:x:0:\nweb:x:34:\nssl:x:50:web,other\nvideo:x:44:webx\nlogs:x:60:other,web\n";

    fn of(user: Option<&str>, group: Option<&str>) -> Result<Account, String> {
        look_up(user, group, PASSWD, GROUPS)
    }

    #[test]
    fn a_user_brings_its_groups_and_home() {
        let web = Account {
            uid: Some(33),
            gid: Some(34),
            name: Some("web".into()),
            home: Some("/var/www".into()),
            groups: vec![34, 50, 60],
        };
        assert_eq!(of(Some("web"), None), Ok(web.clone()));
        assert_eq!(of(Some("33"), None), Ok(web.clone()), "by number");
        let logs = Account { gid: Some(60), groups: vec![60, 50], ..web };
        assert_eq!(of(Some("web"), Some("logs")), Ok(logs), "the group given is the primary one");
        let only = Account { gid: Some(50), ..Account::default() };
        assert_eq!(of(None, Some("ssl")), Ok(only));
    }

    #[test]
    fn a_number_needs_no_name() {
        let nobody = Account { uid: Some(4711), gid: Some(7), groups: vec![7], ..Account::default() };
        assert_eq!(of(Some("4711"), Some("7")), Ok(nobody));
        let error = of(Some("4711"), None).expect_err("no group");
        assert_eq!(error, "can not find user 4711 in /etc/passwd: give its group too");
    }

    #[test]
    fn who_is_not_there_is_named() {
        let error = of(Some("wbe"), None).expect_err("no user");
        assert_eq!(error, "can not find the user \"wbe\" in /etc/passwd");
        let error = of(Some("web"), Some("sll")).expect_err("no group");
        assert_eq!(error, "can not find the group \"sll\" in /etc/group");
        assert!(of(Some("broken"), None).is_err(), "a damaged line is no user");
    }
}
