//! The command line, as clap reads it.

pub(crate) mod access;
pub(crate) mod past;
pub(crate) mod setup;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as Group, Parser, Subcommand};
use clap_complete::ArgValueCandidates;

use crate::complete;

/// Keeps services up, and says why when they were not.
#[derive(Debug, Parser)]
#[command(
    name = "ctl",
    version,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    max_term_width = 80
)]
#[command(after_help = "\
Exit codes: 0 done, all well; 1 something is not as wanted; 2 usage or config
error; 3 the supervisor can not be reached.")]
pub(crate) struct Args {
    /// The sereno.toml to use (before the command; after it -f is --follow)
    /// [default: `SERENO_CONFIG`, else the nearest from here upwards, else the
    /// user's, else the system's]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Answer in JSON, with nothing else on stdout
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) remote: access::Remote,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start everything, or apply the file if it runs already
    Up(Up),
    /// Stop the services in reverse order, then the daemons
    Down(Down),
    /// Show all daemons, services and checks
    #[command(aliases = ["ls", "list", "ps"])]
    Status(StatusArgs),
    /// Watch everything on one screen, with keys to act
    #[command(alias = "monit")]
    Top,
    /// Start services and wait until they are ready
    Start(Act),
    /// Stop services and wait until nothing of them is left
    Stop(Act),
    /// Stop and start services, and wait until they are ready
    Restart(Act),
    /// Start a new run beside the old one, then end the old one
    Reload(Act),
    /// Send a signal to the processes of services
    Signal(Signal),
    /// Forget crashes and restarts, and try again what was given up
    Reset(Whom),
    /// Do not restart for failing checks, for a while or until resumed
    Pause(Pause),
    /// End a pause
    Resume(Whom),
    /// Show what services wrote
    Logs(Logs),
    /// Show everything about one service or daemon
    #[command(alias = "show")]
    Describe(Describe),
    /// Show what led to the last restart of a service
    Why(past::Why),
    /// Show what happened, oldest first
    Events(past::Events),
    /// Show when services did not serve, why, and what healed them
    Incidents(past::Incidents),
    /// Validate the file
    Check(Check),
    /// Show what applying the file would do to each service
    Plan,
    /// Apply the file
    Apply(OtherFile),
    /// Keep a command up that no file names
    Run(Run),
    /// Stop and forget services that `run` added
    #[command(alias = "delete")]
    Remove(Remove),
    /// Replace the running supervisor by another program, in place
    Upgrade(Upgrade),
    /// Write a first sereno.toml from what is in this folder
    Init(setup::Init),
    /// Make a sereno.toml of the file of another tool
    Import(setup::Import),
    /// Keep supervisors elsewhere by name, and ask one of them
    Context(access::Context),
    /// Say who may come in with a token
    Token(access::Token),
    /// Make keys and certificates for daemons on a network
    Pki(access::Pki),
    /// Look for what is wrong here, and say what to do about it
    Doctor,
    /// Start the supervisor at boot
    Startup(setup::Startup),
    /// Print what makes a shell complete commands and the names of services
    Completions(Completions),
    /// Print the JSON Schema of sereno.toml, for editors
    Schema,
    /// Nothing is to be saved: the file is the truth
    #[command(hide = true, alias = "dump")]
    Save,
    /// Nothing is to be resurrected: what was up comes back by itself
    #[command(hide = true)]
    Resurrect,
    /// Write man pages
    #[command(hide = true)]
    Man(setup::Man),
    /// Print every command in Markdown
    #[command(hide = true)]
    Reference,
}

#[derive(Debug, Group)]
pub(crate) struct Up {
    /// Return at once instead of showing the logs
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Return when everything is ready, or say what is not
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long --wait waits
    #[arg(long, value_name = "TIME", default_value = "90s", value_parser = duration)]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) other: OtherFile,
}

/// What happens where the home runs another file.
#[derive(Debug, Group)]
pub(crate) struct OtherFile {
    /// Also if another file runs in the same home: its services are stopped,
    /// unless this file has them too
    #[arg(long)]
    pub(crate) replace: bool,
}

#[derive(Debug, Group)]
pub(crate) struct Down {
    /// Leave the services running; the next `up` takes them over
    #[arg(long)]
    pub(crate) keep_services: bool,
}

