//! Permissions at this daemon's endpoints: the roles table, and the files of tokens and certificates, which
//! are read again when they have changed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use proto::Role;
use tokio::time::Instant;

use super::budget::READING;
use super::connections::PeerKey;
use super::listen::{Origin, Peer};
use super::log_throttle::LogThrottle;
use super::rate::{CALLS, CONNECTIONS, RateKey, RateLimiter, TooFast};
use super::roles;
use sereno_auth::secret::Stamp;
use sereno_auth::tls::{Material, TlsError};
use sereno_auth::{Identity, TlsFiles, Tokens};

/// An authenticated caller with the permission to make its call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Description of the caller, for the journal.
    pub who: String,
    /// Role of the caller.
    pub role: Role,
    /// Identity from the token or certificate; `None` if the system identifies the caller.
    pub identity: Option<Identity>,
    /// Process id of a local caller, where the system tells it.
    pub pid: Option<u32>,
}

/// Proof that admitted a caller. It must stay valid while a stream is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Proof {
    Lasting,
    Token([u8; 32]),
    Certificate { name: String, until: Option<i64> },
}

impl Proof {
    /// Returns the key by which the calls of this caller are counted; `None` if they are not.
    pub(super) fn rate_key(&self) -> Option<RateKey> {
        match self {
            Self::Lasting => None,
            Self::Token(hash) => Some(RateKey::Token(*hash)),
            Self::Certificate { name, .. } => Some(RateKey::Certificate(name.clone())),
        }
    }
}

/// A refused call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Description of the caller, without parts that change between attempts.
    pub(super) who: String,
    /// Needed and actual role.
    pub(super) why: String,
    /// Proof of the caller's identity, if any.
    pub(super) proof: Option<Proof>,
}

/// Callback that receives the text of a refusal.
type Report = Box<dyn Fn(String) + Send + Sync>;

/// The rates that apply over TCP.
struct Limits {
    calls: RateLimiter,
    connections: RateLimiter,
    reading: Arc<RateLimiter>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls: RateLimiter::new(CALLS),
            connections: RateLimiter::new(CONNECTIONS),
            reading: Arc::new(RateLimiter::new(READING)),
        }
    }
}

/// Permissions at one daemon's endpoints.
#[derive(Default)]
pub struct Access {
    tokens: Option<Watched<PathBuf, Arc<Tokens>>>,
    tls: Option<Watched<TlsFiles, Option<Arc<Material>>>>,
    refused: OnceLock<Report>,
    calm: Mutex<LogThrottle>,
    limits: Limits,
    unbound: Mutex<BTreeMap<String, String>>,
}

/// Files, with the value last read and the file stamps at that time.
struct Watched<F, T> {
    files: F,
    read: Mutex<(Option<[Stamp; 3]>, T)>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").finish_non_exhaustive()
    }
}

impl Access {
    /// Creates the permissions. `tokens` is the file with the hashed tokens, which need not exist yet.
    pub fn new(tokens: Option<PathBuf>, tls: Option<TlsFiles>) -> Self {
        Self {
            tokens: tokens.map(|files| Watched { files, read: Mutex::default() }),
            tls: tls.map(|files| Watched { files, read: Mutex::default() }),
            ..Self::default()
        }
    }

    /// Sets the callback for refusals; a repeated refusal is reported once a minute.
    pub fn report(&self, report: impl Fn(String) + Send + Sync + 'static) {
        let _ = self.refused.set(Box::new(report));
    }

    pub(super) fn has_tokens(&self) -> bool {
        self.tokens.is_some()
    }

    /// Reads the certificates for the first time. Returns `false` if none are configured.
    pub(super) fn load_tls(&self) -> Result<bool, TlsError> {
        let Some(tls) = &self.tls else { return Ok(false) };
        let stamps = tls.files.stamps();
        let material = tls.files.load()?;
        // A mismatch is reported now instead of to the first client.
        material.server(Arc::default())?;
        *tls.read.lock().expect("nobody panics with it") = (Some(stamps), Some(Arc::new(material)));
        Ok(true)
    }

