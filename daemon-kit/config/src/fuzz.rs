//! Entry points for fuzzers and tests: untrusted bytes with the code that decodes them. For any bytes, nothing here may
//! panic, hang, or allocate more than a small multiple of the input.

use std::path::Path;

use crate::{Env, applied_text, daemon_table, load};

/// Decodes a `sereno.toml`.
pub fn config(bytes: &[u8]) {
    let env = Env::from([("HOME".into(), "/home/x".into()), ("PORT".into(), "8000".into())]);
    let text = String::from_utf8_lossy(bytes);
    let path = Path::new("/h/sereno.toml");
    let own = daemon_table(path, &text, "health-monitor", &env);
    match load(path, &text, &env) {
        // The next supervisor reads the applied file, which must mean the same.
        Ok(config) => {
            let applied = applied_text(path, &text, &env).expect("a good file can be applied");
            let again = load(Path::new("/h/state/applied.toml"), &applied, &Env::new());
            let again = again.unwrap_or_else(|problems| panic!("{problems}\nof {applied}"));
            assert_eq!(format!("{:?}", again.services), format!("{:?}", config.services), "{applied}");
            assert_eq!(own, daemon_table(path, &applied, "health-monitor", &Env::new()), "{applied}");
        }
        Err(problems) => {
            assert!(!problems.0.is_empty(), "refused without a word");
            assert!(!problems.to_string().contains('\u{1b}'), "an error rules the terminal: {problems}");
        }
    }
}
