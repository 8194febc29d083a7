//! `doctor`: checks the whole setup, and shows each problem with its remedy.

use serde::Serialize;

use super::import::wrapped;
use super::status;
use crate::doctor::{Finding, Level, certificates, daemons, file, host, ports};
use crate::failure::{Done, Failure};
use crate::out::Out;
use crate::place::{self, Place};
use crate::render::{BAD, BUSY, DIM, GOOD, one_line};

#[derive(Serialize)]
struct DoctorJson<'a> {
    ok: bool,
    findings: &'a [Finding],
}

/// Exits with 1 if there is a problem.
pub(super) async fn run(place: &Place, out: &mut Out) -> Result<Done, Failure> {
    let mut found = Vec::new();
    let env = place::environment();
    let config = file::look(place.file(), &env, &mut found);
    let program = std::env::current_exe().map_err(Failure::Start)?;
    daemons::programs(program.parent().unwrap_or(&program), &mut found);
    let view = status::gather(place, false).await?;
    daemons::daemons(&view, &place.located.home, &mut found);
    if let Some(config) = &config {
        ports::look(config, &view, &mut found);
    }
    let services = config.as_ref().map_or(0, |config| config.services.len() + config.monitors.len());
    let pid = view.supervisor.as_ref().ok().map(|supervisor| supervisor.pid);
    certificates::look(&place.located.tls, std::time::SystemTime::now(), &mut found);
    host::look(place.located.home.root(), services, pid, &mut found);
    let ok = found.iter().all(|finding| finding.level != Level::Wrong);
    if out.json {
        out.document(&DoctorJson { ok, findings: &found })?;
    } else {
        show(&found, out)?;
    }
    Ok(Done::when(ok))
}

fn show(found: &[Finding], out: &mut Out) -> Result<(), Failure> {
    let width = out.look.width.saturating_sub(20).max(30);
    for finding in found {
        let (word, style) = match finding.level {
            Level::Ok => ("ok", GOOD),
            Level::Note => ("note", BUSY),
            Level::Wrong => ("wrong", BAD),
        };
        let word = out.look.paint(style, &format!("{word:<5}"));
        let mut about = format!("{:<11}", finding.about);
        for line in wrapped(&one_line(&finding.found), width) {
            out.line(&format!("{}  {about} {line}", if about.trim().is_empty() { "     " } else { &word }))?;
            about = " ".repeat(11);
        }
        for (number, line) in wrapped(&finding.fix, width - 3).iter().enumerate() {
            let arrow = if number == 0 { "-> " } else { "   " };
            let line = out.look.paint(DIM, &format!("{arrow}{line}"));
            out.line(&format!("{}{line}", " ".repeat(19)))?;
        }
    }
    let count = |level: Level| found.iter().filter(|finding| finding.level == level).count();
    out.line("")?;
    match count(Level::Wrong) {
        0 => out.line("nothing is wrong"),
        1 => out.line("1 thing is wrong"),
        wrong => out.line(&format!("{wrong} things are wrong")),
    }
}
