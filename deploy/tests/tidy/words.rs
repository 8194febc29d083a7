//! Rules about how things are said: errors have types, and documentation says something.

use crate::reading::{Source, Token, is_trial, judge, rust, tokens};

/// Documentation of a command line is its help, which is short where the name says it all.
const HELP: [&str; 4] = ["ctl/src/args", "deploy/src/main.rs", "deploy/trials/src/command.rs", "fuzz/"];

#[test]
fn errors_have_types() {
    let mut complaints = Vec::new();
    for source in rust().iter().filter(|source| !is_trial(source)) {
        let lines = text_errors(&tokens(source));
        complaints.extend(lines.into_iter().map(|line| format!("{}:{line}", source.path)));
    }
    judge("Result<_, String>: an error is an enum, so that nobody has to read its text", &complaints);
}

/// Returns the lines of `Result<…, String>`.
fn text_errors(tokens: &[Token]) -> Vec<usize> {
    let mut lines = Vec::new();
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| token.0 == "Result") {
        let (mut depth, mut arguments, mut last) = (0_i32, 1, Vec::new());
        for next in &tokens[at + 1..] {
            match &*next.0 {
                "<" | "(" | "[" => depth += 1,
                ">" | ")" | "]" => depth -= 1,
                "," if depth == 1 => {
                    arguments += 1;
                    last.clear();
                }
                word if depth == 1 => last.push(word),
                _ => {}
            }
            if depth <= 0 {
                break;
            }
        }
        if arguments > 1 && last == ["String"] {
            lines.push(token.1);
        }
    }
    lines
}

#[test]
fn documentation_says_something() {
    let is_help = |source: &&Source| HELP.iter().any(|place| source.path.starts_with(place));
    let mut complaints = Vec::new();
    for source in rust().iter().filter(|source| !is_trial(source) && !is_help(source)) {
        complaints.extend(short_docs(&source.text).map(|line| format!("{}:{line}", source.path)));
    }
    judge("documentation of two words or fewer repeats the name", &complaints);
}

/// Returns the lines of documentation that is a single line of at most two words.
fn short_docs(text: &str) -> impl Iterator<Item = usize> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_doc = |at: usize| lines.get(at).is_some_and(|line| line.starts_with("///"));
    let is_short = |at: &usize| {
        let alone = !is_doc(at + 1) && !at.checked_sub(1).is_some_and(is_doc);
        is_doc(*at) && alone && lines[*at].split_whitespace().count() <= 3
    };
    (0..lines.len()).filter(is_short).map(|at| at + 1).collect::<Vec<_>>().into_iter()
}

#[test]
fn these_rules_find_what_they_look_for() {
    let of = |text: &str| tokens(&Source { path: "made up".into(), text: text.into() });
    let found = text_errors(&of(
        "fn a() -> Result<(), String> {}\nfn b() -> Result<BTreeMap<u8, String>, E> {}\nfn c() -> Result<Vec<(A, B)>, String> {}\nfn d() -> Result<String, E> {}\nfn e() -> io::Result<String> {}",
    ));
    assert_eq!(found, [1, 3]);
    let text =
        "/// Its port.\nfn a() {}\n/// Its port\n/// or none.\nfn b() {}\n/// Returns its port.\nfn c() {}";
    assert_eq!(short_docs(text).collect::<Vec<_>>(), [1]);
}
