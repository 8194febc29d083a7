//! Creates certificates for tests.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
    date_time_ymd,
};
use sereno_auth::{TlsFiles, secret};

/// An authority, and a folder with the certificates that it signed.
pub(crate) struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(folder: &Path) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let cert = params.self_signed(&key).expect("signed");
        fs::create_dir_all(folder).expect("made");
        fs::write(folder.join("ca.pem"), cert.pem()).expect("written");
        Self { folder: folder.into(), issuer: Issuer::new(params, key) }
    }

    /// Issues a certificate with these URIs, valid until the end of that year.
    pub(crate) fn issue(&self, name: &str, uris: &[&str], until: i32) -> TlsFiles {
        let mut params = CertificateParams::new(vec!["localhost".into(), "127.0.0.1".into()]).expect("names");
        let uri = |uri: &&str| SanType::URI((*uri).try_into().expect("ascii"));
        params.subject_alt_names.extend(uris.iter().map(uri));
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.not_after = date_time_ymd(until, 12, 31);
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.issuer).expect("signed");
        let path = |ending: &str| self.folder.join(format!("{name}{ending}"));
        let files = TlsFiles { ca: self.folder.join("ca.pem"), cert: path(".pem"), key: path(".key") };
        fs::write(&files.cert, cert.pem()).expect("written");
        secret::write(&files.key, &key.serialize_pem()).expect("written");
        files
    }
}
