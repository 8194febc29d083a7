//! Files of a person or of another tool, each with the code that takes them: what fuzzers and `tests/fuzz.rs` call.
//! Whatever the bytes are, nothing here panics, hangs, or keeps more than a small multiple of them.

use std::path::Path;

use sereno_config::Env;

use crate::context::Contexts;
use crate::draft::{procfile, settle};
use crate::import::{Folders, pm2, source};

/// What takes one kind of bytes.
pub type Target = fn(&[u8]);

/// Name and code of each; the name is that of its folder in `fuzz/corpus`.
pub const TARGETS: [(&str, Target); 3] =
    [("contexts", contexts), ("import", import), ("procfile", from_procfile)];

/// Feeds one input to the target of that name.
pub fn feed(name: &str, bytes: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target of this list");
    target(bytes);
}

/// `contexts.toml`: what was read is written so that it is read again.
fn contexts(bytes: &[u8]) {
    let Ok(contexts) = toml::from_str::<Contexts>(&String::from_utf8_lossy(bytes)) else { return };
    let text = toml::to_string(&contexts).expect("contexts can be written");
    assert_eq!(toml::from_str::<Contexts>(&text).as_ref(), Ok(&contexts), "{text}");
}

/// `ecosystem.config.json`, its YAML, `dump.pm2`: whatever is made of it, this version loads it or says why not.
fn import(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let env = Env::from([("PATH".into(), "/nowhere".into())]);
    let wanted = pm2::Wanted { profile: Some("production"), env: &env, processors: 2 };
    for read in [source::json, source::yaml] {
        let Some(source) = read(&text).ok().and_then(source::sort) else { continue };
        let folders = Folders { from: "/nowhere/app".into(), to: "/nowhere".into() };
        let mut imported = pm2::import(source, &folders, &wanted);
        settle::form(&mut imported.draft, Path::new("/nowhere/sereno.toml"), &env);
    }
}

/// A `Procfile`.
fn from_procfile(bytes: &[u8]) {
    let (mut draft, _) = procfile::read(&String::from_utf8_lossy(bytes), Some("app"));
    procfile::with_ports(&mut draft);
    settle::form(&mut draft, Path::new("/nowhere/sereno.toml"), &Env::new());
}
