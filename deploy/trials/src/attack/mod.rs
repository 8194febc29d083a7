//! `cargo deploy attack`: plays a hostile monitor against a supervisor, and reports which attacks succeed.
//!
//! | module | what it holds |
//! |---|---|
//! | `attacker` | the hostile monitor: its calls, and the answers it gets |
//! | `acts` | one function per attack |
//! | `breach` | what an attack achieves that it must not |
//!
//! The supervisor's file gives the attacker a name, a check kind of its own, and two checks of that kind on
//! one service: one that restarts, and one with `on_failure = "report"`. The victim is a check of another
//! monitor. The effects visible to a user (`ctl status`, `why`, memory) must be observed separately;
//! nothing here waits for the supervisor to recover.

mod acts;
mod attacker;
mod breach;

use std::io::Write;
use std::time::Duration;

use proto::Endpoint;
use tokio::time::Instant;

use crate::Failure;
use crate::conformance::Shown;
use attacker::Attacker;

/// What may stand on the command line.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Where the supervisor listens: unix://, http:// or https://
    #[arg(long, value_name = "URI")]
    pub supervisor: String,
    /// Who the attacker is, over TCP
    #[command(flatten)]
    pub shown: Shown,
    /// Its name in the supervisor's file
    #[arg(long, default_value = "evil")]
    pub monitor: String,
    /// The service that has its checks
    #[arg(long)]
    pub service: String,
    /// Its check that restarts the service
    #[arg(long, default_value = "own")]
    pub own: String,
    /// Its check that is only reported
    #[arg(long, default_value = "told")]
    pub told: String,
    /// The check of another monitor, of the same service
    #[arg(long, default_value = "port")]
    pub victim: String,
    /// All of it again and again for so long, at once
    #[arg(long, default_value_t = 0.0)]
    pub minutes: f64,
    /// Only these attacks
    #[arg(long, value_name = "ATTACK")]
    pub only: Vec<String>,
}

/// Runs the attacks; returns whether the supervisor resisted all of them.
pub fn start(args: &Args, out: &mut dyn Write) -> Result<bool, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(attack(args, out))
}

async fn attack(args: &Args, out: &mut dyn Write) -> Result<bool, Failure> {
    let endpoint = Endpoint::parse(&args.supervisor).map_err(|error| Failure::Play(error.to_string()))?;
    let chosen: Vec<_> = acts::ALL
        .into_iter()
        .filter(|(name, ..)| args.only.is_empty() || args.only.iter().any(|only| only == name))
        .collect();
    let until = Instant::now() + Duration::from_secs_f64(args.minutes * 60.0);
    let (mut rounds, mut held, mut broken) = (0_u64, 0, 0);
    loop {
        for (name, text, act) in &chosen {
            let mut attacker = Attacker::new(&endpoint, args)?;
            match act(&mut attacker).await {
                Ok(()) if rounds == 0 => {
                    held += 1;
                    writeln!(out, "held       {name}: {text}")?;
                }
                Ok(()) => {}
                Err(why) => {
                    broken += 1;
                    writeln!(out, "BROKEN     {name}: {why}\n           what must hold: {text}")?;
                }
            }
            out.flush()?;
        }
        rounds += 1;
        if Instant::now() >= until {
            break;
        }
    }
    writeln!(out, "{held} attacks held, {broken} broken, {rounds} rounds")?;
    Ok(broken == 0)
}
