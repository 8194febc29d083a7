//! The command itself. What it does is in the library beside it, where fuzzers can reach it too.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ctl::main()
}
