//! Entry point: arguments → run → exit code.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match supervisor::run(&supervisor::Args::parse()) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(
                clippy::print_stderr,
                reason = "whoever started it reads this: a person, or ctl through a pipe"
            )]
            {
                eprintln!("supervisor: {error}");
            }
            ExitCode::from(error.exit_code())
        }
    }
}
