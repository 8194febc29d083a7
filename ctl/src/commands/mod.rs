//! What each command does, one file for each family.
//!
//! | module | commands |
//! |---|---|
//! | [`up`], [`spawn`] | `up` |
//! | [`down`] | `down` |
//! | [`status`] | `status` |
//! | [`crate::top`] | `top`, a room of its own |
//! | [`act`] | `start`, `stop`, `restart`, `reload`, `signal`, `reset`, `pause`, `resume` |
//! | [`added`] | `run`, `remove` |
//! | [`logs`] | `logs` |
//! | [`events`] | `why`, `events` |
//! | [`describe`] | `describe` |
//! | [`config`] | `check`, `plan`, `apply` |
//!
//! `completions` is short enough to stand here.

mod act;
mod added;
mod config;
mod describe;
mod down;
mod events;
mod logs;
mod settle;
mod spawn;
mod status;
mod up;
mod upgrade;

pub(crate) use status::gather;

use clap::CommandFactory as _;

use crate::args::{Args, Command};
use crate::failure::{Done, Failure};
use crate::out::Out;
use crate::place::Place;

/// Does what was typed.
pub(crate) async fn run(args: Args, out: &mut Out) -> Result<Done, Failure> {
    let file = args.file.as_deref();
    // What needs neither a file that is found nor a daemon.
    match args.command {
        Command::Completions(wanted) => return completions(wanted.shell, out),
        Command::Check(check) => return config::check(file, check.path.as_deref(), out),
        _ => {}
    }
    let place = &Place::find(file)?;
    match args.command {
        Command::Up(up) => up::run(&up, place, out).await,
        Command::Down(down) => down::run(down.keep_services, place, out).await,
        Command::Status(status) => status::run(&status, place, out).await,
        Command::Top => crate::top::run(place, out).await,
        Command::Start(act) => act::settle(act::Verb::Start, act, place, out).await,
        Command::Stop(act) => act::settle(act::Verb::Stop, act, place, out).await,
        Command::Restart(act) => act::settle(act::Verb::Restart, act, place, out).await,
        Command::Reload(act) => act::settle(act::Verb::Reload, act, place, out).await,
        Command::Signal(signal) => act::signal(signal, place, out).await,
        Command::Reset(whom) => act::reset(whom, place, out).await,
        Command::Pause(pause) => act::pause(pause, place, out).await,
        Command::Resume(whom) => act::resume(whom, place, out).await,
        Command::Logs(logs) => logs::run(&logs, place, out).await,
        Command::Describe(describe) => describe::run(&describe.service, place, out).await,
        Command::Why(why) => events::why(why, place, out).await,
        Command::Events(events) => events::journal(events, place, out).await,
        Command::Run(run) => added::run(run, place, out).await,
        Command::Remove(remove) => added::remove(remove, place, out).await,
        Command::Plan => config::plan(place, out).await,
        Command::Apply => config::apply(place, out).await,
        Command::Upgrade(upgrade) => upgrade::run(upgrade, place, out).await,
        Command::Completions(_) | Command::Check(_) => Ok(Done::Well),
    }
}

fn completions(shell: clap_complete::Shell, out: &mut Out) -> Result<Done, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "ctl", &mut script);
    out.bytes(&script)?;
    Ok(Done::Well)
}
