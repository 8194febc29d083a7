#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| health_monitor::fuzz::feed("http", bytes));
