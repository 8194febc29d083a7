//! Health endpoints that mean harm: each is a failed check (or a good one, where what was asked for is there) within its
//! time-out, and costs no memory that lasts.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use proto::v1;
use proto::v1::target::Spec;
use sereno_monitor::Verdict;
use tokio::io::AsyncWriteExt as _;

use crate::common::{Ready, check, serve};
use crate::mutate;

/// How long a check may take here.
const TIME: Duration = Duration::from_millis(600);
/// Longer than an answer can take that is all there.
const CEILING: Duration = Duration::from_secs(60);
/// What may be kept of all that was sent.
const KEPT_MB: u64 = 24;

/// Sends the beginning once, then the rest for ever, as fast as it is taken, or one piece in a while.
async fn endless(begin: &'static [u8], rest: impl Into<Vec<u8>>, pause: Duration) -> SocketAddr {
    let rest = rest.into();
    serve(move |mut stream| {
        let rest = rest.clone();
        async move {
            let _ = stream.write_all(begin).await;
            while !rest.is_empty() && stream.write_all(&rest).await.is_ok() {
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
            }
        }
    })
    .await
}

/// A check of it, ready to look.
fn of(address: SocketAddr, redirects: u32) -> Ready {
    let url = format!("http://{address}/health");
    let expect_json = [("status".into(), "\"ok\"".into())].into();
    let spec = v1::HttpCheck { url, redirects, expect_json, ..v1::HttpCheck::default() };
    check(Spec::Http(spec), TIME).expect("a good target")
}

/// One look, as the runtime takes it: dropped when its time is over.
async fn see(check: &mut Ready, time: Duration) -> Option<Verdict> {
    tokio::time::timeout(time, check.look()).await.ok()
}

/// Resident memory now, in MB; 0 where the system does not say.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<u64>().ok());
    line.unwrap_or(0) / 1024
}

/// Many megabytes of zeros, as gzip sees them.
fn bomb() -> Vec<u8> {
    // One stored-compressed block of zeros, over and over: what it would become is a thousand times as long.
    let mut block = vec![
        0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xed, 0xc1, 0x01, 0x01, 0, 0, 0, 0x80, 0x90, 0xfe, 0xaf, 0xee,
        0x08, 0x0a,
    ];
    block.resize(16 * 1024, 0);
    block
}

#[tokio::test]
async fn whatever_an_endpoint_does_it_is_a_failed_check_and_memory_stays_flat() {
    let now = Duration::ZERO;
    let rarely = Duration::from_millis(50);
    let huge = b"HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\n";
    let cases: Vec<(&str, SocketAddr)> = vec![
        ("an endless body", endless(b"HTTP/1.1 200 OK\r\n\r\n", vec![b'x'; 65536], now).await),
        (
            "an endless body in chunks",
            endless(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", *b"4\r\nxxxx\r\n", now).await,
        ),
        (
            "chunk extensions for ever",
            endless(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4;", vec![b'x'; 65536], now).await,
        ),
        (
            "trailers for ever",
            endless(
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n",
                *b"x-more: and more\r\n",
                now,
            )
            .await,
        ),
        ("one header of megabytes", endless(b"HTTP/1.1 200 OK\r\nx-long: ", vec![b'x'; 65536], now).await),
        (
            "a million headers",
            endless(b"HTTP/1.1 200 OK\r\n", b"x-more: and more\r\n".repeat(1000), now).await,
        ),
        ("a status line of megabytes", endless(b"HTTP/1.1 200 ", vec![b'x'; 65536], now).await),
        ("a flood of 1xx", endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1000), now).await),
        (
            "a flood of early hints",
            endless(b"", b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n".repeat(1000), now).await,
        ),
        ("silence", endless(b"", *b"", now).await),
        ("a slow drip of headers", endless(b"HTTP/1.1 200 OK\r\n", *b"x", rarely).await),
        (
            "a slow drip of body",
            endless(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n", *b"x", rarely).await,
        ),
        ("a gzip bomb", endless(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n", bomb(), now).await),
        ("a length that is a lie", endless(huge, vec![b'{'; 65536], now).await),
        (
            "a length and chunks",
            endless(
                b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
                *b"4\r\nxxxx\r\n",
                now,
            )
            .await,
        ),
        (
            "two lengths",
            endless(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd", *b"", now)
                .await,
        ),
        (
            "a circle of redirects",
            endless(b"HTTP/1.1 302 Found\r\nlocation: /health\r\ncontent-length: 0\r\n\r\n", *b"", now).await,
        ),
        (
            "a redirect of megabytes",
            endless(b"HTTP/1.1 302 Found\r\nlocation: /", vec![b'x'; 65536], now).await,
        ),
        ("nothing of HTTP", endless(b"\x16\x03\x01\x02\x00\x01\x00", vec![0xff; 65536], now).await),
        (
            "an upgrade",
            endless(
                b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
                vec![b'x'; 4096],
                now,
            )
            .await,
        ),
    ];
    let mut checks: Vec<_> = cases.into_iter().map(|(what, address)| (what, of(address, 20))).collect();
    let mut after_first = 0;
    for round in 0..3 {
        // All at once, as a monitor would.
        let mut looks = tokio::task::JoinSet::new();
        for (what, mut check) in checks.drain(..) {
            looks.spawn(async move {
                let seen = see(&mut check, TIME).await;
                (what, check, seen)
            });
        }
        while let Some(looked) = looks.join_next().await {
            let (what, check, seen) = looked.expect("nobody panics");
            checks.push((what, check));
            assert!(seen.as_ref().is_none_or(|seen| !seen.passing), "{what}: {seen:?}");
            let Some(seen) = seen else { continue };
            assert!(seen.own_trouble.is_none(), "{what}: the monitor blames itself: {seen:?}");
            assert!(seen.detail.len() < 4096 && seen.evidence.body_head.len() <= 200, "{what}: {seen:?}");
        }
        if round == 0 {
            after_first = memory();
        }
    }
    let grown = memory().saturating_sub(after_first);
    assert!(grown < KEPT_MB, "{grown} MB more after each of them was met twice again");
}

/// A few over a real socket and through all of the client; the many from memory.
#[tokio::test]
async fn answers_that_nobody_meant_over_a_socket() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/http");
    let mut answers = Vec::new();
    let gather = std::cell::RefCell::new(&mut answers);
    mutate::feed("http", &mutate::corpus(&folder), 400, 7, |bytes| {
        gather.borrow_mut().push(bytes.to_vec());
    });
    let (next, answer) = tokio::sync::watch::channel(Vec::new());
    let address = serve(move |mut stream| {
        let answer = answer.borrow().clone();
        async move {
            let _ = stream.write_all(&answer).await;
            let _ = stream.shutdown().await;
        }
    })
    .await;
    let mut check = of(address, 3);
    for bytes in answers {
        next.send_replace(bytes.clone());
        // Everything was said and the connection is closed: there is nothing to wait for.
        let seen = see(&mut check, CEILING)
            .await
            .unwrap_or_else(|| panic!("hangs at {:?}", String::from_utf8_lossy(&bytes)));
        assert!(seen.own_trouble.is_none(), "{seen:?} at {:?}", String::from_utf8_lossy(&bytes));
    }
}
