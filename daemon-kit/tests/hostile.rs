//! The parser of the file and what a monitor is sent, fed with bytes that nobody meant. `SERENO_FUZZ=1000000` feeds more.

#![cfg(all(feature = "file", feature = "monitor"))]

use std::path::Path;

use daemon_kit::file::{Env, applied_text, load};
use daemon_kit::monitor::Target;
use prost::Message as _;
use proto::v1;

#[path = "../../fuzz/mutate.rs"]
mod mutate;

fn corpus(name: &str) -> Vec<Vec<u8>> {
    mutate::corpus(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name))
}

#[test]
fn a_file() {
    let env = Env::from([("HOME".into(), "/home/x".into()), ("PORT".into(), "8000".into())]);
    mutate::feed("config", &corpus("config"), mutate::count(2_000), 7, |bytes| {
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
    });
}

#[test]
fn a_set_of_targets() {
    let target = v1::Target {
        service: "web".into(),
        incarnation: 3,
        check: "health".into(),
        interval: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        timeout: Some(prost_types::Duration { seconds: 5, nanos: 7 }),
        failures: 3,
        window: 5,
        successes: 1,
        spec: Some(v1::target::Spec::Http(v1::HttpCheck {
            url: "http://x/".into(),
            ..v1::HttpCheck::default()
        })),
        ..v1::Target::default()
    };
    let set = v1::WatchTargetsResponse {
        instance: "x".into(),
        generation: 9,
        targets: vec![target.clone(), target],
    };
    mutate::feed("targets", &[set.encode_to_vec()], mutate::count(20_000), 7, |bytes| {
        let Ok(set) = v1::WatchTargetsResponse::decode(bytes) else { return };
        for target in set.targets {
            if let Err(error) = Target::try_from(target) {
                assert!(!error.field.is_empty());
            }
        }
    });
}
