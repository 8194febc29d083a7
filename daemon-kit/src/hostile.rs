//! Bytes from outside, each with the code that takes them: what fuzzers and `tests/hostile.rs` call. Whatever the bytes
//! are, nothing here panics, hangs, or keeps more than a small multiple of them.

use std::path::Path;

use prost::Message as _;
use proto::v1;

use crate::access::{tls, tokens};
use crate::file::{Env, applied_text, load};
use crate::monitor::Target as Watched;

/// What takes one kind of bytes.
pub type Target = fn(&[u8]);

/// Name and code of each; the name is that of its folder in `fuzz/corpus`.
pub const TARGETS: [(&str, Target); 4] =
    [("config", config), ("targets", targets), ("tokens", tokens::hostile), ("pem", tls::hostile)];

/// Feeds one input to the target of that name.
pub fn feed(name: &str, bytes: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target of this list");
    target(bytes);
}

/// `sereno.toml`.
fn config(bytes: &[u8]) {
    let env = Env::from([("HOME".into(), "/home/x".into()), ("PORT".into(), "8000".into())]);
    let text = String::from_utf8_lossy(bytes);
    let path = Path::new("/h/sereno.toml");
    match load(path, &text, &env) {
        // What is applied is read again by the next supervisor, and must mean the same.
        Ok(config) => {
            let applied = applied_text(path, &text, &env).expect("a good file can be applied");
            let again = load(Path::new("/h/state/applied.toml"), &applied, &Env::new());
            let again = again.unwrap_or_else(|problems| panic!("{problems}\nof {applied}"));
            assert_eq!(format!("{:?}", again.services), format!("{:?}", config.services), "{applied}");
        }
        Err(problems) => {
            assert!(!problems.0.is_empty(), "refused without a word");
            assert!(!problems.to_string().contains('\u{1b}'), "an error rules the terminal: {problems}");
        }
    }
}

/// What a supervisor wants a monitor to watch.
fn targets(bytes: &[u8]) {
    let Ok(set) = v1::WatchTargetsResponse::decode(bytes) else { return };
    for target in set.targets {
        if let Err(error) = Watched::try_from(target) {
            assert!(!error.field.is_empty());
        }
    }
}
