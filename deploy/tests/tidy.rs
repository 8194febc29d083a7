//! The rules of this workspace that no compiler knows. Each says which file breaks it, and why there is such a rule.
//!
//! Sources are read as tokens, so that a word in a comment or in a text is no word of the program.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Who may import whom: crate, where it lies, its dependencies, and what only its tests may have on top. `ctl` has no
/// daemon's surroundings in it, and the supervisor none of a monitor's.
const EDGES: [(&str, &str, &[&str], &[&str]); 14] = [
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
            "sereno-runtime",
            "sereno-serve",
            "sereno-sockets",
        ],
        &[],
    ),
    ("health-monitor", "health-monitor", &["proto", "sereno-monitor", "sereno-runtime"], &[]),
    ("port-monitor", "port-monitor", &["proto", "sereno-monitor", "sereno-sockets"], &[]),
    (
        "ctl",
        "ctl",
        &["proto", "sereno-auth", "sereno-config", "sereno-connect"],
        &["health-monitor", "port-monitor", "supervisor"],
    ),
    ("deploy", "deploy", &["proto"], &["sereno-config"]),
];

const LONGEST_FILE: usize = 400;

/// Where a program may ask which system it is for. Tests and benches aside, each says why it may.
const SYSTEMS: [(&str, &str); 16] = [
    ("supervisor/src/os/", "the one module that names system calls: a file for each system"),
    ("daemon-kit/serve/src/", "an endpoint is a socket here and a pipe there"),
    ("daemon-kit/connect/src/dial.rs", "an endpoint is a socket here and a pipe there"),
    ("daemon-kit/runtime/src/", "signals; who may read a log; what an init system is told, and how"),
    ("daemon-kit/auth/src/secret.rs", "who may read a file is a mode here and a folder's rights there"),
    ("daemon-kit/config/src/", "a file means other paths, programs and accounts on each system"),
    ("daemon-kit/sockets/src/", "each system keeps its own table of listeners"),
    (
        "daemon-kit/guard/src/",
        "a process is held and its end heard in another way on each system; files are kept on Unix",
    ),
    ("daemon-kit/monitor/src/", "what else than the target an error of the system may be about"),
    (
        "health-monitor/src/child.rs",
        "a check's command ends with its group, and is reaped by a signal, on Unix",
    ),
    (
        "health-monitor/src/launcher.rs",
        "whom a check's command runs as, and with what power, is the system's",
    ),
    ("health-monitor/src/shim.rs", "there are shims only where a check may have other rights, on Unix"),
    ("port-monitor/src/lib.rs", "picks the table of sockets of this system"),
    ("ctl/src/commands/spawn.rs", "how a program is let go of"),
    ("ctl/src/out.rs", "the reader of a pipe that is gone is an event here and none there"),
    ("deploy/src/", "what the demo can do to itself"),
];

/// What the lifecycle core may not name: it has no clock, no tasks, no wire.
const IMPURE: [&str; 7] = ["tokio", "tonic", "Instant", "SystemTime", "fs", "net", "process"];

struct Source {
    path: String,
    text: String,
}

/// A word or sign of a program, and its line.
struct Token(String, usize);

// ---- reading ----

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("crates lie in the tree")
}

/// Every text file of the tree that somebody wrote.
fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the tree can be read").flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let passed_over =
                ["target", "node_modules", "dist", "__pycache__"].contains(&&*name) || is_hidden(&name);
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && !passed_over => folders.push(path),
                // In a work tree of its own it names where the tree lies.
                Ok(kind) if kind.is_file() && name != ".git" => found.extend(source(&path)),
                _ => {}
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn is_hidden(name: &str) -> bool {
    name.starts_with('.') && ![".ci", ".cargo"].contains(&name)
}

fn source(path: &Path) -> Option<Source> {
    // What is not text (or is gone since: an editor's copy) is not ours to judge.
    let text = fs::read_to_string(path).ok()?;
    let path = path.strip_prefix(root()).unwrap_or(path).display().to_string().replace('\\', "/");
    Some(Source { path, text })
}

