//! Answers of endpoints, with the code that takes them: what fuzzers and `tests/hostile.rs` call. No byte of them goes
//! through the system: the client's HTTP reads them from memory, within the bounds that a check has.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use hyper_util::rt::TokioIo;
use proto::v1;
use tokio::io::AsyncWriteExt as _;
use tokio::runtime::Runtime;

use crate::client::{Clients, MAX_HEADERS};
use crate::http::HttpCheck;

/// What takes one kind of bytes.
pub type Target = fn(&[u8]);

/// Name and code of each; the name is that of its folder in `fuzz/corpus`.
pub const TARGETS: [(&str, Target); 1] = [("http", http)];

/// Feeds one input to the target of that name.
pub fn feed(name: &str, bytes: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target of this list");
    target(bytes);
}

static CHECK: LazyLock<HttpCheck> = LazyLock::new(|| {
    let spec = v1::HttpCheck {
        url: "http://127.0.0.1/health".into(),
        expect_body: "(?i)ok|ready".into(),
        expect_json: BTreeMap::from([
            ("status".to_owned(), "\"ok\"".to_owned()),
            ("db.0.lag".into(), "1.0".into()),
        ])
        .into_iter()
        .collect(),
        ..v1::HttpCheck::default()
    };
    HttpCheck::new(&spec, Arc::new(Clients::new())).expect("a good check")
});

thread_local! {
    static RUNTIME: Runtime =
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime without timers and sockets");
}

/// The endpoint says this, and hangs up.
fn http(bytes: &[u8]) {
    RUNTIME.with(|runtime| runtime.block_on(answered(bytes)));
}

async fn answered(bytes: &[u8]) {
    // Room for the request and for all of the answer: nobody waits for the other.
    let (ours, mut theirs) = tokio::io::duplex(bytes.len().max(4096));
    let client = hyper::client::conn::http1::Builder::new()
        .max_headers(MAX_HEADERS)
        .handshake::<_, reqwest::Body>(TokioIo::new(ours));
    let (mut sender, connection) = client.await.expect("nothing is said yet");
    let said = async {
        let _ = theirs.write_all(bytes).await;
        let _ = theirs.shutdown().await;
    };
    let judged = async {
        let request = http_request();
        let Ok(answer) = sender.send_request(request).await else { return };
        let verdict = CHECK.judge(answer.map(reqwest::Body::wrap).into()).await;
        assert!(verdict.own_trouble.is_none(), "the monitor blames itself: {verdict:?}");
        assert!(verdict.detail.len() < 4096 && verdict.evidence.body_head.len() <= 200, "{verdict:?}");
        drop(sender);
    };
    // An answer before the request would be for nobody.
    let (_, (), ()) = tokio::join!(connection, judged, said);
}

fn http_request() -> hyper::Request<reqwest::Body> {
    let request = hyper::Request::builder().uri("/health").header("host", "127.0.0.1");
    request.body(reqwest::Body::default()).expect("a good request")
}
