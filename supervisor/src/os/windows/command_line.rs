//! Converts arguments to one line. Windows gives a program a line, not a list: each program splits it itself, most by
//! the rules of `CommandLineToArgvW`, and `cmd.exe` by its own rules, which cannot express everything.

use std::path::Path;

use super::host;

/// The most characters that cmd takes; it would drop the rest.
const LONGEST_FOR_CMD: usize = 8191;

/// The arguments of `CreateProcessW`: the program that is really run, and its line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CommandLine {
    pub(super) program: String,
    pub(super) line: String,
}

/// What cannot be passed to a program.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArgumentError {
    #[error("argument 0 can not hold a quote: {0:?}")]
    Quote(String),
    #[error("a batch file can not be given {bad:?}, as in {text:?}")]
    Batch { bad: char, text: String },
    /// The length in characters.
    #[error("a line for cmd has at most {LONGEST_FOR_CMD} characters, this one has {0}")]
    TooLong(usize),
}

/// Returns the command line of a program and its arguments, from argument 0.
pub(super) fn of(program: &str, args: &[&str]) -> Result<CommandLine, ArgumentError> {
    let ending = |wanted: &[&str]| {
        let ending = Path::new(program).extension().and_then(|ending| ending.to_str());
        ending.is_some_and(|ending| wanted.iter().any(|wanted| ending.eq_ignore_ascii_case(wanted)))
    };
    if ending(&["bat", "cmd"]) {
        return batch(program, args.get(1..).unwrap_or_default());
    }
    if let Some(line) = for_the_shell(program, args) {
        return fits(CommandLine { program: program.into(), line });
    }
    let name = args.first().copied().unwrap_or(program);
    if name.contains('"') {
        return Err(ArgumentError::Quote(name.into()));
    }
    let mut line = format!("\"{name}\"");
    for arg in args.iter().skip(1) {
        line.push(' ');
        quote(arg, &mut line);
    }
    Ok(CommandLine { program: program.into(), line })
}

/// Returns the line for `cmd /d /s /c LINE`: with `/s` cmd removes the outer quotes and takes everything between them
/// unchanged.
fn for_the_shell(program: &str, args: &[&str]) -> Option<String> {
    let name = Path::new(program).file_name()?.to_str()?;
    match args {
        [_, "/d", "/s", "/c", line] if name.eq_ignore_ascii_case("cmd.exe") => {
            Some(format!("cmd.exe /d /s /c \"{line}\""))
        }
        _ => None,
    }
}

/// Quotes by the rules of `CommandLineToArgvW`: backslashes are special only before a quote.
fn quote(arg: &str, line: &mut String) {
    if !arg.is_empty() && !arg.contains([' ', '\t', '\n', '\u{b}', '"']) {
        line.push_str(arg);
        return;
    }
    line.push('"');
    let mut backslashes = 0;
    for c in arg.chars() {
        if c == '"' {
            line.extend(std::iter::repeat_n('\\', backslashes + 1));
        }
        backslashes = if c == '\\' { backslashes + 1 } else { 0 };
        line.push(c);
    }
    line.extend(std::iter::repeat_n('\\', backslashes));
    line.push('"');
}

/// Returns the command line of a batch file. cmd runs it, replaces variables even inside quotes and cannot escape a
/// quote: arguments with such characters are refused, because the command that would run is not the one that was
/// written.
fn batch(script: &str, args: &[&str]) -> Result<CommandLine, ArgumentError> {
    const PLAIN: &str = r"#$*+-./:?@\_";
    for text in [script].iter().chain(args) {
        if let Some(bad) = text.chars().find(|c| matches!(c, '"' | '%' | '\r' | '\n' | '\0')) {
            return Err(ArgumentError::Batch { bad, text: (*text).into() });
        }
    }
    let script = script.replace('/', "\\");
    let mut line = format!("cmd.exe /e:ON /v:OFF /d /s /c \"\"{script}\"");
    for arg in args {
        let plain = !arg.is_empty() && arg.chars().all(|c| c.is_ascii_alphanumeric() || PLAIN.contains(c));
        line.push(' ');
        if plain && !arg.ends_with('\\') {
            line.push_str(arg);
            continue;
        }
        // The program that the batch file passes it to would take a backslash before the quote as an escape.
        let backslashes = arg.len() - arg.trim_end_matches('\\').len();
        line.extend(["\"", arg, &"\\".repeat(backslashes), "\""]);
    }
    line.push('"');
    fits(CommandLine { program: host::cmd(), line })
}

