//! A short run of the chaos test: the real programs, killed at random moments. What it finds does not depend on what
//! chance hits.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::time::Duration;

use trials::chaos::{self, Setup};

fn passes(seed: u64, cgroups: bool) {
    let bin = Path::new(env!("CARGO_BIN_EXE_trials")).parent().expect("a folder");
    for name in ["supervisor", "health-monitor", "port-monitor", "ctl"] {
        assert!(bin.join(name).is_file(), "{name} is not built: run `cargo build --workspace --bins` first");
    }
    // Short, as sockets lie in it.
    let folder = tempfile::Builder::new().prefix("chaos-").tempdir_in("/tmp").expect("a folder");
    let setup = Setup {
        bin: bin.into(),
        folder: folder.path().join("here"),
        time: Duration::from_secs(6),
        seed,
        services: 8,
        cgroups,
    };
    let mut said = Vec::new();
    let well = chaos::run(&setup, &mut said);
    let diary = std::fs::read_to_string(setup.folder.join("diary")).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    // Whatever is left would be left on the machine of whoever runs this.
    let down = setup.ctl(&["down"]);
    assert!(matches!(well, Ok(true)), "{well:?}, {down:?}\n{said}\n{diary}");
}

#[test]
fn nothing_is_lost_doubled_or_left_behind() {
    passes(1, true);
}

#[test]
fn nor_without_cgroups() {
    passes(2, false);
}
