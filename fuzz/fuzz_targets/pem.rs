#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sereno_auth::fuzz::pem(bytes));