    /// Returns the current certificates. If the files can not be read, the previous ones stay in use.
    pub(super) fn tls(&self) -> Option<Arc<Material>> {
        let Watched { files, read } = self.tls.as_ref()?;
        let mut read = read.lock().expect("nobody panics with it");
        let stamps = Some(files.stamps());
        if read.0 != stamps {
            read.0 = stamps;
            // Certificate and key are two files: between the two writes they do not match.
            let usable = files.load().and_then(|material| material.server(Arc::default()).map(|_| material));
            match usable {
                Ok(material) => {
                    tracing::info!(cert = %files.cert.display(), "uses the new certificate");
                    read.1 = Some(Arc::new(material));
                }
                Err(error) => tracing::error!(%error, "goes on with the certificate it has"),
            }
        }
        read.1.clone()
    }

    /// Returns the current tokens. If the file can not be read, no token is accepted.
    fn tokens(&self) -> Option<Arc<Tokens>> {
        let Watched { files: path, read } = self.tokens.as_ref()?;
        let mut read = read.lock().expect("nobody panics with it");
        let stamps = Some([Stamp::of(path); 3]);
        if read.0 != stamps {
            read.0 = stamps;
            read.1 = match Tokens::load(path) {
                Ok((tokens, bad)) => {
                    for error in bad {
                        tracing::error!(%error, "a token in {} is left out", path.display());
                    }
                    Arc::new(tokens)
                }
                Err(error) => {
                    tracing::error!(%error, "no token is taken");
                    Arc::default()
                }
            };
        }
        Some(Arc::clone(&read.1))
    }

    /// Decides whether a call may be made.
    pub(super) fn judge(
        &self,
        path: &str,
        peer: Option<&Peer>,
        bearer: Option<&str>,
    ) -> Result<(Caller, Proof), Refusal> {
        let needed = roles::needed(path);
        let call = roles::call(path);
        let refuse = |who: &str, why: String, proof| Err(Refusal { who: who.into(), why, proof });
        let (who, role, identity, proof) = match peer.map(|peer| &peer.origin) {
            None => return refuse("somebody", format!("{call} needs the role {needed}"), None),
            Some(Origin::Local { uid, pid }) => {
                let Some(uid) = *uid else {
                    // Only its owner can open the endpoint, and this system tells no more about the peer.
                    let who = "a local client".into();
                    let caller = Caller { who, role: Role::Operator, identity: None, pid: *pid };
                    return Ok((caller, Proof::Lasting));
                };
                let pid = pid.map_or_else(String::new, |pid| format!(", pid {pid}"));
                if uid != 0 && Some(uid) != super::listen::own_uid() {
                    let why = format!(
                        "{call} needs the role {needed}, uid {uid} has none: the owner and root are operators"
                    );
                    return refuse(&format!("uid {uid}"), why, Some(Proof::Lasting));
                }
                (format!("uid {uid}{pid}"), Role::Operator, None, Proof::Lasting)
            }
            Some(Origin::Loopback(address)) => {
                let from = address.ip();
                let tokens = self.tokens().unwrap_or_default();
                let Some(bearer) = bearer else {
                    let who = format!("{from} without a token");
                    return refuse(&who, format!("{call} needs the role {needed}: show a token"), None);
                };
                let Some(token) = tokens.whose(bearer) else {
                    let who = format!("{from} with a wrong token");
                    return refuse(
                        &who,
                        format!("{call} needs the role {needed}: nobody has this token"),
                        None,
                    );
                };
                let identity = token.identity.clone();
                let who = format!("token {} ({from})", identity.name);
                (who, identity.role, Some(identity), Proof::Token(token.hash))
            }
            Some(Origin::Certificate { address, identity, until }) => {
                let from = address.ip();
                match identity {
                    Err(error) => {
                        let why =
                            format!("{call} needs the role {needed}, the certificate gives none: {error}");
                        return refuse(&format!("a certificate ({from})"), why, None);
                    }
                    Ok(identity) => {
                        let who = format!("certificate {} ({from})", identity.name);
                        // The certificate was valid when the connection was made.
                        if has_ended(*until) {
                            let why = format!("{call} needs the role {needed}: the certificate has expired");
                            return refuse(&who, why, None);
                        }
                        let proof = Proof::Certificate { name: identity.name.to_string(), until: *until };
                        (who, identity.role, Some(identity.clone()), proof)
                    }
                }
            }
        };
        if role < needed {
            let why = format!("{call} needs the role {needed}, {who} has the role {role}");
            return refuse(&who, why, Some(proof));
        }
        let pid = match peer.map(|peer| &peer.origin) {
            Some(Origin::Local { pid, .. }) => *pid,
            _ => None,
        };
        Ok((Caller { who, role, identity, pid }, proof))
    }

