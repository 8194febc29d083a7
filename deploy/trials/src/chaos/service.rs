//! The program of the services: writes numbered lines, and misbehaves as configured.
//!
//! ```text
//! leader ── sN ──▶ stdout        middle (--orphan): setsid, starts child, ends
//!    └─▶ middle ──▶ child ── sN+child ──▶ stderr
//! ```
//!
//! For each line it also stores the number of lines in `counts/`, so that the last lines of a run are known too.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use super::{census, lines};

/// When this folder disappears, the test is over: the service and its orphan exit.
const FOLDER_OF_RUNS: &str = "runs";
/// While this file exists, no service exits by itself.
const CALM: &str = "calm";
/// Number of lines of a flood: more than a pipe holds.
const FLOOD: u64 = 4_000;
/// Number of lines between two checks of these files.
const LOOK_EVERY: u64 = 8;

/// How awkward it is.
#[derive(Debug, Clone, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line, each on its own")]
pub struct Args {
    /// What it is called
    #[arg(long)]
    name: String,
    /// Where the test keeps its notes
    #[arg(long)]
    folder: PathBuf,
    /// What its chance begins with
    #[arg(long)]
    seed: u64,
    /// Ends by itself, at any moment
    #[arg(long)]
    restless: bool,
    /// Writes more than a pipe holds, now and then
    #[arg(long)]
    flood: bool,
    /// Has a child that forked twice and left the session
    #[arg(long)]
    orphan: bool,
    /// That child has no environment either
    #[arg(long)]
    forget: bool,
    /// Which run it is of; without it its mark says so
    #[arg(long)]
    incarnation: Option<u64>,
    /// Which of its processes this is
    #[arg(long, value_enum, default_value = "leader")]
    part: Part,
}

/// Which process of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Leader,
    Middle,
    Child,
}

/// Runs until it is stopped or exits by itself.
pub fn run(args: &Args) -> io::Result<ExitCode> {
    let incarnation = match args.incarnation {
        Some(incarnation) => incarnation,
        None => mark().ok_or_else(|| io::Error::other("SERENO_UNIT names no run"))?,
    };
    match args.part {
        Part::Leader => {
            register(args, incarnation)?;
            if args.orphan {
                helper(args, incarnation, "middle", false)?.spawn()?.wait()?;
            }
            let out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
            talk(args, &args.name, incarnation, out)
        }
        Part::Middle => {
            rustix::process::setsid()?;
            // Does not wait for the child, which makes it an orphan.
            helper(args, incarnation, "child", args.forget)?.spawn()?;
            Ok(ExitCode::SUCCESS)
        }
        Part::Child => {
            let out = File::from(io::stderr().as_fd().try_clone_to_owned()?);
            talk(args, &format!("{}+child", args.name), incarnation, out)
        }
    }
}

fn mark() -> Option<u64> {
    std::env::var("SERENO_UNIT").ok()?.rsplit_once('/')?.1.parse().ok()
}

/// Returns the file in which a run registers itself.
pub(super) fn note_of(folder: &Path, name: &str, incarnation: u64) -> PathBuf {
    folder.join(FOLDER_OF_RUNS).join(format!("{name}.{incarnation}"))
}

/// Registers this run. Complains if the incarnation was used before, or if a process of another run is still alive.
fn register(args: &Args, incarnation: u64) -> io::Result<()> {
    let me = std::process::id();
    let note = note_of(&args.folder, &args.name, incarnation);
    match File::create_new(&note) {
        Ok(mut file) => writeln!(file, "{me} {}", census::start_of(me).unwrap_or(0))?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let other = fs::read_to_string(&note).unwrap_or_default();
            let other = other.split(' ').next().unwrap_or_default();
            complain(args, &format!("{} {incarnation}: used by pid {other} and by pid {me}", args.name))?;
        }
        Err(error) => return Err(error),
    }
    for seen in census::look(&args.folder) {
        if seen.service == args.name && seen.incarnation != incarnation {
            let (old, pid) = (seen.incarnation, seen.pid);
            complain(
                args,
                &format!("{} {incarnation}: began while pid {pid} of run {old} lived", args.name),
            )?;
        }
    }
    Ok(())
}

fn complain(args: &Args, what: &str) -> io::Result<()> {
    let mut file = File::options().create(true).append(true).open(args.folder.join("complaints"))?;
    file.write_all(format!("{what}\n").as_bytes())
}

fn helper(args: &Args, incarnation: u64, part: &str, bare: bool) -> io::Result<Command> {
    #[expect(clippy::disallowed_methods, reason = "stands for a service, which starts what it likes")]
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["chaos-service", "--part", part, "--name", &args.name]).arg("--folder").arg(&args.folder);
    command.args(["--seed", &args.seed.to_string(), "--incarnation", &incarnation.to_string()]);
    command.args(
        [("--flood", args.flood), ("--forget", args.forget)].iter().filter(|f| f.1).map(|f| OsStr::new(f.0)),
    );
    command.stdin(Stdio::null());
    if bare {
        command.env_clear();
    }
    Ok(command)
}

fn talk(args: &Args, name: &str, incarnation: u64, mut out: File) -> io::Result<ExitCode> {
    let mut chance = fastrand::Rng::with_seed(args.seed ^ incarnation.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let count = File::create(args.folder.join("counts").join(format!("{name}.{incarnation}")))?;
    let life = if chance.bool() { chance.u64(0..8) } else { chance.u64(0..300) };
    let mut number = 0;
    for burst in 0_u64.. {
        if args.restless && burst >= life && !args.folder.join(CALM).exists() {
            return Ok(ExitCode::from(chance.u8(0..3)));
        }
        if burst % LOOK_EVERY == 0 && !args.folder.join(FOLDER_OF_RUNS).exists() {
            break;
        }
        let flood = args.flood && chance.u32(0..150) == 0;
        for _ in 0..if flood { FLOOD } else { chance.u64(1..12) } {
            number += 1;
            // The line is shorter than a pipe's atomic write size: it is written as a whole or not at all.
            out.write_all(lines::line(name, incarnation, number).as_bytes())?;
            count.write_all_at(&number.to_le_bytes(), 0)?;
        }
        std::thread::park_timeout(Duration::from_millis(chance.u64(2..14)));
    }
    Ok(ExitCode::SUCCESS)
}
