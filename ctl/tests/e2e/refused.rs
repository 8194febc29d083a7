//! Who is not let in, and who may not do what they want: refused, said with who it was, and nothing has changed.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use proto::v1;
use proto::v1::arbiter_client::ArbiterClient;
use tonic::Request;

use crate::harness::{Answer, Service, System, eventually, free_port};

/// One service, watched over by nobody but its supervisor, which listens on TCP in both ways.
struct Watched {
    system: System,
    plain: String,
    tls: String,
}

impl Watched {
    fn up() -> Self {
        let (plain, tls) = (free_port(), free_port());
        let system = System::new(&format!(
            r#"
            [supervisor]
            listen = ["http://127.0.0.1:{plain}", "https://127.0.0.1:{tls}"]
            tls = {{ ca = "pki/ca.pem", cert = "pki/sup.pem", key = "pki/sup.key" }}
            [services.web]
            command = "sleep 1000"
            [services.db]
            command = "sleep 1000"
            "#
        ));
        for args in [
            &["pki", "init"][..],
            &["pki", "issue", "sup", "--role", "operator", "--host", "127.0.0.1"],
            &["pki", "issue", "boss", "--role", "operator"],
            &["pki", "issue", "eyes", "--role", "viewer"],
            &["token", "new", "probe", "--role", "monitor", "--output", "probe.token"],
            &["token", "new", "eyes", "--role", "viewer", "--output", "eyes.token"],
            &["token", "new", "hand", "--role", "operator", "--output", "hand.token"],
        ] {
            system.ctl(args).succeeded();
        }
        let system = system.up();
        Self { system, plain: format!("http://127.0.0.1:{plain}"), tls: format!("https://127.0.0.1:{tls}") }
    }

    /// `ctl` over TCP, with a token.
    fn with_token(&self, token: &str, args: &[&str]) -> Answer {
        let file = format!("{token}.token");
        self.system.ctl(&[&["--endpoint", &self.plain, "--token-file", &file], args].concat())
    }

    /// `ctl` over TLS, with a certificate of this name.
    fn with_cert(&self, name: &str, args: &[&str]) -> Answer {
        let [cert, key] = ["pem", "key"].map(|ending| format!("pki/{name}.{ending}"));
        let shown = ["--endpoint", &self.tls, "--ca", "pki/ca.pem", "--cert", &cert, "--key", &key];
        self.system.ctl(&[&shown[..], args].concat())
    }

    fn web(&self) -> Service {
        self.system.service("web")
    }

    /// Holds that somebody was refused with these words, and that the journal has it.
    #[track_caller]
    fn refuses(&self, answer: &Answer, words: &str, journal: &str) {
        assert!(answer.code == 1 || answer.code == 3, "{}: {}", answer.code, answer.err);
        assert!(answer.err.contains(words), "{words:?} is not in {}", answer.err);
        eventually(journal, || self.system.ctl(&["events"]).out.contains(journal));
    }
}

