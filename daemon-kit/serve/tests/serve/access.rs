//! Authentication at a TCP endpoint: which clients are admitted and which are refused.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proto::v1::monitor_client::MonitorClient;
use proto::{Endpoint, v1};
use sereno_auth::{TlsFiles, Token, Tokens, secret, tokens};
use sereno_connect::Credentials;
use sereno_connect::{Authorized, lazy_as};
use sereno_runtime::Shutdown;
use sereno_serve::serve::serve;
use sereno_serve::{Access, BindPolicy, bind_all};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::service::Routes;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::pki::Authority;

/// Longer than any step takes on a loaded machine.
pub(crate) const CEILING: Duration = Duration::from_secs(30);

const OPERATOR: &[&str] = &["sereno://role/operator", "sereno://name/boss"];
const MONITOR: &[&str] = &["sereno://role/monitor", "sereno://name/probe"];

/// A daemon with one TCP endpoint.
pub(crate) struct Daemon {
    pub(crate) address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
    stop: Shutdown,
}

impl Daemon {
    fn serve(uri: &str, access: Access) -> Self {
        let heard = Arc::<Mutex<Vec<String>>>::default();
        let ears = Arc::clone(&heard);
        access.report(move |line| ears.lock().expect("whole").push(line));
        let listener =
            bind_all(&[Endpoint::parse(uri).expect(uri)], access, BindPolicy::FailFast).expect("binds");
        let address = listener.addresses()[0];
        let stop = Shutdown::new();
        tokio::spawn(serve(listener, Routes::default(), &[], stop.clone(), Duration::ZERO));
        Self { address, heard, stop }
    }

    pub(crate) fn with_tokens(path: &Path) -> Self {
        Self::serve("http://127.0.0.1:0", Access::new(Some(path.into()), None))
    }

    fn with_tls(files: &TlsFiles) -> Self {
        Self::serve("https://127.0.0.1:0", Access::new(None, Some(files.clone())))
    }

    fn channel(&self, credentials: &Credentials) -> Authorized {
        let scheme = if credentials.tls.is_some() { "https" } else { "http" };
        let endpoint = Endpoint::parse(&format!("{scheme}://{}", self.address)).expect("an endpoint");
        lazy_as(&endpoint, credentials).expect("credentials")
    }

    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().expect("whole").clone()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop.trigger();
    }
}

fn with_cert(files: &TlsFiles) -> Credentials {
    Credentials { tls: Some(files.clone()), token_file: None }
}

/// Makes a call that a viewer may make.
async fn view(channel: &Authorized) -> Result<(), Status> {
    let asked =
        async { HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await.map(drop) };
    timeout(CEILING, asked).await.expect("in time")
}

/// Makes a call that only an operator may make.
async fn act(channel: &Authorized) -> Status {
    let asked = async { MonitorClient::new(channel.clone()).check_now(v1::CheckNowRequest::default()).await };
    timeout(CEILING, asked).await.expect("in time").expect_err("nobody serves it")
}

pub(crate) fn line(name: &str, role: &str, token: &str) -> Token {
    let text = format!("{name} {role} - {} now", tokens::hex(&tokens::hash(token)));
    Tokens::parse(&text).0.0.remove(0)
}

#[tokio::test]
async fn a_token_says_who_calls_and_is_rotated_under_a_running_daemon() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, file) = (folder.path().join("tokens"), folder.path().join("token"));
    let daemon = Daemon::with_tokens(&path);
    let shows = |token: &str| {
        secret::write(&file, &format!("{token}\n")).expect("written");
        daemon.channel(&Credentials { tls: None, token_file: Some(file.clone()) })
    };
    let nobody = daemon.channel(&Credentials::default());
    let error = view(&nobody).await.expect_err("no token");
    assert_eq!(
        (error.code(), error.message()),
        (Code::Unauthenticated, "Check needs the role viewer: show a token")
    );
    let viewer = shows("first");
    assert_eq!(view(&viewer).await.expect_err("there are none yet").code(), Code::Unauthenticated);

    secret::write(&path, &Tokens(vec![line("eyes", "viewer", "first")]).to_text()).expect("written");
    view(&viewer).await.expect("the same connection is let in now");
    let error = act(&viewer).await;
    assert_eq!(error.code(), Code::PermissionDenied);
    assert_eq!(
        error.message(),
        "CheckNow needs the role operator, token eyes (127.0.0.1) has the role viewer"
    );
    // After a rotation the new token works and the old one does not, without a restart.
    secret::write(&path, &Tokens(vec![line("hand", "operator", "second")]).to_text()).expect("written");
    assert_eq!(view(&viewer).await.expect_err("revoked").code(), Code::Unauthenticated);
    assert_eq!(act(&shows("second")).await.code(), Code::Unimplemented, "let through");

    let heard = daemon.heard();
    assert_eq!(heard.len(), 3, "each thing once: {heard:#?}");
    assert!(heard[0].starts_with("refused 127.0.0.1 without a token: Check needs"), "{heard:#?}");
    assert!(heard[1].starts_with("refused 127.0.0.1 with a wrong token: "), "{heard:#?}");
    assert!(heard[2].starts_with("refused token eyes (127.0.0.1): CheckNow needs"), "{heard:#?}");
}