    /// Checks the rate limit of an authenticated caller, or of a stranger if `proof` is `None`.
    pub(super) fn in_time(&self, peer: Option<&Peer>, proof: Option<&Proof>) -> Result<(), TooFast> {
        let caller = match proof {
            Some(proof) => proof.rate_key(),
            None => peer.map(Peer::stranger),
        };
        caller.map_or(Ok(()), |caller| self.limits.calls.take(caller, Instant::now()))
    }

    /// Checks the rate limit of new connections from an address.
    pub(super) fn may_connect(&self, peer: PeerKey) -> Result<(), TooFast> {
        self.limits.connections.take(RateKey::Stranger(peer), Instant::now())
    }

    /// Returns the limit of what is read from connections.
    pub(super) fn reading(&self) -> Arc<RateLimiter> {
        Arc::clone(&self.limits.reading)
    }

    /// Checks that a proof is still valid; returns the reason if not.
    pub(super) fn holds(&self, proof: &Proof) -> Result<(), &'static str> {
        match proof {
            Proof::Lasting => Ok(()),
            Proof::Certificate { until, .. } => {
                if has_ended(*until) {
                    Err("the certificate has expired")
                } else {
                    Ok(())
                }
            }
            Proof::Token(hash) => {
                let tokens = self.tokens().unwrap_or_default();
                let is_known = tokens.0.iter().any(|token| token.hash == *hash);
                if is_known { Ok(()) } else { Err("the token has been revoked") }
            }
        }
    }

    /// Reports a refusal.
    pub(super) fn refused(&self, who: &str, why: &str) {
        self.say(&format!("refused {who}: {}", why.replace(who, "it")));
    }

    /// Returns the endpoints that can not be bound, with the reason. Binding them is retried.
    pub fn unbound(&self) -> BTreeMap<String, String> {
        self.unbound.lock().expect("nobody panics with it").clone()
    }

    /// Notes that an endpoint can not be bound; `None` means that it is bound now.
    pub(super) fn set_unbound(&self, endpoint: &str, why: Option<String>) {
        let mut unbound = self.unbound.lock().expect("nobody panics with it");
        match why {
            Some(why) => unbound.insert(endpoint.into(), why),
            None => unbound.remove(endpoint),
        };
    }

    /// Writes a line to the log and the journal, a repeated line once a minute.
    pub(super) fn say(&self, line: &str) {
        let due = self.calm.lock().expect("nobody panics with it").due(line, Instant::now());
        let Some(before) = due else { return };
        let times = if before == 0 { String::new() } else { format!(" ({before} times more since)") };
        tracing::warn!("{line}{times}");
        if let Some(report) = self.refused.get() {
            report(format!("{line}{times}"));
        }
    }
}

/// Whether this time, in seconds since 1970, has passed.
fn has_ended(until: Option<i64>) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    until.is_some_and(|until| until < i64::try_from(now).unwrap_or(i64::MAX))
}
