//! Rules about crates: who imports whom, and how each begins.

use std::collections::BTreeSet;
use std::fs;

use crate::reading::{Source, judge, root, source};

/// Who imports whom: crate, where it lies, its dependencies, and what only its tests have on top. `ctl` has no daemon's
/// surroundings in it, and the supervisor none of a monitor's.
const EDGES: [(&str, &str, &[&str], &[&str]); 16] = [
    ("proto", "proto", &[], &[]),
    ("sereno-auth", "daemon-kit/auth", &["proto"], &[]),
    ("sereno-config", "daemon-kit/config", &["proto", "sereno-auth"], &[]),
    ("sereno-connect", "daemon-kit/connect", &["proto", "sereno-auth"], &[]),
    ("sereno-runtime", "daemon-kit/runtime", &["proto"], &[]),
    ("sereno-serve", "daemon-kit/serve", &["proto", "sereno-auth", "sereno-connect", "sereno-runtime"], &[]),
    (
        "sereno-guard",
        "daemon-kit/guard",
        &["proto", "sereno-config", "sereno-connect", "sereno-runtime"],
        &[],
    ),
    ("sereno-lifecycle", "supervisor/lifecycle", &["proto", "sereno-config"], &[]),
    ("sereno-sockets", "daemon-kit/sockets", &[], &[]),
    (
        "sereno-monitor",
        "daemon-kit/monitor",
        &[
            "proto",
            "sereno-auth",
            "sereno-config",
            "sereno-connect",
            "sereno-guard",
            "sereno-runtime",
            "sereno-serve",
        ],
        &[],
    ),
    (
        "supervisor",
        "supervisor",
        &[
            "proto",
            "sereno-auth",
            "sereno-config",
            "sereno-guard",
            "sereno-lifecycle",
            "sereno-runtime",
            "sereno-serve",
            "sereno-sockets",
        ],
        &[],
    ),
    ("health-monitor", "health-monitor", &["proto", "sereno-monitor", "sereno-runtime"], &[]),
    ("port-monitor", "port-monitor", &["sereno-monitor", "sereno-sockets"], &["proto"]),
    ("ctl", "ctl", &["proto", "sereno-auth", "sereno-config", "sereno-connect"], &[]),
    ("deploy", "deploy", &[], &["sereno-config"]),
    ("trials", "deploy/trials", &["deploy", "proto"], &[]),
];

#[test]
fn crates_import_only_whom_they_may() {
    let mut complaints = Vec::new();
    let ours: BTreeSet<&str> = EDGES.iter().map(|(name, ..)| *name).collect();
    for (_, folder, always, in_tests) in EDGES {
        let found = dependencies(&toml_file(&format!("{folder}/Cargo.toml"))).into_iter();
        let found = found.filter(|(_, name)| ours.contains(&**name));
        let found = found.map(|(section, name)| (section == "dev-dependencies", name));
        // Tests may use whatever the crate itself uses.
        let found: BTreeSet<(bool, String)> =
            found.filter(|(testing, name)| !*testing || !always.contains(&&**name)).collect();
        let listed = always.iter().map(|name| (false, (*name).to_owned()));
        let listed = listed.chain(in_tests.iter().map(|name| (true, (*name).to_owned()))).collect();
        let wrong = found.symmetric_difference(&listed);
        complaints.extend(wrong.map(|(_, name)| format!("{folder}/Cargo.toml: {name}")));
    }
    judge(
        "a crate imports a sibling that EDGES does not list, or does not import one that it lists",
        &complaints,
    );
}

#[test]
fn every_member_of_the_workspace_has_its_edges() {
    let lock = toml_file("Cargo.lock");
    let packages = lock["package"].as_array().expect("packages").iter();
    // What comes from this tree has no source.
    let members = packages.filter(|package| package.get("source").is_none());
    let members: BTreeSet<&str> = members.filter_map(|package| package["name"].as_str()).collect();
    assert_eq!(members, EDGES.iter().map(|(name, ..)| *name).collect(), "EDGES lists other crates");
}

fn toml_file(path: &str) -> toml::Table {
    let path = root().join(path);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Section and name of everything a manifest depends on, on any system.
fn dependencies(manifest: &toml::Table) -> Vec<(String, String)> {
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let tables = targets.into_iter().flat_map(toml::Table::values).filter_map(toml::Value::as_table);
    let mut found = Vec::new();
    for table in tables.chain([manifest]) {
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let names =
                table.get(section).and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::keys);
            found.extend(names.map(|name| (section.to_owned(), name.clone())));
        }
    }
    found
}

#[test]
fn a_c_compiler_is_all_it_takes() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("a lock file");
    let unwanted = ["aws-lc-sys", "openssl-sys", "native-tls", "protobuf-src"];
    let found: Vec<&str> =
        unwanted.into_iter().filter(|name| lock.contains(&format!("name = \"{name}\""))).collect();
    assert_eq!(found, [""; 0], "Cargo.lock: these need more than a C compiler, or are a second TLS");
}

fn first_files(folder: &str) -> Vec<Source> {
    ["src/lib.rs", "src/main.rs"].iter().filter_map(|file| source(&root().join(folder).join(file))).collect()
}

#[test]
fn the_first_file_of_a_crate_is_a_map() {
    let files = EDGES.iter().flat_map(|(_, folder, ..)| first_files(folder));
    let blind: Vec<String> =
        files.filter(|file| !file.text.starts_with("//!")).map(|file| file.path).collect();
    judge("a crate's first file does not begin with //! and what is where", &blind);
}

#[test]
fn every_crate_but_the_supervisor_forbids_unsafe() {
    let crates = EDGES.iter().filter(|(name, ..)| *name != "supervisor");
    let files = crates.flat_map(|(_, folder, ..)| first_files(folder));
    let lax = files.filter(|file| !file.text.contains("#![forbid(unsafe_code)]"));
    let complaints: Vec<String> = lax.map(|file| file.path).collect();
    judge("a crate does not say #![forbid(unsafe_code)]", &complaints);
}
