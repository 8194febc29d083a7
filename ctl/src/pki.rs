//! A small certificate authority: keys and certificates with a role, in one folder.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use proto::Name;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use sereno_auth::{Identity, tls};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::failure::Failure;

/// Certificates are valid from this time before now, because clocks differ slightly.
const BEFORE: Duration = Duration::from_secs(300);

/// Folder of an authority.
pub(crate) struct Folder(pub(crate) PathBuf);

/// Content of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// First name of the subject.
    pub(crate) subject: String,
    /// Host names and addresses at which the holder listens.
    pub(crate) hosts: Vec<String>,
    /// Identity of the holder; `None` if the certificate names no role.
    pub(crate) identity: Option<Identity>,
    /// Expiry of the certificate.
    pub(crate) ends: SystemTime,
}

fn refused(what: &str, why: impl std::fmt::Display) -> Failure {
    Failure::Refused(format!("{what}: {why}"))
}

impl Folder {
    fn path(&self, name: &str, ending: &str) -> PathBuf {
        self.0.join(format!("{name}.{ending}"))
    }

    /// Returns the path of a certificate.
    pub(crate) fn cert(&self, name: &str) -> PathBuf {
        self.path(name, "pem")
    }

    /// Returns the path of a private key.
    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.path(name, "key")
    }

    /// Creates an authority, unless one exists.
    pub(crate) fn init(&self, valid: Duration) -> Result<(), Failure> {
        let (cert, key) = (self.cert("ca"), self.key("ca"));
        if cert.exists() || key.exists() {
            let why = "there is an authority already, and what it signed would be worth nothing";
            return Err(Failure::Usage(format!("{}: {why}", self.0.display())));
        }
        make_folder(&self.0)?;
        let pair = KeyPair::generate().map_err(|error| refused("make a key", error))?;
        let mut params = CertificateParams::default();
        // The random name keeps two authorities apart.
        let id: String = sereno_auth::tokens::hex(&params.key_identifier(&pair)).chars().take(8).collect();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, format!("sereno authority {id}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        last(&mut params, valid);
        let made = params.self_signed(&pair).map_err(|error| refused("sign the authority", error))?;
        write_secret(&key, &pair.serialize_pem())?;
        write(&cert, &made.pem())
    }

    /// Creates a key and a certificate for an identity.
    pub(crate) fn issue(
        &self,
        identity: &Identity,
        hosts: &[String],
        valid: Duration,
    ) -> Result<(), Failure> {
        let name = &identity.name;
        if name.as_str() == "ca" {
            return Err(Failure::Usage("\"ca\" is the authority itself: give another name".into()));
        }
        let (authority, ends) = self.authority()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name.as_str());
        params.distinguished_name.push(DnType::OrganizationalUnitName, identity.role.word());
        for host in hosts {
            let san = match host.parse::<IpAddr>() {
                Ok(ip) => SanType::IpAddress(ip),
                Err(_) => SanType::DnsName(text(host)?),
            };
            params.subject_alt_names.push(san);
        }
        for uri in tls::uris(identity) {
            params.subject_alt_names.push(SanType::URI(text(&uri)?));
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        last(&mut params, valid);
        if SystemTime::now() + valid > ends {
            params.not_after = ends.into();
        }
        let pair = KeyPair::generate().map_err(|error| refused("make a key", error))?;
        let made = params.signed_by(&pair, &authority).map_err(|error| refused("sign it", error))?;
        write_secret(&self.key(name.as_str()), &pair.serialize_pem())?;
        write(&self.cert(name.as_str()), &made.pem())
    }

    fn authority(&self) -> Result<(Issuer<'static, KeyPair>, SystemTime), Failure> {
        let (cert, key) = (self.cert("ca"), self.key("ca"));
        if !cert.exists() {
            let why = "there is no authority here: \"ctl pki init\" makes one";
            return Err(Failure::Usage(format!("{}: {why}", self.0.display())));
        }
        let pem = sereno_auth::secret::read(&key).map_err(|error| Failure::Refused(error.to_string()))?;
        let pair =
            KeyPair::from_pem(&pem).map_err(|error| refused(&format!("read {}", key.display()), error))?;
        let text =
            fs::read_to_string(&cert).map_err(|error| refused(&format!("read {}", cert.display()), error))?;
        let issuer = Issuer::from_ca_cert_pem(&text, pair)
            .map_err(|error| refused(&format!("read {}", cert.display()), error))?;
        Ok((issuer, read(&cert)?.ends))
    }

    /// Returns all certificates in the folder, with their names.
    pub(crate) fn everybody(&self) -> Vec<(String, Certificate)> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        let named = paths.filter(|path| path.extension().is_some_and(|ending| ending == "pem"));
        let mut all: Vec<_> = named
            .filter_map(|path| Some((path.file_stem()?.to_str()?.to_owned(), read(&path).ok()?)))
            .filter(|(name, _)| name != "ca" && Name::new(name).is_ok())
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }
}

