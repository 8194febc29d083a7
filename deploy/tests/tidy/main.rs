//! The rules of this workspace that no compiler knows. Each says which file breaks it, and why there is such a rule.
//!
//! Sources are read as tokens, so that a word in a comment or in a text is no word of the program.

mod edges;
mod reading;
mod systems;
mod words;

use std::collections::BTreeSet;
use std::fs;

use reading::{Source, judge, naming, root, rust, sources};

const LONGEST_FILE: usize = 400;

/// What the lifecycle core may not name: it has no clock, no tasks, no wire.
const IMPURE: [&str; 7] = ["tokio", "tonic", "Instant", "SystemTime", "fs", "net", "process"];

/// What only the `api` of the supervisor may name: messages, and what encodes them.
const WIRE: [&str; 3] = ["v1", "prost", "prost_types"];

#[test]
fn files_are_read_from_top_to_bottom() {
    let lines = |source: Source| (source.path, source.text.lines().count());
    let long = rust().into_iter().map(lines).filter(|(_, lines)| *lines > LONGEST_FILE);
    let complaints: Vec<String> = long.map(|(path, lines)| format!("{path}: {lines} lines")).collect();
    judge(&format!("a file has more than {LONGEST_FILE} lines: it holds more than one thought"), &complaints);
}

#[test]
fn unsafe_is_only_where_the_system_is() {
    let complaints = naming(&["unsafe"], |path| !path.starts_with("supervisor/src/os/"));
    judge("unsafe stands outside supervisor/src/os", &complaints);
}

#[test]
fn the_lifecycle_core_is_pure() {
    let complaints = naming(&IMPURE, |path| path.starts_with("supervisor/lifecycle/src/"));
    judge("supervisor/lifecycle names a clock, a task, the wire or the system", &complaints);
}

#[test]
fn wire_types_stop_at_the_api() {
    let folders = ["supervisor/src/", "supervisor/lifecycle/"];
    let complaints = naming(&WIRE, |path| {
        folders.iter().any(|folder| path.starts_with(folder)) && !path.starts_with("supervisor/src/api/")
    });
    judge("a wire type stands outside supervisor/src/api", &complaints);
}

#[test]
fn nothing_names_a_folder_or_a_host_of_one_machine() {
    // Put together, so that this file does not break its own rule.
    let foreign = [["/wo", "rk/"], ["/ro", "ot/"], ["\"resolved\"", ": "]].map(|parts| parts.concat());
    let mut complaints = Vec::new();
    for source in sources() {
        for (index, line) in source.text.lines().enumerate() {
            if foreign.iter().any(|word| line.contains(word)) {
                complaints.push(format!("{}:{}: {}", source.path, index + 1, line.trim()));
            }
        }
    }
    judge("a file of the project names a place that only one machine has", &complaints);
}

#[test]
fn every_fuzz_target_has_inputs_and_is_run_by_the_tests() {
    let stems = |folder: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(root().join(folder)).expect("fuzz is there").flatten();
        entries
            .map(|entry| entry.path().file_stem().expect("a name").to_string_lossy().into_owned())
            .collect()
    };
    let feeds = |source: &Source| source.path.contains("/tests/") && source.path.ends_with("fuzz.rs");
    let tests: String = rust().into_iter().filter(feeds).map(|source| source.text).collect();
    let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).expect("a manifest");
    let mut complaints = Vec::new();
    for name in stems("fuzz/fuzz_targets").union(&stems("fuzz/corpus")) {
        let path = |rest: &str| root().join("fuzz").join(rest);
        let inputs =
            fs::read_dir(path(&format!("corpus/{name}"))).is_ok_and(|mut files| files.next().is_some());
        for (is_so, what) in [
            (path(&format!("fuzz_targets/{name}.rs")).is_file(), "has no file in fuzz/fuzz_targets"),
            (inputs, "has no input in fuzz/corpus"),
            (manifest.contains(&format!("name = \"{name}\"")), "is no program of fuzz/Cargo.toml"),
            (tests.contains(&format!("fed(\"{name}\", ")), "is fed by no fuzz.rs of the tests"),
        ] {
            if !is_so {
                complaints.push(format!("{name}: {what}"));
            }
        }
    }
    judge("a fuzz target that the tests do not run finds nothing", &complaints);
}
