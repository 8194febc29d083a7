//! Bytes from outside, each with the code that takes them: what fuzzers and the tests call. Whatever the bytes are, nothing
//! here panics, hangs, or keeps more than a small multiple of them.

use std::path::Path;

use crate::{Env, applied_text, load};

/// `sereno.toml`.
pub fn config(bytes: &[u8]) {
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
