//! The commands, one file per family.
//!
//! | module | commands |
//! |---|---|
//! | [`up`], [`spawn`] | `up` |
//! | [`down`] | `down` |
//! | [`status`] | `status` |
//! | [`crate::top`] | `top`, in its own module |
//! | [`act`] | `start`, `stop`, `restart`, `reload`, `signal`, `reset`, `pause`, `resume` |
//! | [`added`] | `run`, `remove` |
//! | [`logs`] | `logs` |
//! | [`events`] | `why`, `events` |
//! | [`incidents`] | `incidents` |
//! | [`describe`] | `describe` |
//! | [`init`], [`import`], [`mod@write`] | `init`, `import` |
//! | [`doctor`] | `doctor` |
//! | [`context`], [`token`], [`mod@pki`] | the commands of these names: remote supervisors and permissions |
//! | [`config`] | `check`, `plan`, `apply` |
//!
//! [`manual`] has `completions`, `schema` and the man pages; [`startup`] installs the start at boot.

mod act;
mod added;
mod config;
mod context;
mod describe;
mod disk;
mod doctor;
mod down;
mod events;
mod habit;
mod import;
mod incidents;
mod init;
mod logs;
mod manual;
mod pki;
mod replace;
mod settle;
mod spawn;
mod startup;
mod status;
mod token;
mod up;
mod upgrade;
mod write;

pub(crate) use status::gather;

use crate::args::{Args, Command};
use crate::complete;
use crate::failure::{Done, Failure, note};
use crate::out::Out;
use crate::place::Place;

/// Runs the given command.
pub(crate) async fn run(args: Args, out: &mut Out) -> Result<Done, Failure> {
    let file = args.file.as_deref();
    // These commands need neither a file nor a daemon.
    match args.command {
        Command::Completions(wanted) => return manual::completions(wanted.shell, out),
        Command::Check(check) => return config::check(file, check.path.as_deref(), out),
        Command::Schema => return manual::schema(out),
        Command::Man(man) => return manual::man(&man.folder, out),
        Command::Reference => return manual::reference(out),
        Command::Init(init) => return init::run(&init, out),
        Command::Pki(pki) => return pki::run(&pki, out),
        Command::Context(context) => return context::run(&context.what, out),
        Command::Import(import) => return import::run(import, out).await,
        _ => {}
    }
    let place = &Place::asked(file, &args.remote)?;
    if let (Some(by), Some(verb)) = (&place.elsewhere, needs_the_machine(&args.command)) {
        let endpoint = &place.located.supervisor;
        return Err(Failure::Usage(format!(
            "{verb} works only on the supervisor's own machine, and {endpoint} is meant (by {by}); -f names a file here"
        )));
    }
    let reading = if reads_only(&args.command) { disk::instead_of_supervisor(place).await } else { None };
    if reading.is_some() {
        note("the supervisor is not running; read from disk");
    }
    let place = reading.as_ref().map_or(place, |reading| &reading.place);
    let done = match args.command {
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
        Command::Incidents(which) => incidents::run(which, place, out).await,
        Command::Startup(startup) => startup::run(&startup, place, out),
        Command::Doctor => doctor::run(place, out).await,
        Command::Token(token) => token::run(&token.what, place, out),
        Command::Run(run) => added::run(run, place, out).await,
        Command::Remove(remove) => added::remove(remove, place, out).await,
        Command::Plan => config::plan(place, out).await,
        Command::Apply(other) => config::apply(other.replace, place, out).await,
        Command::Save => habit::save(place, out),
        Command::Resurrect => habit::resurrect(place, out),
        Command::Upgrade(upgrade) => upgrade::run(upgrade, place, out).await,
        // These were handled above.
        Command::Completions(_)
        | Command::Check(_)
        | Command::Init(_)
        | Command::Import(_)
        | Command::Schema
        | Command::Pki(_)
        | Command::Context(_)
        | Command::Man(_)
        | Command::Reference => Ok(Done::Well),
    };
    done.map_err(|failure| hinted(failure, place))
}

/// Returns whether a command only tells what has happened, which is also known where no supervisor runs.
fn reads_only(command: &Command) -> bool {
    match command {
        Command::Logs(logs) => !logs.follow,
        Command::Events(events) => !events.follow,
        Command::Describe(describe) => describe.service != "supervisor",
        Command::Why(_) | Command::Incidents(_) => true,
        _ => false,
    }
}

/// Returns the name of a command that can not be used remotely, because it reads or writes files of the
/// supervisor's machine.
fn needs_the_machine(command: &Command) -> Option<&'static str> {
    Some(match command {
        Command::Up(_) => "up",
        Command::Down(_) => "down",
        Command::Plan => "plan",
        Command::Apply(_) => "apply",
        Command::Run(_) => "run",
        Command::Doctor => "doctor",
        Command::Startup(_) => "startup",
        Command::Token(_) => "token",
        _ => return None,
    })
}

/// Adds a similar name to the message if a name is unknown.
fn hinted(mut failure: Failure, place: &Place) -> Failure {
    if let Failure::Unknown { name: typed, hint, .. } = &mut failure
        && let Some(config) = place.settings()
    {
        let names: Vec<&str> =
            config.services.keys().chain(config.monitors.keys()).map(proto::Name::as_str).collect();
        *hint = Some(match complete::nearest(typed, names.iter().copied()) {
            Some(name) => format!("did you mean \"{name}\"?"),
            None if names.len() > 12 => "\"ctl status\" has all names".into(),
            None => format!("there are: {}", names.join(", ")),
        });
    }
    failure
}
