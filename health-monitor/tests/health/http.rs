//! The HTTP check against servers that behave, and servers that do not.

use std::net::SocketAddr;
use std::time::Duration;

use proto::v1;
use proto::v1::target::Spec;
use sereno_monitor::{TargetError, Verdict};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::common::{check, look, serve};

/// A server that says the same thing to everybody.
async fn says(answer: impl Into<Vec<u8>>) -> SocketAddr {
    let answer = answer.into();
    serve(move |mut stream| {
        let answer = answer.clone();
        async move {
            let _ = stream.write_all(&answer).await;
            let _ = stream.shutdown().await;
        }
    })
    .await
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn at(address: SocketAddr) -> v1::HttpCheck {
    v1::HttpCheck { url: format!("http://{address}/health"), ..v1::HttpCheck::default() }
}

async fn see(spec: v1::HttpCheck) -> Verdict {
    look(Spec::Http(spec), Duration::from_secs(5)).await.expect("a good target")
}

/// Looks with little time; `None`: the runtime would have given up.
async fn see_in(time: Duration, spec: v1::HttpCheck) -> Option<Verdict> {
    tokio::time::timeout(time, look(Spec::Http(spec), time))
        .await
        .ok()
        .map(|seen| seen.expect("a good target"))
}

fn refused(spec: v1::HttpCheck) -> String {
    let error: TargetError = check(Spec::Http(spec), Duration::from_secs(5)).err().expect("refused");
    error.to_string()
}

#[tokio::test]
async fn good_answers_pass() {
    let address = says(answer("200 OK", r#"{"status":"healthy"}"#)).await;
    let seen = see(at(address)).await;
    assert_eq!((seen.passing, seen.detail.as_str()), (true, "200"));
    let spec = v1::HttpCheck {
        expect_body: "health.".into(),
        expect_json: [("status".into(), r#""healthy""#.into())].into(),
        expect_status: vec![v1::StatusRange { from: 200, to: 200 }],
        ..at(address)
    };
    assert!(see(spec).await.passing);
}

#[tokio::test]
async fn bad_answers_fail_with_evidence() {
    let seen = see(at(says(answer("503 Busy", r#"{"status":"sick"}"#)).await)).await;
    assert_eq!((seen.passing, seen.detail.as_str()), (false, "503"));
    assert_eq!(seen.evidence.summary, r#"503 {"status":"sick"}"#);
    assert_eq!(
        (seen.evidence.http_status, seen.evidence.body_head.as_slice()),
        (503, br#"{"status":"sick"}"# as _)
    );

    let spec = v1::HttpCheck {
        expect_json: [("status".into(), r#""healthy""#.into())].into(),
        ..at(says(answer("200 OK", r#"{"status":"sick"}"#)).await)
    };
    let seen = see(spec).await;
    assert_eq!((seen.passing, seen.detail.as_str()), (false, r#"200, status is "sick", not "healthy""#));
}

#[tokio::test]
async fn nobody_there_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("has one");
    drop(listener);
    let seen = see(at(address)).await;
    assert_eq!(
        (seen.passing, seen.detail.as_str(), seen.evidence.errno.as_str()),
        (false, "ECONNREFUSED", "ECONNREFUSED")
    );
}

#[tokio::test]
async fn each_check_opens_a_new_connection() {
    let connections = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counted = std::sync::Arc::clone(&connections);
    // A server that would keep the connection.
    let address = serve(move |mut stream| {
        counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        async move {
            let _ = stream.write_all(answer("200 OK", "ok").as_bytes()).await;
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
        }
    })
    .await;
    let mut check = check(Spec::Http(at(address)), Duration::from_secs(5)).expect("a good target");
    for _ in 0..3 {
        assert!(check.look().await.passing);
    }
    assert_eq!(connections.load(std::sync::atomic::Ordering::SeqCst), 3);
}

#[tokio::test]
async fn redirects_are_followed_only_as_far_as_asked() {
    let there = says(answer("200 OK", "here")).await;
    let to = |url: String| format!("HTTP/1.1 302 Found\r\nlocation: {url}\r\ncontent-length: 0\r\n\r\n");
    let one = says(to(format!("http://{there}/"))).await;
    assert_eq!(see(at(one)).await.detail, "302");
    assert_eq!(see(v1::HttpCheck { redirects: 1, ..at(one) }).await.detail, "200");
    let two = says(to(format!("http://{one}/"))).await;
    let seen = see(v1::HttpCheck { redirects: 1, ..at(two) }).await;
    assert!(!seen.passing && seen.detail.starts_with("redirects: "), "{}", seen.detail);
    let circle = says(to("/health".into())).await;
    assert!(!see(v1::HttpCheck { redirects: 5, ..at(circle) }).await.passing);
}

/// Says the same thing to everybody, and tells what each asked for.
async fn hears(answer: String) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let (tell, told) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("has one");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let read = stream.read(&mut request).await.unwrap_or(0);
            let _ = tell.send(String::from_utf8_lossy(&request[..read]).into_owned());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address, told)
}

#[tokio::test]
async fn a_request_says_who_asks_for_what_of_whom() {
    let (address, mut told) = hears(answer("200 OK", "")).await;
    let url = format!("http://us%40er:pass@{address}/a%20b?c=d#e");
    assert!(see(v1::HttpCheck { url, ..v1::HttpCheck::default() }).await.passing);
    let request = told.recv().await.expect("came");
    assert!(request.starts_with("GET /a%20b?c=d HTTP/1.1\r\n"), "{request}");
    for line in [
        "connection: close",
        "accept: */*",
        "authorization: Basic dXNAZXI6cGFzcw==",
        concat!("user-agent: sereno-health-monitor/", env!("CARGO_PKG_VERSION")),
        &format!("host: {address}"),
    ] {
        assert!(request.contains(&format!("\r\n{line}\r\n")), "{line}: {request}");
    }
    let headers = [("Host".into(), "x".into()), ("User-Agent".into(), "y".into())].into();
    assert!(see(v1::HttpCheck { headers, ..at(address) }).await.passing);
    let request = told.recv().await.expect("came");
    assert!(request.contains("\r\nhost: x\r\n") && request.contains("\r\nuser-agent: y\r\n"), "{request}");
    assert!(!request.contains("sereno") && !request.contains(&address.to_string()), "{request}");
}

#[tokio::test]
async fn every_address_of_a_name_is_tried() {
    // `localhost` is `::1` too on most hosts, where nobody listens.
    let port = says(answer("200 OK", "ok")).await.port();
    let spec = v1::HttpCheck { url: format!("http://localhost:{port}/"), ..v1::HttpCheck::default() };
    assert_eq!(see(spec).await.detail, "200");
    let Ok(listener) = TcpListener::bind("[::1]:0").await else { return };
    let address = listener.local_addr().expect("has one");
    let serve = async {
        let (mut stream, _) = listener.accept().await.expect("accepts");
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(answer("200 OK", "ok").as_bytes()).await;
    };
    let (seen, ()) = tokio::join!(see(at(address)), serve);
    assert_eq!(seen.detail, "200");
}

fn redirect(status: u16, url: &str) -> String {
    format!("HTTP/1.1 {status} Away\r\nlocation: {url}\r\ncontent-length: 0\r\n\r\n")
}

#[tokio::test]
async fn redirects_keep_the_method_or_make_it_get_and_keep_secrets_at_home() {
    let (there, mut told) = hears(answer("200 OK", "")).await;
    let headers = [("Authorization", "a"), ("Cookie", "b"), ("Content-Type", "c"), ("X-Own", "d")];
    for (status, method, expected) in [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "PUT", "GET"),
        (303, "HEAD", "HEAD"),
        (307, "POST", "POST"),
        (308, "PUT", "PUT"),
    ] {
        let (here, mut first) = hears(redirect(status, &format!("http://{there}/next?x"))).await;
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let spec = v1::HttpCheck { method: method.into(), redirects: 1, headers, ..at(here) };
        assert_eq!(see(spec).await.detail, "200", "{status} {method}");
        let first = first.recv().await.expect("came");
        assert!(first.starts_with(method) && first.contains("authorization: a\r\n"), "{first}");
        let next = told.recv().await.expect("came");
        assert!(next.starts_with(&format!("{expected} /next?x HTTP/1.1\r\n")), "{status} {method}: {next}");
        assert!(next.contains(&format!("host: {there}\r\n")) && next.contains("x-own: d\r\n"), "{next}");
        assert!(!next.contains("authorization") && !next.contains("cookie"), "{next}");
        assert_eq!(next.contains("content-type"), method == expected, "{next}");
    }
}

#[tokio::test]
async fn redirects_may_be_relative_and_stay_with_http() {
    let (circle, mut told) = hears(redirect(302, "../again")).await;
    let headers = [("Authorization".into(), "a".into())].into();
    let seen = see(v1::HttpCheck { redirects: 1, headers, ..at(circle) }).await;
    assert_eq!(seen.detail, "redirects: too many redirects");
    told.recv().await.expect("came");
    let next = told.recv().await.expect("came");
    assert!(next.starts_with("GET /again ") && next.contains("authorization: a\r\n"), "{next}");
    let elsewhere = says(redirect(302, "ftp://127.0.0.1/")).await;
    let seen = see(v1::HttpCheck { redirects: 1, ..at(elsewhere) }).await;
    assert_eq!(seen.detail, "redirects: to neither http nor https");
}

#[tokio::test]
async fn an_endless_body_is_read_as_far_as_allowed() {
    let endless = serve(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    })
    .await;
    assert_eq!(see(at(endless)).await.detail, "200");
    let spec = v1::HttpCheck { expect_json: [("a".into(), "1".into())].into(), ..at(endless) };
    assert_eq!(see(spec).await.detail, "200, body is too long to be read as JSON");
    let spec = v1::HttpCheck { expect_body: "never there".into(), ..at(endless) };
    let seen = see(spec).await;
    assert!(!seen.passing && seen.evidence.body_head.len() == 200);
}

#[tokio::test]
async fn endless_headers_fail() {
    let endless = serve(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        while stream.write_all(b"x-more: and more\r\n").await.is_ok() {}
    })
    .await;
    assert!(!see(at(endless)).await.passing);
    let long = serve(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nx-long: ").await;
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    })
    .await;
    assert!(!see(at(long)).await.passing);
}

#[tokio::test]
async fn endless_interim_answers_fail_at_the_limit_while_others_pass() {
    const LIMIT: usize = 1024 * 1024;
    // What the buffers of the system can hold besides.
    const BUFFERS: usize = 15 * LIMIT;
    for interim in ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"] {
        let (tell, mut told) = mpsc::unbounded_channel();
        let piece = interim.repeat(1000);
        let endless = serve(move |mut stream| {
            let (piece, tell) = (piece.clone(), tell.clone());
            async move {
                let mut sent = 0;
                while stream.write_all(piece.as_bytes()).await.is_ok() {
                    sent += piece.len();
                }
                let _ = tell.send(sent);
            }
        })
        .await;
        let good = at(says(answer("200 OK", "ok")).await);
        let (seen, good) = tokio::join!(see(at(endless)), see_in(Duration::from_secs(5), good));
        assert!(good.is_some_and(|good| good.passing));
        assert_eq!((seen.passing, seen.own_trouble), (false, None));
        assert_eq!(seen.detail, "sent 1 MiB without a whole answer");
        let sent = told.recv().await.expect("the connection is closed");
        assert!(sent < LIMIT + BUFFERS, "{sent} bytes were taken");
    }
}

#[tokio::test]
async fn silence_and_drip_are_abandoned() {
    let silent = serve(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    assert_eq!(see_in(Duration::from_millis(200), at(silent)).await, None);
    let drip = serve(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nx").await;
        std::future::pending::<()>().await;
    })
    .await;
    assert_eq!(see_in(Duration::from_millis(200), at(drip)).await, None);
}

#[tokio::test]
async fn a_broken_answer_fails() {
    for (broken, part) in [
        (&b""[..], "connection closed"),
        (b"\x00\xff garbage \x80 in\r\n\r\n", "invalid HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort", ""),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", ""),
    ] {
        let seen = see(at(says(broken).await)).await;
        assert!(
            !seen.passing && !seen.detail.is_empty() && seen.detail.contains(part),
            "{broken:?}: {seen:?}"
        );
        assert!(!seen.detail.contains("127.0.0.1"), "the URL may hold a secret: {}", seen.detail);
    }
}

#[tokio::test]
async fn tls_against_a_server_without_is_a_failure() {
    let address = says(answer("200 OK", "plain")).await;
    for insecure in [true, false] {
        let url = format!("https://{address}/");
        let seen = see(v1::HttpCheck { url, insecure, ..v1::HttpCheck::default() }).await;
        assert!(!seen.passing && seen.own_trouble.is_none(), "{seen:?}");
    }
}

#[test]
fn what_can_not_be_asked_names_its_field() {
    let spec = v1::HttpCheck { url: "http://127.0.0.1/".into(), ..v1::HttpCheck::default() };
    let with = |change: fn(&mut v1::HttpCheck)| {
        let mut spec = spec.clone();
        change(&mut spec);
        refused(spec)
    };
    assert!(with(|spec| spec.url = "127.0.0.1:80".into()).starts_with("http.url: "));
    assert!(with(|spec| spec.url = "ftp://x/".into()).starts_with("http.url: "));
    assert!(with(|spec| spec.method = "G T".into()).starts_with("http.method: "));
    assert!(with(|spec| spec.redirects = 1000).starts_with("http.redirects: "));
    assert!(
        with(|spec| spec.ca_file = "/does/not/exist".into()).starts_with("http.ca_file: /does/not/exist: ")
    );
    let error = with(|spec| spec.headers = [("x-key".into(), "secret\n".into())].into());
    assert!(error.starts_with("http.headers: ") && !error.contains("secret"), "{error}");
    assert!(with(|spec| spec.headers = [("x y".into(), "1".into())].into()).starts_with("http.headers: "));
    assert!(with(|spec| spec.expect_body = "(".into()).starts_with("http.expect_body: "));
}
