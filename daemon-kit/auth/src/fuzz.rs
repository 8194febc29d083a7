//! Entry points for fuzzers and tests: untrusted bytes with the code that decodes them. For any bytes,
//! nothing here may panic, hang, or allocate more than a small multiple of the input.

/// Decodes a file of tokens.
pub fn tokens(bytes: &[u8]) {
    crate::tokens::fuzz(bytes);
}

/// Decodes certificates and a key.
pub fn pem(bytes: &[u8]) {
    crate::tls::fuzz(bytes);
}