fn fits(command: CommandLine) -> Result<CommandLine, ArgumentError> {
    let length = command.line.encode_utf16().count();
    if length > LONGEST_FOR_CMD {
        return Err(ArgumentError::TooLong(length));
    }
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::windows::handle::wide;
    use windows_sys::Win32::Foundation::LocalFree;
    use windows_sys::Win32::UI::Shell::CommandLineToArgvW;

    /// Splits a line as the system does.
    fn split(line: &str) -> Vec<String> {
        let line = wide(line);
        let mut count = 0;
        // SAFETY: the system returns the number of strings; each ends with 0.
        unsafe {
            let args = CommandLineToArgvW(line.as_ptr(), &raw mut count);
            assert!(!args.is_null());
            let text = |at: usize| {
                let start: *const u16 = *args.add(at);
                let length = (0..line.len()).take_while(|at| *start.add(*at) != 0).count();
                String::from_utf16(std::slice::from_raw_parts(start, length)).expect("text")
            };
            let all = (0..usize::try_from(count).expect("positive")).map(text).collect();
            LocalFree(args.cast());
            all
        }
    }

    #[test]
    fn the_system_splits_a_line_into_what_it_was_made_of() {
        let odd = [
            "",
            " ",
            "a b",
            "\"",
            "\\",
            "\\\\",
            "\\\"",
            "a\\",
            "a b\\",
            "a b\\\\",
            "\\\\server\\x y\\",
            "\"a\" \\\"b\\\\\"",
            "%PATH%",
            "^&|<>()!",
            "tab\there",
            "new\nline",
            "é ü 漢字 🦀",
            "--x=\"y z\"",
            "'single'",
        ];
        let args: Vec<&str> = ["C:\\a b\\program.exe"].into_iter().chain(odd).collect();
        let made = of("C:\\a b\\program.exe", &args).expect("everything can be said");
        assert_eq!(split(&made.line), args);
        for arg in odd {
            let args = ["x", arg];
            assert_eq!(split(&of("x.exe", &args).expect("said").line), args);
        }
        assert!(of("x.exe", &["a\"b"]).is_err(), "argument 0 has no escapes");
    }

    #[test]
    fn a_batch_file_goes_through_cmd_or_not_at_all() {
        let made = of("C:/a b/npm.CMD", &["npm", "run", "a&b", "", "x y\\"]).expect("it can be said");
        assert_eq!(made.line, r#"cmd.exe /e:ON /v:OFF /d /s /c ""C:\a b\npm.CMD" run "a&b" "" "x y\\"""#);
        assert!(made.program.ends_with("cmd.exe"), "{made:?}");
        for bad in ["%PATH%", "a\"b", "a\nb", "a\rb"] {
            assert!(matches!(of("x.bat", &["x", bad]), Err(ArgumentError::Batch { .. })), "{bad:?}");
        }
        assert!(of("x.bat", &["x", &"y".repeat(9000)]).is_err(), "cmd would cut it off");
    }

    #[test]
    fn a_line_for_the_shell_stays_as_it_is() {
        let line = r#"echo "a b" && dir "C:\x y\""#;
        let made = of("C:\\Windows\\System32\\CMD.EXE", &["cmd", "/d", "/s", "/c", line]).expect("said");
        assert_eq!(made.line, format!("cmd.exe /d /s /c \"{line}\""));
    }
}
