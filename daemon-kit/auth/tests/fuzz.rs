//! Feeds the decoders of credentials with malformed bytes. `SERENO_FUZZ=1000000` sets how many.

#[path = "../../../fuzz/mutate.rs"]
mod mutate;

#[test]
fn fuzz_a_file_of_tokens() {
    mutate::fed("tokens", 20_000, |_, bytes| sereno_auth::fuzz::tokens(bytes));
}

#[test]
fn fuzz_certificates_and_keys() {
    mutate::fed("pem", 5_000, |_, bytes| sereno_auth::fuzz::pem(bytes));
}
