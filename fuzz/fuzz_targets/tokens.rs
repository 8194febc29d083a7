#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| daemon_kit::hostile::feed("tokens", bytes));
