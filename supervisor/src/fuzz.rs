//! Decoders of bytes from outside, for the fuzzers and `tests/fuzz.rs`. Whatever the bytes are, no decoder panics,
//! hangs, or keeps more than a small multiple of them.

use std::path::Path;

use sereno_config::Env;

use crate::{api, disk, incidents, journal, logs, service};

/// A function that decodes one kind of bytes.
pub type Target = fn(&[u8]);

/// The name and function of each target; the name is also its folder in `fuzz/corpus`.
pub const TARGETS: [(&str, Target); 9] = [
    ("state", disk::state::fuzz),
    ("wal", disk::wal::fuzz),
    ("journal", journal::fuzz),
    ("incidents", incidents::file::fuzz),
    ("index", logs::fuzz),
    ("added", added),
    ("applied", applied),
    ("notify", notify),
    ("wire", api::fuzz::message),
];

/// Feeds an input to the target of that name.
pub fn feed(name: &str, bytes: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target of this list");
    target(bytes);
}

/// Decodes `state/added.json`, and the services in it.
fn added(bytes: &[u8]) {
    let Ok(added) = serde_json::from_slice::<disk::added::Added>(bytes) else { return };
    let text = "[services.web]\ncommand = \"sleep 1\"\n";
    if let Ok(mut config) = sereno_config::load(Path::new("/h/sereno.toml"), text, &Env::new()) {
        added.join(&mut config);
    }
}

/// Decodes `state/applied.toml` and the files beside it.
fn applied(bytes: &[u8]) {
    let _ = serde_json::from_slice::<disk::applied::About>(bytes);
    let _ = serde_json::from_slice::<sereno_guard::launch::Launch>(bytes);
    let text = String::from_utf8_lossy(bytes);
    let _ = sereno_config::load(Path::new("/h/applied.toml"), &text, &Env::new());
}

/// Decodes a message on a service's notify socket.
fn notify(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        service::notify::words(text).for_each(drop);
    }
}
