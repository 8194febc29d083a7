//! PM2 commands that are not needed here: each explains why, and what to type instead.

use serde::Serialize;

use crate::failure::{Done, Failure};
use crate::out::Out;
use crate::place::Place;

#[derive(Serialize)]
struct Answer {
    message: String,
}

/// Answers `pm2 save`: the file needs no saving.
pub(super) fn save(place: &Place, out: &mut Out) -> Result<Done, Failure> {
    let file = place.file().display();
    say(
        &[
            format!("Nothing to save: {file} is the truth."),
            "\"ctl apply\" takes over what you change in it; what runs by it comes back by itself".into(),
            "after a crash, and services of \"ctl run\" too. At boot: \"ctl startup install\".".into(),
        ],
        out,
    )
}

/// Answers `pm2 resurrect`: services come back by themselves.
pub(super) fn resurrect(place: &Place, out: &mut Out) -> Result<Done, Failure> {
    let file = place.file().display();
    say(
        &[
            format!("Nothing to resurrect: what runs is what {file} says."),
            "\"ctl up -d\" brings it up; after a crash it comes back by itself, and at boot with".into(),
            "\"ctl startup install\".".into(),
        ],
        out,
    )
}

fn say(lines: &[String], out: &mut Out) -> Result<Done, Failure> {
    if out.json {
        out.document(&Answer { message: lines.join(" ") })?;
        return Ok(Done::Well);
    }
    for line in lines {
        out.line(line)?;
    }
    Ok(Done::Well)
}
