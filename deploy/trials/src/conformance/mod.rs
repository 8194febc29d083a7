//! `cargo deploy conformance`: plays a supervisor to test a monitor of any kind and language, and reports
//! the rules that it breaks.
//!
//! | module | what it holds |
//! |---|---|
//! | `stage` | the played supervisor: sends sets of targets, records the monitor's calls |
//! | `wire` | the arbiter's three calls on the wire, also in a newer version |
//! | `world` | the target of the monitor, healthy or failing as the test needs |
//! | `monitor` | the monitor under test, and its service |
//! | `way` | the connection to it: a socket, a port with a token, TLS |
//! | `rules` | the rules, one function each, in the order in which they are tested |
//!
//! The rules are those of `proto/sereno/v1/{arbiter,monitor}.proto`. A rule that can not be tested is
//! reported as such.

mod monitor;
mod rules;
mod stage;
mod way;
mod wire;
mod world;

use std::borrow::Cow;
use std::io::Write;

use proto::Endpoint;

use crate::Failure;
pub use way::Shown;
pub(crate) use way::{Way, socket, to as way_to};

use monitor::Monitor;
use stage::Stage;
use world::World;

/// What may stand on the command line.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Where the monitor serves: unix://, http:// or https://; without PROGRAM it runs already [default with PROGRAM: a
    /// place of its own]
    #[arg(long, value_name = "URI", required_unless_present = "program")]
    pub endpoint: Option<String>,
    /// Where the supervisor is played; a running monitor attaches there [default: a place of its own]
    #[arg(long, value_name = "URI", required_unless_present = "program")]
    pub supervisor: Option<String>,
    /// Who asks the monitor, over TCP
    #[command(flatten)]
    pub shown: way::Shown,
    /// The check kind to try [default: the first that it attaches for]
    #[arg(long)]
    pub kind: Option<String>,
    /// An option of every target; for kinds other than http and tcp
    #[arg(long = "option", value_name = "KEY=VALUE", value_parser = pair)]
    pub options: Vec<(String, String)>,
    /// What makes a target fail, for kinds other than http and tcp
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub failing: Vec<(String, String)>,
    /// Try only these rules
    #[arg(long, value_name = "RULE")]
    pub only: Vec<String>,
    /// Show what the monitor writes on stderr
    #[arg(long)]
    pub verbose: bool,
    /// The monitor's program and its arguments
    #[arg(last = true)]
    pub program: Vec<String>,
}

fn pair(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
    Ok((key.into(), value.into()))
}

/// What a monitor does against a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Complaint(Cow<'static, str>);

impl<T: Into<Cow<'static, str>>> From<T> for Complaint {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

/// Result of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Kept,
    Broken(Complaint),
    NotTried(&'static str),
}

/// Runs the tests; returns whether the monitor kept every tested rule.
pub fn start(args: &Args, out: &mut dyn Write) -> Result<bool, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(play(args, out))
}

async fn play(args: &Args, out: &mut dyn Write) -> Result<bool, Failure> {
    let folder = tempfile::Builder::new().prefix("sereno-play-").tempdir()?;
    let place = |uri: &Option<String>, name: &str| {
        let own = || format!("unix://{}", folder.path().join(name).display());
        let uri = uri.clone().unwrap_or_else(own);
        Endpoint::parse(&uri).map_err(|error| Failure::Play(error.to_string()))
    };
    let (supervisor, endpoint) =
        (place(&args.supervisor, "supervisor.sock")?, place(&args.endpoint, "monitor.sock")?);
    let stage = Stage::open(&supervisor)?;
    let mut monitor = Monitor::start(&args.program, args.verbose, &supervisor, endpoint, &args.shown)?;
    if args.program.is_empty() {
        writeln!(out, "waiting for a monitor that attaches to {supervisor}")?;
    }
    let Some(hello) = stage.first_hello().await else {
        writeln!(out, "WRONG      attach: nobody called WatchTargets within 30 s (see --verbose)")?;
        monitor.end().await;
        return Ok(false);
    };
    let kind = args.kind.clone().unwrap_or_else(|| hello.kind.clone());
    stage.of_kind(&kind);
    writeln!(out, "{} {} serves {kind}", hello.monitor, hello.version)?;
    let world = World::of(&kind, &args.options, &args.failing).await?;
    let mut play = rules::Play { stage, world, monitor, incarnation: 0 };
    let (mut kept, mut broken, mut untried) = (0, 0, 0);
    for (name, text, act) in rules::ALL {
        if !args.only.is_empty() && !args.only.iter().any(|only| only == name) {
            continue;
        }
        let line = match act(&mut play).await {
            Verdict::Kept => {
                kept += 1;
                format!("kept       {name}: {text}")
            }
            Verdict::Broken(why) => {
                broken += 1;
                format!("WRONG      {name}: {why}\n           the rule: {text}")
            }
            Verdict::NotTried(why) => {
                untried += 1;
                format!("not tried  {name}: {why}")
            }
        };
        writeln!(out, "{line}")?;
        out.flush()?;
    }
    play.monitor.end().await;
    writeln!(out, "{kept} rules kept, {broken} broken, {untried} not tried")?;
    Ok(broken == 0)
}
