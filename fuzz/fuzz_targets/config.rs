#![no_main]

use std::path::Path;

use daemon_kit::file::{Env, applied_text, load};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (text, path) = (String::from_utf8_lossy(bytes), Path::new("/h/sereno.toml"));
    if load(path, &text, &Env::new()).is_ok() {
        let applied = applied_text(path, &text, &Env::new()).expect("a good file can be applied");
        load(Path::new("/h/state/applied.toml"), &applied, &Env::new()).expect("and read again");
    }
});
