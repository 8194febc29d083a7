//! Bytes from outside, each with the code that takes them: what fuzzers and the tests call. Whatever the bytes are, nothing
//! here panics, hangs, or keeps more than a small multiple of them.

/// A file of tokens.
pub fn tokens(bytes: &[u8]) {
    crate::tokens::hostile(bytes);
}

/// Certificates and a key.
pub fn pem(bytes: &[u8]) {
    crate::tls::hostile(bytes);
}