#[test]
fn every_way_of_asking_for_too_much_changes_nothing() {
    let watched = Watched::up();
    let before = watched.web();
    let stop = &["stop", "web"][..];

    let no_token = watched.system.ctl(&["--endpoint", &watched.plain, "stop", "web"]);
    watched.refuses(
        &no_token,
        "Stop needs the role operator: show a token",
        "refused 127.0.0.1 without a token",
    );
    fs::write(watched.system.path("wrong.token"), "sereno_0000").expect("written");
    fs::set_permissions(watched.system.path("wrong.token"), fs::Permissions::from_mode(0o600)).expect("set");
    let wrong = watched.with_token("wrong", stop);
    watched.refuses(&wrong, "nobody has this token", "refused 127.0.0.1 with a wrong token");
    let monitor = watched.with_token("probe", stop);
    let words = "Stop needs the role operator, token probe (127.0.0.1) has the role monitor";
    let journal = "refused token probe (127.0.0.1): Stop needs the role operator, it has the role monitor";
    watched.refuses(&monitor, words, journal);
    let viewer = watched.with_cert("eyes", stop);
    let words = "certificate eyes (127.0.0.1) has the role viewer";
    watched.refuses(&viewer, words, "refused certificate eyes (127.0.0.1): Stop needs");

    // It is good for a moment; from then on it is not.
    watched.system.ctl(&["pki", "issue", "old", "--role", "operator", "--valid", "1s"]).succeeded();
    eventually("refused when it has ended", || watched.with_cert("old", &["status"]).code == 3);
    let expired = watched.with_cert("old", stop);
    watched.refuses(&expired, "expired", "refused certificate old (127.0.0.1): its certificate has expired");
    // The right name, by somebody else's hand.
    watched.system.ctl(&["pki", "--folder", "theirs", "init"]).succeeded();
    watched.system.ctl(&["pki", "--folder", "theirs", "issue", "boss", "--role", "operator"]).succeeded();
    for ending in ["pem", "key"] {
        let [from, to] =
            ["theirs/boss", "pki/fake"].map(|path| watched.system.path(&format!("{path}.{ending}")));
        fs::copy(from, to).expect("copied");
    }
    let foreign = watched.with_cert("fake", stop);
    watched.refuses(&foreign, "", "is not signed by the authority that is trusted here");

    let after = watched.web();
    assert_eq!((after.state(), after.pid()), (before.state(), before.pid()), "nothing has changed");
    // What they may, they can.
    eventually("who may look sees all well", || watched.with_token("eyes", &["status"]).code == 0);
    watched.with_cert("eyes", &["why", "web"]).succeeded();
    watched.with_cert("boss", &["restart", "web"]).succeeded();
    watched.with_token("hand", &["restart", "db"]).succeeded();
    assert_ne!(watched.web().pid(), before.pid());
    let why = watched.system.ctl(&["events"]).out;
    assert!(why.contains("certificate boss (127.0.0.1)"), "who it was is said: {why}");
    watched.system.down();
}

#[test]
fn a_token_that_is_revoked_ends_what_is_open() {
    let watched = Watched::up();
    let mut args = vec!["--endpoint", &watched.plain, "--token-file", "eyes.token"];
    args.extend(["events", "--follow"]);
    let mut open =
        watched.system.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs");
    // It is open when it has told something; what happens then it would not be told of.
    let mut first = String::new();
    BufReader::new(open.stdout.as_mut().expect("piped")).read_line(&mut first).expect("a line");
    watched.system.ctl(&["token", "revoke", "eyes"]).succeeded();
    let ended = open.wait_with_output().expect("ends");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success() && (said.contains("revoked") || said.contains("token")), "{said}");
    assert_eq!(watched.with_token("eyes", &["status"]).code, 1);

    // So does a certificate whose time is over, on a connection that was made in time.
    watched.system.ctl(&["pki", "issue", "brief", "--role", "viewer", "--valid", "3s"]).succeeded();
    let ended = watched.with_cert("brief", &["events", "--follow"]);
    assert!(ended.code != 0 && ended.err.contains("expired"), "{}", ended.err);
    watched.system.down();
}

#[test]
fn another_user_is_refused_even_where_the_socket_is_open() {
    if !rustix::process::geteuid().is_root() {
        let required = std::env::var("SERENO_TEST_REQUIRE").unwrap_or_default();
        assert!(!required.split(',').any(|name| name == "root"), "root is required here");
        eprintln!("SKIPPED: only root can be somebody else");
        return;
    }
    let watched = Watched::up();
    let before = watched.web();
    for (path, mode) in
        [("", 0o755), (".sereno", 0o755), (".sereno/run", 0o755), (".sereno/run/supervisor.sock", 0o666)]
    {
        fs::set_permissions(watched.system.path(path), fs::Permissions::from_mode(mode)).expect("opened");
    }
    let ctl = watched.system.path("ctl");
    fs::copy(env!("CARGO_BIN_EXE_ctl"), &ctl).expect("copied");
    let socket = format!("unix://{}", watched.system.path(".sereno/run/supervisor.sock").display());
    let output =
        Command::new(ctl).args(["--endpoint", &socket, "stop", "web"]).uid(65534).gid(65534).output();
    let said = String::from_utf8_lossy(&output.expect("runs").stderr).into_owned();
    assert!(said.contains("uid 65534 has none: the owner and root are operators"), "{said}");
    assert_eq!(watched.web().pid(), before.pid());
    assert!(watched.system.ctl(&["events"]).out.contains("refused uid 65534"));
    watched.system.down();
}