#[tokio::test]
async fn tokens_that_others_can_read_let_nobody_in() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let (path, file) = (folder.path().join("tokens"), folder.path().join("token"));
    secret::write(&path, &Tokens(vec![line("a", "operator", "x")]).to_text()).expect("written");
    secret::write(&file, "x").expect("written");
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(&path, open.clone()).expect("set");
    let daemon = Daemon::with_tokens(&path);
    let credentials = Credentials { tls: None, token_file: Some(file.clone()) };
    assert_eq!(view(&daemon.channel(&credentials)).await.expect_err("closed").code(), Code::Unauthenticated);
    std::fs::set_permissions(&file, open).expect("set");
    let endpoint = Endpoint::Http(daemon.address);
    let error = lazy_as(&endpoint, &credentials).map(drop).expect_err("nor is it shown").to_string();
    assert!(error.contains("(mode 0644): chmod 600"), "{error}");
}

#[tokio::test]
async fn a_certificate_says_who_calls_and_what_is_none_does_not_come_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let ours = Authority::new(&folder.path().join("ours"));
    let theirs = Authority::new(&folder.path().join("theirs"));
    let daemon = Daemon::with_tls(&ours.issue("daemon", &[], 2999));
    let issue = |name: &str, uris: &[&str], until| with_cert(&ours.issue(name, uris, until));

    let boss = daemon.channel(&issue("boss", OPERATOR, 2999));
    view(&boss).await.expect("let in");
    assert_eq!(act(&boss).await.code(), Code::Unimplemented, "let through");
    let probe = daemon.channel(&issue("probe", MONITOR, 2999));
    view(&probe).await.expect("let in");
    let error = act(&probe).await;
    assert_eq!(
        (error.code(), error.message()),
        (
            Code::PermissionDenied,
            "CheckNow needs the role operator, certificate probe (127.0.0.1) has the role monitor"
        )
    );
    let error = view(&daemon.channel(&issue("nobody", &[], 2999))).await.expect_err("no role");
    assert_eq!(error.code(), Code::Unauthenticated);
    assert!(error.message().contains("it names no role"), "{error}");

    view(&daemon.channel(&issue("old", OPERATOR, 2020))).await.expect_err("expired");
    let mut foreign = theirs.issue("boss", OPERATOR, 2999);
    foreign.ca = folder.path().join("ours/ca.pem");
    view(&daemon.channel(&with_cert(&foreign))).await.expect_err("signed by somebody else");
    let mut trusting = ours.issue("trusting", OPERATOR, 2999);
    trusting.ca = folder.path().join("theirs/ca.pem");
    view(&daemon.channel(&with_cert(&trusting))).await.expect_err("the daemon is not who it should be");

    let heard = daemon.heard().join("\n");
    for part in [
        "refused certificate probe (127.0.0.1): CheckNow needs the role operator",
        "refused certificate boss (127.0.0.1): its certificate has expired",
        "refused certificate boss (127.0.0.1): its certificate is not signed by the authority",
        "refused a certificate (127.0.0.1): Check needs the role viewer, the certificate gives none",
    ] {
        assert!(heard.contains(part), "{part:?} is not in\n{heard}");
    }
}

