//! Parses single values. Each function returns the meaning of a value, or the rule that it breaks.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use bytesize::ByteSize;
use regex::Regex;

use super::keys::nearest;
use super::problem::Wrong;
use super::tree::{Node, Value, float};

/// Longest duration. Adding it to a clock does not overflow.
const LONGEST: Duration = Duration::from_secs(3650 * 24 * 60 * 60);

pub(super) fn text(node: &Node) -> Result<String, Wrong> {
    match &node.value {
        Value::Text(text) if text.contains('\0') => Err("must not hold a NUL".into()),
        Value::Text(text) => Ok(text.clone()),
        _ => Err("must be a string".into()),
    }
}

pub(super) fn filled(node: &Node) -> Result<String, Wrong> {
    match text(node)? {
        text if text.trim().is_empty() => Err("must not be empty".into()),
        text => Ok(text),
    }
}

pub(super) fn flag(node: &Node) -> Result<bool, Wrong> {
    match node.value {
        Value::Boolean(flag) => Ok(flag),
        _ => Err("must be true or false".into()),
    }
}

pub(super) fn whole<T: TryFrom<i64>>(range: RangeInclusive<i64>) -> impl Fn(&Node) -> Result<T, Wrong> {
    move |node| {
        match node.value {
            Value::Integer(number) if range.contains(&number) => T::try_from(number).ok(),
            _ => None,
        }
        .ok_or_else(|| format!("must be a whole number from {} to {}", range.start(), range.end()).into())
    }
}

pub(super) fn number(range: RangeInclusive<f64>) -> impl Fn(&Node) -> Result<f64, Wrong> {
    move |node| {
        let number = match node.value {
            #[expect(clippy::cast_precision_loss, reason = "what is in range is exact")]
            Value::Integer(number) => number as f64,
            Value::Float(number) => number,
            _ => f64::NAN,
        };
        let rule = || format!("must be a number from {} to {}", range.start(), range.end()).into();
        range.contains(&number).then_some(number).ok_or_else(rule)
    }
}

/// Parses a duration of at least `least`, itself a duration as text.
pub(super) fn duration(least: &'static str) -> impl Fn(&Node) -> Result<Duration, Wrong> {
    move |node| {
        let least = humantime::parse_duration(least).expect("the table of keys has good durations");
        let parsed = node.text().and_then(|text| humantime::parse_duration(text).ok());
        match parsed {
            None => Err("must be a duration such as \"500ms\", \"5s\" or \"1h30m\"".into()),
            Some(time) if time < least => {
                Err(format!("must be at least {}", humantime::format_duration(least)).into())
            }
            Some(time) if time > LONGEST => Err("must be at most 3650 days".into()),
            Some(time) => Ok(time),
        }
    }
}

/// Parses a size of at least `least`, itself a size as text, into bytes.
pub(super) fn size(least: &'static str) -> impl Fn(&Node) -> Result<u64, Wrong> {
    let bytes = least.parse::<ByteSize>().expect("the table of keys has good sizes").0;
    move |node| match any_size(node)? {
        small if small < bytes => Err(format!("must be at least {least}").into()),
        size => Ok(size),
    }
}

fn any_size(node: &Node) -> Result<u64, Wrong> {
    match &node.value {
        Value::Integer(bytes) => u64::try_from(*bytes).ok(),
        Value::Text(text) => text.parse::<ByteSize>().ok().map(|size| size.0),
        _ => None,
    }
    .ok_or_else(|| "must be a size such as \"50MB\" or \"64KiB\"".into())
}

pub(super) fn choice<T: Copy>(words: &[(&str, T)]) -> impl Fn(&Node) -> Result<T, Wrong> {
    move |node| {
        let given = node.text().unwrap_or_default();
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == given) {
            return Ok(*meaning);
        }
        let quoted: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
        Err(Wrong {
            rule: format!("must be {}", either(&quoted)),
            hint: nearest(given, words.iter().map(|(word, _)| *word)),
        })
    }
}

/// Joins words to `a, b or c`.
pub(super) fn either(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [only] => only.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

/// Parses a string, number or boolean into the text of a variable.
pub(super) fn scalar(node: &Node) -> Result<String, Wrong> {
    match &node.value {
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(float(*number)),
        Value::Boolean(flag) => Ok(flag.to_string()),
        Value::Text(_) => text(node),
        _ => Err("must be a string, a number or a boolean".into()),
    }
}

/// Parses a program and its arguments: a list, or a string that is split like a shell does.
pub(super) fn argv(node: &Node) -> Result<Vec<String>, Wrong> {
    let words = match &node.value {
        Value::Text(_) => split(&text(node)?, cfg!(windows))?,
        Value::List(items) => {
            items.iter().map(text).collect::<Result<_, _>>().map_err(|_| "must be a list of strings")?
        }
        _ => return Err("must be a string or a list of strings".into()),
    };
    match words.first() {
        Some(program) if !program.is_empty() => Ok(words),
        _ => Err("must name a program".into()),
    }
}

/// Splits a line into words. With `windows`, a backslash escapes nothing.
fn split(text: &str, windows: bool) -> Result<Vec<String>, Wrong> {
    let mut single = false;
    let mut double = false;
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\'' if !double => single = !single,
            '"' if !single => double = !double,
            '\\' if windows && !single => plain.push('\\'),
            _ => {}
        }
        plain.push(c);
    }
    let text = if windows { &plain } else { text };
    shell_words::split(text).map_err(|_| "has a quote that is not closed".into())
}

