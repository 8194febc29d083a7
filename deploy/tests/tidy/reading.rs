//! The files of this workspace, and their programs as tokens.

use std::fs;
use std::path::Path;
use std::str::FromStr as _;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// A word or sign of a program, and its line.
pub(crate) struct Token(pub(crate) String, pub(crate) usize);

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("crates lie in the tree")
}

/// Every text file of the tree that somebody wrote.
pub(crate) fn sources() -> Vec<Source> {
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

pub(crate) fn is_hidden(name: &str) -> bool {
    name.starts_with('.') && ![".ci", ".cargo"].contains(&name)
}

pub(crate) fn source(path: &Path) -> Option<Source> {
    // What is not text (or is gone since: an editor's copy) is not ours to judge.
    let text = fs::read_to_string(path).ok()?;
    let path = path.strip_prefix(root()).unwrap_or(path).display().to_string().replace('\\', "/");
    Some(Source { path, text })
}

pub(crate) fn rust() -> Vec<Source> {
    let is_rust = |source: &Source| Path::new(&source.path).extension().is_some_and(|ending| ending == "rs");
    let sources: Vec<Source> = sources().into_iter().filter(is_rust).collect();
    assert!(sources.len() > 50, "the tree was not found: {} sources", sources.len());
    sources
}

/// The program of a source, flat.
pub(crate) fn tokens(source: &Source) -> Vec<Token> {
    let stream = TokenStream::from_str(&source.text);
    let mut tokens = Vec::new();
    flatten(stream.unwrap_or_else(|error| panic!("{}: is no Rust: {error}", source.path)), &mut tokens);
    tokens
}

pub(crate) fn flatten(stream: TokenStream, out: &mut Vec<Token>) {
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

pub(crate) fn judge(rule: &str, complaints: &[String]) {
    assert!(complaints.is_empty(), "{rule}:\n  {}\n", complaints.join("\n  "));
}

/// Returns where the programs at some paths name one of these words.
pub(crate) fn naming(words: &[&str], is_judged: impl Fn(&str) -> bool) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in rust().iter().filter(|source| is_judged(&source.path)) {
        let found = tokens(source).into_iter().filter(|token| words.contains(&&*token.0));
        complaints.extend(found.map(|token| format!("{}:{}: {}", source.path, token.1, token.0)));
    }
    complaints
}

/// Returns whether a file only runs where the workspace is tried.
pub(crate) fn is_trial(source: &Source) -> bool {
    ["/tests/", "/benches/"].iter().any(|folder| source.path.contains(folder))
}
