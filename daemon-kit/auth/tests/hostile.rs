//! Feeds the decoders of credentials with malformed bytes. `SERENO_FUZZ=1000000` sets how many.

#[path = "../../../fuzz/mutate.rs"]
mod mutate;

#[test]
fn a_file_of_tokens() {
    mutate::fed("tokens", 20_000, |_, bytes| sereno_auth::hostile::tokens(bytes));
}

#[test]
fn certificates_and_keys() {
    mutate::fed("pem", 5_000, |_, bytes| sereno_auth::hostile::pem(bytes));
}
