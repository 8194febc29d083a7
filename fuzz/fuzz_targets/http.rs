#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| health_monitor::hostile::feed("http", bytes));
