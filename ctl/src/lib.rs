//! `ctl`: queries all three daemons, and sends requests to the supervisor.
//!
//! | module | what it holds |
//! |---|---|
//! | `args` | the command line and its help |
//! | `place` | finds the `sereno.toml` to use, and with it the home and the endpoints |
//! | `context` | stored remote supervisors, and the credentials of this process |
//! | `client` | communicates with the daemons; the only module that uses gRPC |
//! | `commands` | the commands, one file per family |
//! | `draft`, `import` | drafts a new `sereno.toml`; converts another tool's file to one |
//! | `doctor` | diagnoses problems on this machine |
//! | `complete` | completes names in a shell, and suggests one for a mistyped name |
//! | `pki` | a small certificate authority |
//! | `boot` | renders the files that start a supervisor at boot |
//! | `view` | joins the answers of all daemons into one model |
//! | `wait` | pure: decides when a service has reached its goal |
//! | `render` | pure: renders the model as a table, JSON or lines |
//! | `tool` | runs other programs and returns their output |
//! | `top` | the live screen: a pure model, and the loop around it |
//! | `out` | writes to stdout |
//! | `fuzz` | entry points for fuzzers |
//! | `failure` | every error of a command, and its exit code |
//!
//! ```text
//! args -> place -> client -> view -> render -> out
//!                     '-> wait -'
//! ```

#![forbid(unsafe_code)]

mod args;
mod boot;
mod client;
mod commands;
mod complete;
mod context;
mod doctor;
mod draft;
mod failure;
pub mod fuzz;
mod import;
mod out;
mod pki;
mod place;
mod render;
mod tool;
mod top;
mod view;
mod wait;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

/// Runs the command with the arguments and the streams of this process.
pub fn main() -> ExitCode {
    // Exits here if a shell asks for completions.
    clap_complete::CompleteEnv::with_factory(args::Args::command).complete();
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(usage) => {
            // A closed pipe is no error: nobody reads the help any more.
            let _ = usage.print();
            return ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(2));
        }
    };
    let mut out = out::Out::stdout(args.json);
    let result = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failure::Failure::Start)
        .and_then(|runtime| {
            let result = runtime.block_on(commands::run(args, &mut out));
            runtime.shutdown_background();
            result
        });
    failure::exit_code(result.and_then(|done| out.flush().map(|()| done)))
}
