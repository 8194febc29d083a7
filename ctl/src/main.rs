//! The program. Its code is in the library of this crate, so that fuzzers can call it too.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ctl::main()
}
