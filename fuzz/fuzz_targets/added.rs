#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| supervisor::hostile::feed("added", bytes));
