//! Asks before a file replaces another file that runs in the same home.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::failure::Failure;
use crate::out::Out;

/// Whether the user at the terminal confirms. False without a terminal.
pub(super) fn is_confirmed(why: &str, out: &Out) -> Result<bool, Failure> {
    let mut terminal = io::stderr();
    if out.json || !io::stdin().is_terminal() || !terminal.is_terminal() {
        return Ok(false);
    }
    let mut answer = String::new();
    write!(terminal, "ctl: {why}. Do it? [y/N] ")
        .and_then(|()| io::stdin().lock().read_line(&mut answer))
        .map_err(Failure::Output)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
