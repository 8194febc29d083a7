//! Reads when certificates expire. Untrusted bytes never panic here.

use std::path::Path;

use super::tls::{TlsError, certificates};

/// Returns the earliest expiry of the certificates in a PEM file, in seconds since 1970.
pub fn of_file(path: &Path) -> Result<Option<i64>, TlsError> {
    Ok(certificates(path)?.iter().filter_map(|der| of(der)).min())
}

/// Returns when a certificate expires, in seconds since 1970. Returns `None` if the bytes are no certificate.
pub fn of(der: &[u8]) -> Option<i64> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issued(year: i32) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(vec!["a".into()]).expect("a name");
        params.not_after = rcgen::date_time_ymd(year, 2, 28);
        let key = rcgen::KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("signed").der().to_vec()
    }

    #[test]
    fn both_ways_of_writing_a_time_are_read() {
        assert_eq!(of(&issued(2031)), Some(1_930_003_200));
        assert_eq!(of(&issued(2099)), Some(4_075_920_000));
        assert_eq!(of(b"no certificate"), None);
    }

    #[test]
    fn what_is_cut_off_or_flipped_ends_nobody() {
        let good = issued(2031);
        for at in 0..good.len() {
            let _ = of(&good[..at]);
            for value in [0, 0x7f, 0x80, 0x84, 0xff] {
                let mut bad = good.clone();
                bad[at] = value;
                let _ = of(&bad);
            }
        }
    }
}