#[derive(Debug, Group)]
pub(crate) struct StatusArgs {
    /// Names, globs, tag:x [default: all]
    #[arg(value_name = "SERVICE", add = ArgValueCandidates::new(complete::everyone))]
    pub(crate) services: Vec<String>,
    /// Stay, and show every change
    #[arg(short, long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Group)]
pub(crate) struct Whom {
    /// Names, globs, tag:x
    #[arg(value_name = "SERVICE", required_unless_present = "all", add = ArgValueCandidates::new(complete::everyone))]
    pub(crate) services: Vec<String>,
    /// Every service
    #[arg(long, conflicts_with = "services")]
    pub(crate) all: bool,
}

#[derive(Debug, Group)]
pub(crate) struct Act {
    #[command(flatten)]
    pub(crate) whom: Whom,
    /// How long to wait for the result
    #[arg(long, value_name = "TIME", default_value = "90s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Group)]
pub(crate) struct Signal {
    /// HUP, SIGHUP or a number
    #[arg(value_name = "SIGNAL")]
    pub(crate) which: String,
    #[command(flatten)]
    pub(crate) whom: Whom,
    /// Only to the process that was started, not to its children
    #[arg(long)]
    pub(crate) main: bool,
}

#[derive(Debug, Group)]
pub(crate) struct Pause {
    #[command(flatten)]
    pub(crate) whom: Whom,
    /// End the pause after this time
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub(crate) time: Option<Duration>,
}

#[derive(Debug, Group)]
pub(crate) struct Logs {
    /// Names, globs, tag:x, names of daemons [default: every service]
    #[arg(value_name = "SERVICE", add = ArgValueCandidates::new(complete::everyone))]
    pub(crate) services: Vec<String>,
    /// Go on with what is written from now on
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// The last so many lines of each output [default: 50; all with --since or
    /// --grep]
    #[arg(short = 'n', long, value_name = "COUNT")]
    pub(crate) lines: Option<u32>,
    /// Only what is not older than this
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) since: Option<Duration>,
    /// Only lines that match this regular expression; (?i) before it ignores
    /// case
    #[arg(short, long, value_name = "REGEX")]
    pub(crate) grep: Option<String>,
    /// Only stdout
    #[arg(long, conflicts_with = "stderr")]
    pub(crate) stdout: bool,
    /// Only stderr
    #[arg(long)]
    pub(crate) stderr: bool,
}

#[derive(Debug, Group)]
pub(crate) struct Describe {
    /// Name of a service or daemon
    #[arg(value_name = "SERVICE", add = ArgValueCandidates::new(complete::everyone))]
    pub(crate) service: String,
}

#[derive(Debug, Group)]
pub(crate) struct Check {
    /// [default: the file that `up` would take]
    #[arg(value_name = "FILE")]
    pub(crate) path: Option<PathBuf>,
}

#[derive(Debug, Group)]
pub(crate) struct Run {
    /// What to call it
    #[arg(short, long)]
    pub(crate) name: String,
    /// The port it listens on: it is ready when it does, and checked from then
    /// on
    #[arg(short, long)]
    pub(crate) port: Option<u16>,
    /// The URL that answers while it is well
    #[arg(long, value_name = "URL")]
    pub(crate) health: Option<String>,
    /// Where it runs [default: here]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) cwd: Option<PathBuf>,
    /// A variable of its environment, on top of this one's
    #[arg(short = 'e', long = "env", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) vars: Vec<(String, String)>,
    /// How long to wait until it is ready
    #[arg(long, value_name = "TIME", default_value = "90s", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// The program and its arguments, after --
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Group)]
pub(crate) struct Remove {
    /// Names
    #[arg(value_name = "SERVICE", required = true)]
    pub(crate) services: Vec<String>,
    /// How long to wait until nothing of them is left
    #[arg(long, value_name = "TIME", default_value = "90s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Group)]
pub(crate) struct Upgrade {
    /// The new program [default: the one the supervisor was started from]
    #[arg(long, value_name = "PATH")]
    pub(crate) binary: Option<PathBuf>,
}

#[derive(Debug, Group)]
pub(crate) struct Completions {
    /// Which shell
    pub(crate) shell: clap_complete::Shell,
}

/// An argument that can not be parsed; holds examples of what can.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("write {0}")]
struct Malformed(&'static str);

/// Parses `NAME=VALUE`.
fn pair(text: &str) -> Result<(String, String), Malformed> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err(Malformed("NAME=VALUE")),
    }
}

/// Parses `500ms` or `1h30m`; a bare number is seconds, as in other tools.
fn duration(text: &str) -> Result<Duration, Malformed> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    humantime::parse_duration(text).map_err(|_| Malformed("500ms, 5s or 1h30m"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_holds_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn f_is_the_file_before_the_verb_and_follow_after_it() {
        let args = parse("ctl -f a.toml logs -f web").expect("parses");
        assert_eq!(args.file, Some(PathBuf::from("a.toml")));
        let Command::Logs(logs) = args.command else { panic!("not logs: {:?}", args.command) };
        assert!(logs.follow);
        assert_eq!(logs.services, ["web"]);
    }

    #[test]
    fn json_may_stand_on_either_side() {
        assert!(parse("ctl --json ps").expect("parses").json);
        assert!(parse("ctl ps --json").expect("parses").json);
    }

    #[test]
    fn commands_that_change_something_want_to_know_whom() {
        for line in
            ["ctl start", "ctl stop --all web", "ctl signal HUP", "ctl pause --for 3x web", "ctl nonsense"]
        {
            assert_eq!(parse(line).expect_err(line).exit_code(), 2, "{line}");
        }
        for line in ["ctl start --all", "ctl stop a b", "ctl signal HUP web", "ctl pause --for 30m web"] {
            parse(line).expect(line);
        }
    }

    #[test]
    fn a_command_to_run_keeps_its_own_flags() {
        let args = parse("ctl run -n web -e A=b=c --port 80 -- npm run dev --port 1 -f").expect("parses");
        let Command::Run(run) = args.command else { panic!("not run: {:?}", args.command) };
        assert_eq!(run.command, ["npm", "run", "dev", "--port", "1", "-f"]);
        assert_eq!((run.port, &*run.vars), (Some(80), &[("A".into(), "b=c".into())][..]));
        assert!(parse("ctl run -n web").is_err() && parse("ctl run -n web -e A -- x").is_err());
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert!(duration("soon").is_err());
    }
}