/// A call of a monitor that shows this token.
fn shown<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse().expect("ascii");
    request.metadata_mut().insert("authorization", value);
    request
}

#[test]
fn a_monitor_of_some_services_sees_and_asks_for_no_others() {
    let port = free_port();
    let system = System::new(&format!(
        r#"
        [supervisor]
        listen = "http://127.0.0.1:{port}"
        [monitors.probe]
        kind = "disk"
        managed = false
        endpoint = "http://127.0.0.1:1"
        [defaults]
        command = "sleep 1000"
        ready = "started"
        [defaults.checks.own]
        kind = "disk"
        [services.web]
        env = {{ PASSWORD = "hush" }}
        checks.secret = {{ kind = "exec", command = "true" }}
        [services.db]
        "#
    ));
    system
        .ctl(&["token", "new", "probe", "--role", "monitor", "--services", "web", "-o", "probe.token"])
        .succeeded();
    let system = system.up();
    let token = fs::read_to_string(system.path("probe.token")).expect("a token").trim().to_owned();
    let before = system.service("db");

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let refused = runtime.block_on(async {
        let endpoint =
            tonic::transport::Endpoint::from_shared(format!("http://127.0.0.1:{port}")).expect("a URI");
        let mut client = ArbiterClient::new(endpoint.connect().await.expect("connects"));
        let hello = |name: &str, kind: &str| v1::WatchTargetsRequest {
            monitor: name.into(),
            kind: kind.into(),
            session: "s".into(),
            ..v1::WatchTargetsRequest::default()
        };
        let mut targets =
            client.watch_targets(shown(&token, hello("probe", "disk"))).await.expect("let in").into_inner();
        let set = targets.message().await.expect("no error").expect("a set");
        let seen: Vec<&str> = set.targets.iter().map(|target| target.service.as_str()).collect();
        assert_eq!(seen, ["web"]);
        // A command comes with its service's environment: that is shown to nobody over a network.
        let commands = client.watch_targets(shown(&token, hello("probe", "exec"))).await;
        assert_eq!(commands.map(drop).expect_err("not its kind").code(), tonic::Code::InvalidArgument);
        let ask = |monitor: &str, service: &str| v1::RequestRestartRequest {
            monitor: monitor.into(),
            session: "s".into(),
            service: service.into(),
            incarnation: 1,
            check: "own".into(),
            evidence: None,
        };
        let mut refused = Vec::new();
        refused
            .push(client.request_restart(shown(&token, ask("probe", "db"))).await.expect_err("not its own"));
        let other = client.watch_targets(shown(&token, hello("health-monitor", "disk"))).await;
        refused.push(other.map(drop).expect_err("another's name"));
        refused.push(
            client.request_restart(shown(&token, ask("other", "web"))).await.expect_err("another's name"),
        );
        client.request_restart(shown(&token, ask("probe", "web"))).await.expect("its own");
        refused
    });
    let words: Vec<&str> = refused.iter().map(tonic::Status::message).collect();
    assert_eq!(
        words,
        [
            "token probe (127.0.0.1) is not for \"db\"",
            "monitor: token probe (127.0.0.1) is not health-monitor: this supervisor runs it, on this machine",
            "monitor: token probe (127.0.0.1) is not other: that takes a token or a certificate of this name",
        ]
    );
    assert!(refused.iter().all(|status| status.code() == tonic::Code::PermissionDenied), "{refused:?}");
    assert_eq!(system.service("db").pid(), before.pid());
    let events = system.ctl(&["events"]).out;
    assert!(events.contains("refused token probe (127.0.0.1): it is not for \"db\""), "{events}");
    system.down();
}