fn last(params: &mut CertificateParams, valid: Duration) {
    let now = SystemTime::now();
    params.not_before = (now - BEFORE).into();
    params.not_after = (now + valid).into();
}

fn text<T: for<'a> TryFrom<&'a str>>(text: &str) -> Result<T, Failure> {
    T::try_from(text).map_err(|_| Failure::Usage(format!("{text:?} can not stand in a certificate")))
}

fn make_folder(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| refused(&format!("make {}", folder.display()), error))?;
    // Keys must not be committed to a repository.
    write(&folder.join(".gitignore"), "*.key\n")
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| refused(&format!("write {}", path.display()), error))
}

fn write_secret(path: &Path, text: &str) -> Result<(), Failure> {
    sereno_auth::secret::write(path, text)
        .map_err(|error| refused(&format!("write {}", path.display()), error))
}

/// Reads the first certificate of a file.
pub(crate) fn read(path: &Path) -> Result<Certificate, Failure> {
    let what = format!("read {}", path.display());
    let bytes = fs::read(path).map_err(|error| refused(&what, error))?;
    let pem = x509_parser::pem::parse_x509_pem(&bytes);
    let (_, pem) = pem.map_err(|_| refused(&what, "there is no certificate in it"))?;
    let parsed = X509Certificate::from_der(&pem.contents);
    let (_, cert) = parsed.map_err(|_| refused(&what, "there is no certificate in it"))?;
    let subject = cert.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    let mut hosts = Vec::new();
    let mut uris = Vec::new();
    let names = cert.subject_alternative_name().ok().flatten();
    for name in names.iter().flat_map(|names| &names.value.general_names) {
        match name {
            GeneralName::DNSName(name) => hosts.push((*name).to_owned()),
            GeneralName::URI(uri) => uris.push(*uri),
            GeneralName::IPAddress(bytes) => hosts.extend(address(bytes).map(|ip| ip.to_string())),
            _ => {}
        }
    }
    let seconds = u64::try_from(cert.validity().not_after.timestamp()).unwrap_or(0);
    Ok(Certificate {
        subject: subject.unwrap_or("?").to_owned(),
        identity: tls::named(uris.into_iter()).ok(),
        hosts,
        ends: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
    })
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
    }
}

#[cfg(test)]
mod tests {
    use proto::Role;

    use super::*;

    const DAY: Duration = Duration::from_secs(86400);

    fn who(name: &str, role: Role) -> Identity {
        let services = (role == Role::Monitor).then(|| ["web".parse().expect("a name")].into());
        Identity { name: name.parse().expect("a name"), role, services }
    }

    #[test]
    fn what_is_issued_is_what_the_daemons_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let pki = Folder(folder.path().join("pki"));
        assert!(
            matches!(pki.issue(&who("a", Role::Viewer), &[], DAY), Err(Failure::Usage(_))),
            "no authority"
        );
        pki.init(DAY * 30).expect("made");
        assert!(matches!(pki.init(DAY), Err(Failure::Usage(_))), "the old one is not overwritten");
        let hosts = ["10.0.0.1".to_owned(), "web.example.org".into(), "::1".into()];
        pki.issue(&who("probe", Role::Monitor), &hosts, DAY * 90).expect("issued");
        let read = read(&pki.cert("probe")).expect("read");
        assert_eq!((read.subject.as_str(), read.identity), ("probe", Some(who("probe", Role::Monitor))));
        assert_eq!(read.hosts, ["10.0.0.1", "web.example.org", "::1"]);
        let left = read.ends.duration_since(SystemTime::now()).expect("later");
        assert!(left <= DAY * 30, "not longer than the authority: {left:?}");
        let tls =
            sereno_auth::TlsFiles { ca: pki.cert("ca"), cert: pki.cert("probe"), key: pki.key("probe") };
        let material = tls.load().expect("loads");
        material.client().expect("a client");
        material.server(std::sync::Arc::default()).expect("a server");
        let everybody: Vec<String> = pki.everybody().into_iter().map(|(name, _)| name).collect();
        assert_eq!(everybody, ["probe"]);
    }
}
