//! Rules about systems: only few files ask which one it is.

use std::collections::BTreeSet;

use crate::reading::{Source, Token, is_trial, judge, rust, tokens};

/// Where a program may ask which system it is for. Tests and benches aside, each says why it may.
const SYSTEMS: [(&str, &str); 18] = [
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
    ("ctl/src/commands/disk.rs", "a folder that only its owner may enter is made with a mode here"),
    ("ctl/src/commands/spawn.rs", "how a program is let go of"),
    ("ctl/src/out.rs", "the reader of a pipe that is gone is an event here and none there"),
    ("deploy/src/", "what the demo can do to itself; what is tried on Linux only"),
    ("deploy/trials/src/", "tests of the whole, which exist on Linux only"),
];

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
