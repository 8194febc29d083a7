#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ctl::fuzz::feed("procfile", bytes));