fn rust() -> Vec<Source> {
    let is_rust = |source: &Source| Path::new(&source.path).extension().is_some_and(|ending| ending == "rs");
    let sources: Vec<Source> = sources().into_iter().filter(is_rust).collect();
    assert!(sources.len() > 50, "the tree was not found: {} sources", sources.len());
    sources
}

/// The program of a source, flat.
fn tokens(source: &Source) -> Vec<Token> {
    let stream = TokenStream::from_str(&source.text);
    let mut tokens = Vec::new();
    flatten(stream.unwrap_or_else(|error| panic!("{}: is no Rust: {error}", source.path)), &mut tokens);
    tokens
}

fn flatten(stream: TokenStream, out: &mut Vec<Token>) {
    for tree in stream {
        let line = tree.span().start().line;
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                out.push(Token(open.into(), line));
                flatten(group.stream(), out);
                out.push(Token(close.into(), group.span_close().start().line));
            }
            TokenTree::Ident(word) => out.push(Token(word.to_string(), line)),
            TokenTree::Punct(sign) => out.push(Token(sign.to_string(), line)),
            TokenTree::Literal(_) => {}
        }
    }
}

fn judge(rule: &str, complaints: &[String]) {
    assert!(complaints.is_empty(), "{rule}:\n  {}\n", complaints.join("\n  "));
}

// ---- rules ----

