//! Entry points for fuzzers and for `tests/command/fuzz.rs`. Each reads one kind of file of a user or of another
//! tool. For any input, the code must not panic, hang, or allocate more than a small multiple of the input's size.

use std::path::Path;

use sereno_config::Env;

use crate::context::Contexts;
use crate::draft::{procfile, settle};
use crate::import::{Folders, pm2, source};

/// A function that reads one kind of input.
pub type Target = fn(&[u8]);

/// All targets by name; each has a folder of the same name in `fuzz/corpus`.
pub const TARGETS: [(&str, Target); 3] =
    [("contexts", contexts), ("import", import), ("procfile", from_procfile)];

/// Passes an input to the target of that name. Panics if there is no such target.
pub fn feed(name: &str, bytes: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target of this list");
    target(bytes);
}

/// Reads `contexts.toml`. Contexts that can be read must survive being written and read again.
fn contexts(bytes: &[u8]) {
    let Ok(contexts) = toml::from_str::<Contexts>(&String::from_utf8_lossy(bytes)) else { return };
    let text = toml::to_string(&contexts).expect("contexts can be written");
    assert_eq!(toml::from_str::<Contexts>(&text).as_ref(), Ok(&contexts), "{text}");
}

/// Imports a file of PM2: `ecosystem.config.json`, its YAML form, or `dump.pm2`. What this version would refuse is
/// removed from the draft.
fn import(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let env = Env::from([("PATH".into(), "/nowhere".into())]);
    let wanted = pm2::Wanted { profile: Some("production"), env: &env, processors: 2 };
    for value in [source::json(&text).ok(), source::yaml(&text).ok()] {
        let Some(source) = value.and_then(source::sort) else { continue };
        let folders = Folders { from: "/nowhere/app".into(), to: "/nowhere".into() };
        let mut imported = pm2::import(source, &folders, &wanted);
        settle::form(&mut imported.draft, Path::new("/nowhere/sereno.toml"), &env);
    }
}

/// Imports a `Procfile` in the same way.
fn from_procfile(bytes: &[u8]) {
    let (mut draft, _) = procfile::read(&String::from_utf8_lossy(bytes), Some("app"));
    procfile::with_ports(&mut draft);
    settle::form(&mut draft, Path::new("/nowhere/sereno.toml"), &Env::new());
}
