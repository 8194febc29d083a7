//! `ctl`: one command that asks all three daemons, and tells the supervisor what is wanted.
//!
//! | module | what it holds |
//! |---|---|
//! | `args` | the command line |
//! | `place` | which `sereno.toml`, and so which home and endpoints |
//! | `context` | whom else to ask, and what shows who asks |
//! | `client` | talking to the daemons; the only one that knows gRPC |
//! | `commands` | what each command does, one file for each family |
//! | `draft`, `import` | a `sereno.toml` to be; another tool's file as one |
//! | `doctor` | what is wrong here |
//! | `complete` | names, for shells and for who mistyped one |
//! | `pki` | a small authority for daemons that talk over a network |
//! | `boot` | what starts a supervisor at boot |
//! | `view` | the answers of all daemons joined into one model |
//! | `wait` | pure: when a service has become what was asked for |
//! | `render` | pure: model to table, JSON or lines |
//! | `tool` | other programs that are asked something |
//! | `top` | the live screen: a pure model of it, and the loop around it |
//! | `out` | stdout and what may be written to it |
//! | `fuzz` | files that nobody meant: for fuzzers |
//! | `failure` | every way to fail, and its exit code |
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

/// All of it, with the arguments and the streams of this process.
pub fn main() -> ExitCode {
    // Answers a shell that asks what may stand there, and ends; else does nothing.
    clap_complete::CompleteEnv::with_factory(args::Args::command).complete();
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(usage) => {
            // Whoever closed the pipe does not want to read the help.
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
