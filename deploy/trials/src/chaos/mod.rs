//! `cargo deploy chaos`: kills everything at random moments, and checks at the end that every line written
//! by a service is in the logs exactly once, that no run was started twice, and that no process is left.
//!
//! | module | what it holds |
//! |---|---|
//! | [`setup`] | folder, `sereno.toml` and `ctl` of the test |
//! | [`service`] | the program of the services: writes numbered lines, and misbehaves as configured |
//! | `faults` | decides what is killed, and when |
//! | `follower` | follows the events over every death |
//! | `census` | finds living processes through `/proc` |
//! | `verdict` | compares all records at the end |
//! | [`lines`], [`journal`] | pure: find errors in a log and in a journal |
//!
//! ```text
//! prepare ─▶ up ─▶ faults ─▶ calm ─▶ every service runs once ─▶ down ─▶ no process left ─▶ verdict
//!                   └──────── a thread looks whether two runs of one service live ┘
//! ```

mod census;
mod faults;
mod follower;
pub mod journal;
pub mod lines;
pub mod service;
pub mod setup;
mod verdict;
mod watch;

use std::fs;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deploy::binaries;
use deploy::place::Place;
use faults::{FaultInjector, Tally};
pub use setup::Setup;
use verdict::Verdict;

use crate::Failure;
use crate::ctl::now;

/// Time limit for recovery, longer than a monitor's longest wait.
const SETTLES_WITHIN: Duration = Duration::from_secs(90);
/// How long no process may reappear after `down`.
const STAYS_DOWN: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// One of the followers stops reading once: after so many events, for so long.
const STOPS_AFTER: usize = 2_000;
const STOPS_FOR: Duration = Duration::from_secs(60);
/// Interval of progress messages.
const TELL_EVERY: Duration = Duration::from_secs(30);

/// Builds everything and runs the test; returns whether it passed.
pub fn start(
    minutes: f64,
    seed: Option<u64>,
    services: usize,
    cgroups: bool,
    out: &mut dyn Write,
) -> Result<bool, Failure> {
    let place = Place::find()?;
    // The folder is beside the demo, in the target folder.
    let folder = place.target().join("chaos");
    let setup = Setup {
        bin: folder.join("bin"),
        folder: folder.join("here"),
        time: Duration::from_secs_f64(minutes * 60.0),
        seed: seed.unwrap_or_else(|| fastrand::u64(0..1_000_000)),
        services,
        cgroups,
    };
    if setup.config().exists() && setup.bin.join("ctl").exists() {
        // Removes processes of an earlier, interrupted test. A process that survives this is not
        // recognized by the next test.
        setup.ctl(&["down"])?;
        for seen in census::look(&setup.folder) {
            let start = census::start_of(seen.pid);
            census::kill(seen.pid, || start.is_some() && census::start_of(seen.pid) == start)?;
        }
    }
    writeln!(out, "building supervisor, health-monitor, port-monitor and ctl")?;
    binaries::install(&binaries::build(&place)?, &setup.bin)?;
    run(&setup, out)
}

/// Runs the test; returns whether it passed. Prints the findings to `out`, with a summary as the last line.
pub fn run(setup: &Setup, out: &mut dyn Write) -> Result<bool, Failure> {
    let (seed, count) = (setup.seed, setup.services);
    let with = if setup.cgroups { "with" } else { "without" };
    writeln!(out, "chaos: seed {seed}, {count} services, {} s, {with} cgroups", setup.time.as_secs())?;
    out.flush()?;
    setup.prepare()?;
    let mut injector = FaultInjector::new(setup)?;
    injector.up()?;
    let over = AtomicBool::new(false);
    let socket = || setup.folder.join("home/run/supervisor.sock");
    let (injected, overlaps, followed, journal) = std::thread::scope(|scope| {
        let watching = scope.spawn(|| watch::watch(&setup.folder, &over));
        let quick = scope.spawn(|| follower::follow(socket(), &over, usize::MAX, Duration::ZERO));
        let slow = scope.spawn(|| follower::follow(socket(), &over, STOPS_AFTER, STOPS_FOR));
        let injected = inject_and_settle(setup, &mut injector, out);
        let journal = verdict::journal_of(setup);
        over.store(true, Ordering::Release);
        let followed = [quick, slow].map(|thread| thread.join().unwrap_or_default());
        let overlaps = watching.join().unwrap_or_else(|_| vec!["the thread that looks has panicked".into()]);
        (injected, overlaps, followed, journal)
    });
    injected?;
    injector.tally.wrong.extend(overlaps);
    let journal = journal?;
    for followed in &followed {
        let count = followed.events.len();
        injector.tally.wrong.extend(followed.compare(&journal.told()));
        writeln!(out, "  a follower got {count} events over {} connections", followed.connections)?;
    }
    end(setup, &mut injector)?;
    let found = verdict::find(setup, &injector.tally.unread)?;
    report(setup, &injector.tally, &found, out)
}

