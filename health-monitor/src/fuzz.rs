//! Answers of endpoints, with the code that takes them: what fuzzers and `tests/fuzz.rs` call. No byte of them goes
//! through the system: a check reads them from memory, within its bounds.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use proto::v1;
use tokio::io::AsyncWriteExt as _;
use tokio::runtime::Runtime;

use crate::connection::{self, Bounded};
use crate::http::HttpCheck;
use crate::tls::TlsConfigs;

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
    HttpCheck::new(&spec, Arc::<TlsConfigs>::default()).expect("a good check")
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
    let said = async {
        let _ = theirs.write_all(bytes).await;
        let _ = theirs.shutdown().await;
    };
    let judged = async {
        let request = CHECK.request.build().expect("a good request");
        let judged =
            connection::exchange(Bounded::new(ours), request, async |answer| CHECK.judge(answer).await);
        let Ok(verdict) = judged.await else { return };
        assert!(verdict.own_trouble.is_none(), "the monitor blames itself: {verdict:?}");
        assert!(verdict.detail.len() < 4096 && verdict.evidence.body_head.len() <= 200, "{verdict:?}");
    };
    tokio::join!(judged, said);
}
