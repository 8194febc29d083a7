//! What a service says of itself over its notify socket (the protocol of `sd_notify`).

use std::collections::BTreeMap;

use daemon_kit::file::{self, Ready};
use proto::Name;

use super::{Service, World};

/// What the current run has said, as far as it is only to be shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// `STATUS=`.
    pub status: String,
    /// `STOPPING=1`: it is about to end by itself.
    pub stopping: bool,
}

/// One line of a message, as far as we know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word<'a> {
    /// `READY=1`
    Ready,
    /// `STATUS=`
    Status(&'a str),
    /// `STOPPING=1`
    Stopping,
    /// `WATCHDOG=1`
    Alive,
    /// `MAINPID=`: Sereno holds the process that it started, and takes no other for it.
    MainPid(&'a str),
}

/// The lines of a message that we know; all others belong to somebody else's dialect.
pub fn words(text: &str) -> impl Iterator<Item = Word<'_>> {
    text.lines().filter_map(|line| match line.split_once('=')? {
        ("READY", "1") => Some(Word::Ready),
        ("STATUS", status) => Some(Word::Status(status)),
        ("STOPPING", "1") => Some(Word::Stopping),
        ("WATCHDOG", "1") => Some(Word::Alive),
        ("MAINPID", pid) => Some(Word::MainPid(pid)),
        _ => None,
    })
}

impl Service {
    /// Whether it is listened to.
    pub fn is_listened_to(&self) -> bool {
        self.promise().is_some() || self.spec.ready.iter().any(|ready| matches!(ready, Ready::Notify))
    }

    /// How often it promises to say `WATCHDOG=1`.
    fn promise(&self) -> Option<std::time::Duration> {
        self.spec.watchdog.as_ref()?.notify
    }

    /// What its environment says of the notify socket.
    pub(super) fn notify_env(&self, world: &World) -> BTreeMap<String, String> {
        if !self.is_listened_to() {
            return BTreeMap::new();
        }
        let mut env = BTreeMap::from([("NOTIFY_SOCKET".into(), world.notify_address(self))]);
        env.extend(self.promise().map(|often| ("WATCHDOG_USEC".into(), often.as_micros().to_string())));
        env
    }
}

/// As whom a service runs, as its settings say; without a user, as ourselves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Account {
    /// Its user.
    pub user: Option<String>,
    /// Its group: a user that is only a number has none of its own.
    pub group: Option<String>,
}

/// Whose words are heard: the service's own user's, ours, and root's.
#[derive(Debug)]
pub struct Ears {
    of: Account,
    /// Looked up when first needed: the user may come about later than its service.
    uid: Option<u32>,
    warned: bool,
}

impl Ears {
    /// For a service that runs as this user.
    pub fn of(of: Account) -> Self {
        Self { of, uid: None, warned: false }
    }

    /// Whether what this user says is to be heard. A stranger is told of once.
    pub fn hear(&mut self, service: &Name, uid: Option<u32>) -> bool {
        let (own, _) = crate::os::own_ids();
        let Some(uid) = uid.filter(|uid| *uid != 0 && *uid != own) else { return true };
        if self.uid.is_none() {
            self.uid = file::account(self.of.user.as_deref(), self.of.group.as_deref())
                .ok()
                .and_then(|account| account.uid);
        }
        let heard = self.uid == Some(uid);
        if !heard && !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(%service, uid, "somebody else speaks into its notify socket; passed over");
        }
        heard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_words_of_the_protocol_and_passes_over_the_rest() {
        let text =
            "READY=1\nSTATUS=serving a=b\nFDSTORE=1\nWATCHDOG=1\nREADY=0\nnonsense\nMAINPID=12\nSTOPPING=1";
        let expected =
            [Word::Ready, Word::Status("serving a=b"), Word::Alive, Word::MainPid("12"), Word::Stopping];
        assert_eq!(words(text).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn strangers_are_not_heard() {
        let name = Name::new("web").expect("a name");
        let (own, _) = crate::os::own_ids();
        let mut ears = Ears::of(Account { user: Some("4711".into()), group: Some("0".into()) });
        let heard = [Some(4711), Some(4712), Some(0), Some(own), None].map(|uid| ears.hear(&name, uid));
        assert_eq!(heard, [true, false, true, true, true]);
        assert!(!Ears::of(Account::default()).hear(&name, Some(own + 4711)));
    }
}