#[tokio::test]
async fn a_new_certificate_is_used_from_the_next_connection_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let (one, two) = (Authority::new(&folder.path().join("one")), Authority::new(&folder.path().join("two")));
    let served = one.issue("daemon", &[], 2999);
    let daemon = Daemon::with_tls(&served);
    let (before, after) = (one.issue("boss", OPERATOR, 2999), two.issue("boss", OPERATOR, 2999));
    let old = daemon.channel(&with_cert(&before));
    view(&old).await.expect("let in");
    view(&daemon.channel(&with_cert(&after))).await.expect_err("not yet");
    // A half-written key changes nothing.
    std::fs::write(&served.cert, "-----BEGIN CERTIF").expect("written");
    view(&daemon.channel(&with_cert(&before))).await.expect("goes on with what it has");
    let fresh = two.issue("daemon", &[], 2999);
    for (from, to) in [(&fresh.ca, &served.ca), (&fresh.cert, &served.cert), (&fresh.key, &served.key)] {
        secret::write(to, &std::fs::read_to_string(from).expect("text")).expect("written");
    }
    view(&daemon.channel(&with_cert(&after))).await.expect("the new authority's");
    view(&old).await.expect("what is connected stays so");
}

#[tokio::test]
async fn who_does_nothing_keeps_nobody_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let ours = Authority::new(&folder.path().join("ours"));
    let daemon = Daemon::with_tls(&ours.issue("daemon", &[], 2999));
    let boss = daemon.channel(&with_cert(&ours.issue("boss", OPERATOR, 2999)));
    view(&boss).await.expect("let in");
    // Opens more connections than one peer has slots, without a handshake or with half of it.
    let mut idle = Vec::new();
    for n in 0..200 {
        let mut stream = TcpStream::connect(daemon.address).await.expect("connects");
        if n % 2 == 0 {
            let _ = stream.write_all(&[22, 3, 1, 2, 0, 1]).await;
        }
        idle.push(stream);
    }
    view(&boss).await.expect("still there");
    view(&daemon.channel(&with_cert(&ours.issue("late", OPERATOR, 2999)))).await.expect("there is room");
    // The oldest of them was closed.
    let gone = timeout(CEILING, idle[0].read(&mut [0; 16])).await.expect("in time");
    assert!(matches!(gone, Ok(0) | Err(_)), "{gone:?}");
}

#[tokio::test]
async fn what_can_not_be_bound_yet_is_bound_when_it_can() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = Authority::new(folder.path()).issue("daemon", OPERATOR, 2999);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound");
    let endpoint = Endpoint::parse(&format!("https://{address}")).expect("an endpoint");
    let access = || Access::new(None, Some(files.clone()));
    let one = std::slice::from_ref(&endpoint);
    bind_all(one, access(), BindPolicy::FailFast).map(drop).expect_err("a person is told at once");
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let reported = access();
    reported.report(move |line| drop(tell.send(line)));
    let listener = bind_all(one, reported, BindPolicy::Retry).expect("goes on without");
    let stop = Shutdown::new();
    tokio::spawn(serve(listener, Routes::default(), &[], stop.clone(), Duration::ZERO));
    let line = timeout(CEILING, told.recv()).await.expect("in time").expect("told");
    assert!(line.starts_with(&format!("{endpoint} can not be bound: ")), "{line}");
    drop(taken);
    let channel = lazy_as(&endpoint, &with_cert(&files)).expect("credentials");
    let served = async {
        while view(&channel).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(CEILING, served).await.expect("in the end");
    stop.trigger();
}

#[tokio::test]
async fn an_endpoint_that_could_let_nobody_in_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let ours = Authority::new(folder.path());
    let good = ours.issue("good", &[], 2999);
    let mut mixed = good.clone();
    mixed.key = ours.issue("other", &[], 2999).key;
    let missing = TlsFiles { ca: "/none.pem".into(), ..good };
    for (uri, access, part) in [
        ("https://127.0.0.1:0", Access::default(), "needs tls = { ca, cert, key }"),
        ("http://127.0.0.1:0", Access::default(), "needs a file of tokens"),
        ("https://127.0.0.1:0", Access::new(None, Some(missing)), "read /none.pem: "),
        ("https://127.0.0.1:0", Access::new(None, Some(mixed)), "keys may not be consistent"),
    ] {
        let endpoint = Endpoint::parse(uri).expect(uri);
        let error =
            bind_all(&[endpoint], access, BindPolicy::FailFast).map(drop).expect_err(part).to_string();
        assert!(error.starts_with(&format!("bind {uri}: ")) && error.contains(part), "{error}");
    }
}