fn inject_and_settle(
    setup: &Setup,
    injector: &mut FaultInjector<'_>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let began = now();
    let mut told = began;
    injector.inject_all(|tally| {
        if now().duration_since(told) > TELL_EVERY {
            told = now();
            let (seconds, faults) =
                (told.duration_since(began).as_secs(), tally.faults.values().sum::<u64>());
            writeln!(out, "  {seconds} s: {faults} faults, {} wrong", tally.wrong.len())?;
            out.flush()?;
        }
        Ok(())
    })?;
    fs::write(setup.folder.join("calm"), "")?;
    // Does not run `up` again: the wanted state must have survived the faults.
    injector.revive()?;
    let began = now();
    loop {
        let status = injector.status()?;
        let services = status["services"].as_array().map(Vec::as_slice).unwrap_or_default();
        let run = services.iter().filter(|service| service["state"] == "running").count();
        let seen = census::look(&setup.folder);
        let runs = census::by_run(&seen);
        let once =
            setup.names().iter().filter(|name| runs.get(name.as_str()).is_some_and(|r| r.len() == 1)).count();
        if run == setup.services && once == setup.services {
            return Ok(());
        }
        if now().duration_since(began) > SETTLES_WITHIN {
            let shown: Vec<String> =
                services.iter().map(|s| format!("{} {} {}", s["name"], s["state"], s["reason"])).collect();
            injector.wrong(format!("not every service runs once: {shown:?}, alive are {runs:?}"));
            return Ok(());
        }
        std::thread::park_timeout(LOOK_AGAIN);
    }
}

/// Runs `ctl down`, and checks that no process is left and none reappears.
fn end(setup: &Setup, injector: &mut FaultInjector<'_>) -> Result<(), Failure> {
    injector.note("ctl down");
    let answer = setup.ctl(&["down"])?;
    if answer.code != Some(0) {
        injector.wrong(format!("ctl down: {:?}, {}", answer.code, answer.err.trim()));
    }
    let left = census::look(&setup.folder);
    if !left.is_empty() {
        injector.wrong(format!("left behind by ctl down: {left:?}"));
    }
    let began = now();
    while now().duration_since(began) < STAYS_DOWN {
        std::thread::park_timeout(LOOK_AGAIN);
    }
    let back = (census::supervisor(&setup.folder), census::look(&setup.folder));
    if back != (None, Vec::new()) {
        injector.wrong(format!("alive {} s after ctl down: {back:?}", STAYS_DOWN.as_secs()));
    }
    Ok(())
}

fn report(setup: &Setup, tally: &Tally, found: &Verdict, out: &mut dyn Write) -> Result<bool, Failure> {
    for (what, times) in &tally.faults {
        writeln!(out, "  {times:>6}  {what}")?;
    }
    let mut without = tally.without.clone();
    without.sort_unstable();
    let at = |share: usize| {
        without.get(without.len() * share / 100).or(without.last()).map_or(0, Duration::as_millis)
    };
    writeln!(
        out,
        "  without control: {} times, {} by itself back; median {} ms, 95 % {} ms, longest {} ms",
        without.len(),
        tally.revived,
        at(50),
        at(95),
        without.last().map_or(0, Duration::as_millis),
    )?;
    let (starts, adoptions) = found.starts;
    writeln!(
        out,
        "  {} runs said they were there; journal: {starts} starts, {adoptions} adoptions",
        found.runs
    )?;
    if found.unheard > 0 {
        writeln!(
            out,
            "  {} last lines went with runs that ended while nobody held their pipe",
            found.unheard
        )?;
    }
    let wrong: Vec<&String> = tally.wrong.iter().chain(&found.wrong).collect();
    for what in &wrong {
        writeln!(out, "  WRONG: {what}")?;
    }
    let (seed, lines, faults) = (setup.seed, found.lines, tally.faults.values().sum::<u64>());
    if wrong.is_empty() {
        writeln!(out, "chaos: all well: {faults} faults, {lines} lines, each there once (seed {seed})")?;
    } else {
        let here = setup.folder.display();
        writeln!(
            out,
            "chaos: {} wrong after {faults} faults and {lines} lines (seed {seed}; see {here})",
            wrong.len()
        )?;
    }
    out.flush()?;
    Ok(wrong.is_empty())
}
