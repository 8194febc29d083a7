//! What reading a full journal costs: `cargo bench -p supervisor --bench journal`.
//!
//! 15 MiB of events (at 16 the oldest are removed) of 200 services that restart in turn, and one service whose only restart is the oldest event that is
//! kept. Prints milliseconds, and how long a plain read of the same bytes takes beside it.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench measures real time and says what it saw"
)]

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use proto::Name;
use supervisor::journal::{Detail, Entry, Journal, Kind, chain};

const SERVICES: u64 = 200;
const FULL: u64 = 15 * 1024 * 1024;
const TIMES: u32 = 50;

fn size(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).expect("there").flatten();
    files.map(|file| file.metadata().map_or(0, |meta| meta.len())).sum()
}

/// Enters a restart of a service: what was asked, the end, the start, ready.
fn restart(journal: &mut Journal, service: &Name, run: u64) {
    let mut cause = 0;
    let mut enter = |what: supervisor::journal::What, message: &str| {
        cause = journal.add(Entry {
            cause,
            source: "supervisor",
            service: Some(service),
            incarnation: run,
            what,
            message: message.into(),
            evidence: String::new(),
        });
    };
    enter(Kind::Check.into(), "health failed 3 of 3: 503");
    enter(Kind::Decision.into(), "restart accepted (incarnation 4), budget 1 of 10 in 1h");
    enter(Kind::Signal.into(), "SIGTERM to 3 processes");
    enter(Kind::Exit.into(), "ended by SIGTERM after 2h 4m");
    enter(Detail::Started { pid: 812 }.into(), "start pid 812 (incarnation 5)");
    enter(Detail::Ready { after: 500 }.into(), "ready after 0.5 s (port own, health 200)");
    journal.flush();
}

/// Returns the mean time of some work, in milliseconds.
fn mean(work: impl Fn()) -> f64 {
    let began = Instant::now();
    (0..TIMES).for_each(|_| work());
    began.elapsed().as_secs_f64() * 1000.0 / f64::from(TIMES)
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let name = |number: u64| Name::new(&format!("service-{number}")).expect("a name");
    let oldest = Name::new("oldest").expect("a name");
    let mut journal = Journal::open(folder.path());
    restart(&mut journal, &oldest, 1);
    let mut round = 0;
    while size(folder.path()) < FULL {
        for number in 0..SERVICES {
            restart(&mut journal, &name(number), round);
        }
        round += 1;
    }
    let why = |service: &str| {
        let chain = chain::chain(folder.path(), service, 0, Vec::new());
        assert_eq!(black_box(chain).len(), 6, "{service}");
    };
    let read = || {
        for file in fs::read_dir(folder.path()).expect("there").flatten() {
            black_box(fs::read(file.path()).expect("readable"));
        }
    };
    let mib = size(folder.path()) / (1024 * 1024);
    println!("journal: {mib} MiB");
    println!("  why of a service among {SERVICES}: {:.2} ms", mean(|| why("service-7")));
    println!("  why of the one whose restart is the oldest event: {:.2} ms", mean(|| why("oldest")));
    println!("  reading these bytes and no more: {:.2} ms", mean(read));
}
