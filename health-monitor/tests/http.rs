//! The HTTP check against servers that behave, and servers that do not.

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::{check, look};
use proto::v1;
use proto::v1::target::Spec;
use sereno_monitor::{TargetError, Verdict};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Answers each connection in its own way, and says how many there were.
async fn server<F>(answer: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("has one");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let read = stream.read(&mut request).await.unwrap_or(0);
            assert!(read > 0, "a request came");
            tokio::spawn(answer(stream));
        }
    });
    address
}

/// A server that says the same thing to everybody.
async fn says(answer: impl Into<Vec<u8>>) -> SocketAddr {
    let answer = answer.into();
    server(move |mut stream| {
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
    let address = server(move |mut stream| {
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

#[tokio::test]
async fn an_endless_body_is_read_as_far_as_allowed() {
    let endless = server(|mut stream| async move {
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
    let endless = server(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        while stream.write_all(b"x-more: and more\r\n").await.is_ok() {}
    })
    .await;
    assert!(!see(at(endless)).await.passing);
    let long = server(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nx-long: ").await;
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    })
    .await;
    assert!(!see(at(long)).await.passing);
}

#[tokio::test]
async fn silence_and_drip_are_abandoned() {
    let silent = server(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    assert_eq!(see_in(Duration::from_millis(200), at(silent)).await, None);
    let drip = server(|mut stream| async move {
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
