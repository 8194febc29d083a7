//! Floods of small HTTP/2 frames: what one connection may cost.

use std::time::Duration;

use sereno_auth::{Tokens, secret};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::access::{CEILING, Daemon, line};

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
/// Flags of a HEADERS frame that begins and ends a call: `END_HEADERS`; of a PING that answers one: `ACK`.
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("short");
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// Returns the head of a call that a viewer may make, with a token.
fn call(token: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    for (name, value) in [
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", "it"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("authorization", &format!("Bearer {token}")),
    ] {
        for text in [name, value] {
            if text == name {
                block.push(0);
            }
            block.push(u8::try_from(text.len()).expect("short"));
            block.extend(text.bytes());
        }
    }
    frame(HEADERS, END_HEADERS, 1, &block)
}

/// Sends this, then PINGs for some time. Returns how many of them were sent and answered.
async fn flood(daemon: &Daemon, first: &[u8], lasts: Duration) -> (usize, usize) {
    let stream = TcpStream::connect(daemon.address).await.expect("connected");
    let (mut from, mut to) = stream.into_split();
    let counts = tokio::spawn(async move {
        let (mut bytes, mut answers) = (Vec::new(), 0);
        // Ends once the daemon has been silent for some time, or has closed the connection.
        while let Ok(Ok(1..)) = timeout(Duration::from_secs(1), from.read_buf(&mut bytes)).await {
            while let Some(length) = bytes.get(..3).map(|l| usize::from(l[1]) * 256 + usize::from(l[2])) {
                if bytes.len() < 9 + length {
                    break;
                }
                answers += usize::from(bytes[3] == PING && bytes[4] & ACK != 0);
                bytes.drain(..9 + length);
            }
        }
        answers
    });
    let head = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &*frame(SETTINGS, 0, 0, &[]), first].concat();
    to.write_all(&head).await.expect("sent");
    let pings = frame(PING, 0, 0, b"pingpong").repeat(1000);
    let until = Instant::now() + lasts;
    let mut sent = 0;
    while let Ok(Ok(())) = tokio::time::timeout_at(until, to.write_all(&pings)).await {
        sent += 1000;
    }
    let answers = timeout(CEILING, counts).await.expect("it ends").expect("counted");
    (sent, answers)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_without_a_call_is_read_no_further_than_64_kib() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::with_tokens(&folder.path().join("tokens"));
    let (sent, answers) = flood(&daemon, &[], Duration::from_secs(2)).await;
    // A read may go somewhat further than the limit.
    let most = 2 * 64 * 1024 / frame(PING, 0, 0, b"pingpong").len();
    assert!(sent > 2 * most, "{sent}");
    assert!(answers > 0 && answers < most, "{answers} of {sent} were answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_with_a_granted_call_is_read_on_and_slowed_down_in_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tokens");
    secret::write(&path, &Tokens(vec![line("eyes", "viewer", "t")]).to_text()).expect("written");
    let daemon = Daemon::with_tokens(&path);
    let (sent, answers) = flood(&daemon, &call("t"), Duration::from_secs(2)).await;
    let most_of_a_stranger = 2 * 64 * 1024 / frame(PING, 0, 0, b"pingpong").len();
    assert!(answers > most_of_a_stranger, "{answers} of {sent} were answered");
}

#[tokio::test]
async fn connections_that_come_too_fast_are_closed_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::with_tokens(&folder.path().join("tokens"));
    let began = Instant::now();
    let mut count: u64 = 0;
    while !daemon.heard().iter().any(|line| line.contains("opens too many connections")) {
        drop(TcpStream::connect(daemon.address).await.expect("connected"));
        count += 1;
        assert!(count < 100_000, "nothing was refused in {:?}", began.elapsed());
    }
    assert!(count > 200, "refused after {count}");
}