pub(super) fn umask(node: &Node) -> Result<u32, Wrong> {
    let octal = |text: &str| u32::from_str_radix(text.strip_prefix("0o").unwrap_or(text), 8).ok();
    node.text()
        .and_then(octal)
        .filter(|mask| *mask <= 0o777)
        .ok_or_else(|| "must be an octal string from \"000\" to \"777\", such as \"022\"".into())
}

/// Parses a user or a group, by name or number.
pub(super) fn account(node: &Node) -> Result<String, Wrong> {
    match &node.value {
        Value::Integer(id) if u32::try_from(*id).is_ok() => Ok(id.to_string()),
        Value::Text(_) => filled(node),
        _ => Err("must be a name or a number".into()),
    }
}

/// Parses a resource limit; `None` is unlimited.
pub(super) fn limit(node: &Node) -> Result<Option<u64>, Wrong> {
    if node.text() == Some("unlimited") {
        return Ok(None);
    }
    any_size(node).map(Some).map_err(|_| "must be a whole number, a size or \"unlimited\"".into())
}

/// Parses a signal in any spelling, and returns it in the form `SIGTERM`.
pub(super) fn signal(node: &Node) -> Result<String, Wrong> {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
        "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
        "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    let given = node.text().unwrap_or_default().to_uppercase();
    let bare = given.strip_prefix("SIG").unwrap_or(&given);
    if NAMES.contains(&bare) {
        return Ok(format!("SIG{bare}"));
    }
    let hint = nearest(bare, NAMES.into_iter()).map(|name| format!("SIG{name}"));
    Err(Wrong { rule: "must be the name of a signal, such as \"SIGTERM\"".into(), hint })
}

pub(super) fn regex(node: &Node) -> Result<Regex, Wrong> {
    let text = filled(node)?;
    Regex::new(&text).map_err(|error| {
        // The message has several lines; the last one says what is wrong.
        let error = error.to_string();
        let last = error.lines().last().unwrap_or_default();
        format!("must be a regular expression: {}", last.trim_start_matches("error: ")).into()
    })
}

/// Parses a filter of `tracing`. A word alone must be a level: anything else is probably mistyped.
pub(super) fn log_filter(node: &Node) -> Result<String, Wrong> {
    const LEVELS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "off"];
    let text = filled(node)?;
    for part in text.split(',') {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level).trim();
        if !LEVELS.contains(&level.to_lowercase().as_str()) {
            return Err(Wrong {
                rule: "must be a level (trace, debug, info, warn, error, off), or target=level,…".into(),
                hint: nearest(level, LEVELS.into_iter()),
            });
        }
    }
    Ok(text)
}

/// Parses `3` (in a row) or `"5/10"` into the number of failures and of last results (0: in a row).
pub(super) fn failures(range: RangeInclusive<i64>) -> impl Fn(&Node) -> Result<(u32, u32), Wrong> {
    move |node| {
        let good = |number: i64| u32::try_from(number).ok().filter(|_| range.contains(&number));
        let given = match &node.value {
            Value::Integer(count) => good(*count).map(|count| (count, 0)),
            Value::Text(text) => text.split_once('/').and_then(|(count, window)| {
                let number = |text: &str| text.trim().parse().ok().and_then(&good);
                number(count).zip(number(window)).filter(|(count, window)| count <= window)
            }),
            _ => None,
        };
        given.ok_or_else(|| {
            let (least, most) = (range.start(), range.end());
            format!("must be a whole number from {least} to {most}, or \"5/10\" for five of the last ten")
                .into()
        })
    }
}

/// Parses the members that must be equal: nested tables become dotted paths, their values JSON.
pub(super) fn json_members(node: &Node) -> Result<BTreeMap<String, String>, Wrong> {
    fn collect(path: &str, node: &Node, into: &mut BTreeMap<String, String>) -> Result<(), Wrong> {
        for (key, child) in node.table().into_iter().flatten() {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            match child.table() {
                Some(_) => collect(&path, child, into)?,
                None => {
                    into.insert(path, json(child)?.to_string());
                }
            }
        }
        Ok(())
    }
    let mut members = BTreeMap::new();
    if node.table().is_none() {
        return Err("must be a table such as { status = \"healthy\" }".into());
    }
    collect("", node, &mut members)?;
    Ok(members)
}

pub(super) fn json(node: &Node) -> Result<serde_json::Value, Wrong> {
    Ok(match &node.value {
        Value::Text(text) => text.as_str().into(),
        Value::Integer(number) => (*number).into(),
        Value::Float(number) => serde_json::Number::from_f64(*number)
            .map(serde_json::Value::Number)
            .ok_or("must be what JSON can say: it has no nan and no inf")?,
        Value::Boolean(flag) => (*flag).into(),
        Value::Other(_) => return Err("must be what JSON can say: a date is a string there".into()),
        Value::List(items) => items.iter().map(json).collect::<Result<Vec<_>, _>>()?.into(),
        Value::Table(table) => table
            .iter()
            .map(|(key, child)| Ok((key.clone(), json(child)?)))
            .collect::<Result<serde_json::Map<_, _>, Wrong>>()?
            .into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str, windows: bool) -> Vec<String> {
        split(text, windows).ok().expect("closed quotes")
    }

    #[test]
    fn a_backslash_escapes_nothing_where_paths_are_made_of_it() {
        let line = r#"C:\py\python.exe "C:\a b\x.py" 'C:\c d' e\ f"#;
        assert_eq!(words(line, true), [r"C:\py\python.exe", r"C:\a b\x.py", r"C:\c d", r"e\", "f"]);
        assert_eq!(words(r#"a\ b "c\"d" 'e\'"#, false), ["a b", "c\"d", r"e\"]);
        assert_eq!(words(r#""C:\dir\" x"#, true), [r"C:\dir\", "x"], "it does not keep a quote open");
    }
}