#[test]
fn crates_import_only_whom_they_may() {
    let mut complaints = Vec::new();
    let ours: BTreeSet<&str> = EDGES.iter().map(|(name, ..)| *name).collect();
    for (_, folder, always, in_tests) in EDGES {
        let path = root().join(folder).join("Cargo.toml");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let manifest: toml::Table =
            text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for (section, dependency) in dependencies(&manifest) {
            let testing = section == "dev-dependencies" && in_tests.contains(&&*dependency);
            if ours.contains(&*dependency) && !always.contains(&&*dependency) && !testing {
                complaints.push(format!("{folder}/Cargo.toml: {section}: {dependency}"));
            }
        }
    }
    judge("a crate imports a sibling that it may not know (DESIGN: who may import whom)", &complaints);
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

#[test]
fn files_are_read_from_top_to_bottom() {
    let lines = |source: Source| (source.path, source.text.lines().count());
    let long = rust().into_iter().map(lines).filter(|(_, lines)| *lines > LONGEST_FILE);
    let complaints: Vec<String> = long.map(|(path, lines)| format!("{path}: {lines} lines")).collect();
    judge(&format!("a file has more than {LONGEST_FILE} lines: it holds more than one thought"), &complaints);
}

#[test]
fn the_first_file_of_a_crate_is_a_map() {
    let first = |name: &str| ["src/lib.rs", "src/main.rs"].map(|file| PathBuf::from(name).join(file));
    let files = EDGES.iter().flat_map(|(_, folder, ..)| first(folder));
    let blind =
        |file: &PathBuf| fs::read_to_string(root().join(file)).is_ok_and(|text| !text.starts_with("//!"));
    let complaints: Vec<String> = files.filter(blind).map(|file| file.display().to_string()).collect();
    judge("a crate's first file does not begin with //! and what is where", &complaints);
}

#[test]
fn unsafe_is_only_where_the_system_is() {
    let mut complaints = Vec::new();
    for source in rust().iter().filter(|source| !source.path.starts_with("supervisor/src/os/")) {
        let found = tokens(source).into_iter().filter(|token| token.0 == "unsafe");
        complaints.extend(found.map(|token| format!("{}:{}", source.path, token.1)));
    }
    judge("unsafe stands outside supervisor/src/os", &complaints);
}

#[test]
fn every_crate_but_the_supervisor_forbids_unsafe() {
    let mut complaints = Vec::new();
    for name in EDGES.iter().map(|(_, folder, ..)| *folder).filter(|folder| *folder != "supervisor") {
        for file in ["src/lib.rs", "src/main.rs"] {
            let text = fs::read_to_string(root().join(name).join(file));
            if text.is_ok_and(|text| !text.contains("#![forbid(unsafe_code)]")) {
                complaints.push(format!("{name}/{file}"));
            }
        }
    }
    judge("a crate does not say #![forbid(unsafe_code)]", &complaints);
}

#[test]
fn only_few_files_ask_which_system_it_is() {
    let mut complaints = Vec::new();
    let mut used = BTreeSet::new();
    for source in rust().iter().filter(|source| !is_trial(source)) {
        let lines = system_lines(&tokens(source));
        match SYSTEMS.iter().find(|(place, _)| source.path.starts_with(place)) {
            Some((place, _)) if !lines.is_empty() => drop(used.insert(*place)),
            Some(_) => {}
            None => complaints.extend(lines.into_iter().map(|line| format!("{}:{line}", source.path))),
        }
    }
    judge("cfg(unix), cfg(windows) or cfg(target_os) stands where no system should matter", &complaints);
    let idle = SYSTEMS.iter().filter(|(place, _)| !used.contains(place));
    let idle: Vec<String> = idle.map(|(place, why)| format!("{place}: {why}")).collect();
    judge("an exception of this test is not needed any more", &idle);
}

/// What only runs where it is tried can ask what it likes.
fn is_trial(source: &Source) -> bool {
    ["/tests/", "/benches/"].iter().any(|folder| source.path.contains(folder))
}

/// Lines of `cfg(…)`, `cfg!(…)` and `cfg_attr(…)` that are about the system.
fn system_lines(tokens: &[Token]) -> Vec<usize> {
    const WORDS: [&str; 4] = ["unix", "windows", "target_os", "target_family"];
    let mut lines = Vec::new();
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| ["cfg", "cfg_attr"].contains(&&*token.0))
    {
        let condition = tokens[at + 1..].iter().skip_while(|next| next.0 == "!");
        let mut depth = 0_usize;
        for next in condition {
            match &*next.0 {
                "(" => depth += 1,
                ")" => depth = depth.saturating_sub(1),
                word if WORDS.contains(&word) => lines.push(token.1),
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    lines.dedup();
    lines
}

#[test]
fn the_lifecycle_core_is_pure() {
    let mut complaints = Vec::new();
    let core = rust().into_iter().filter(|source| source.path.starts_with("supervisor/src/lifecycle/"));
    for source in core {
        let found = tokens(&source).into_iter().filter(|token| IMPURE.contains(&&*token.0));
        complaints.extend(found.map(|token| format!("{}:{}: {}", source.path, token.1, token.0)));
    }
    judge("supervisor/src/lifecycle names a clock, a task, the wire or the system", &complaints);
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
    let feeds = |source: &Source| source.path.contains("/tests/") && source.path.ends_with("hostile.rs");
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
            (tests.contains(&format!("fed(\"{name}\", ")), "is fed by no hostile.rs of the tests"),
        ] {
            if !is_so {
                complaints.push(format!("{name}: {what}"));
            }
        }
    }
    judge("a fuzz target that the tests do not run finds nothing", &complaints);
}

#[test]
fn words_in_comments_and_texts_break_no_rule() {
    let text =
        "// unsafe\n/// cfg(unix)\nconst A: &str = \"unsafe cfg!(windows)\";\n#[cfg(test)]\nmod unix {}";
    let tokens_of = |text: &str| tokens(&Source { path: "made up".into(), text: text.into() });
    assert!(!tokens_of(text).iter().any(|token| token.0 == "unsafe"));
    assert_eq!(system_lines(&tokens_of(text)), [0; 0]);
    let text = "fn a() {\n  unsafe {}\n}\n#[cfg(all(test, not(unix)))]\nfn b() { cfg!(windows) }\n#[cfg_attr(target_os = \"linux\", path = \"x\")]\nmod x;";
    assert!(tokens_of(text).iter().any(|token| token.0 == "unsafe" && token.1 == 2));
    assert_eq!(system_lines(&tokens_of(text)), [4, 5, 6]);
}
