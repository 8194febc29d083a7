//! `pki`: a small certificate authority for daemons that communicate over a network.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use sereno_auth::Identity;

use super::token;
use crate::args::access::{Issue, Pki, PkiCommand};
use crate::failure::{Done, Failure};
use crate::out::Out;
use crate::pki::{Certificate, Folder, read};
use crate::render::time::rfc3339;

/// Certificates that expire within this time are renewed without being named.
const SOON: Duration = Duration::from_secs(30 * 86400);

#[derive(Serialize)]
struct CertificateJson<'a> {
    name: &'a str,
    role: Option<&'static str>,
    cert: String,
    key: String,
    ends: Option<String>,
}

pub(super) fn run(pki: &Pki, out: &mut Out) -> Result<Done, Failure> {
    let folder = Folder(pki.folder.clone());
    match &pki.what {
        PkiCommand::Init { valid } => {
            folder.init(*valid)?;
            let words = "goes to every daemon; ca.key stays here, whoever has it owns them all";
            say(&folder, "ca", words, out)
        }
        PkiCommand::Issue(issue) => {
            let name = issue.name.as_str();
            if folder.cert(name).exists() {
                let why = format!("\"ctl pki renew {name}\" makes a new one like it; remove it for another");
                return Err(Failure::Usage(format!(
                    "{} is there already: {why}",
                    folder.cert(name).display()
                )));
            }
            folder.issue(&who(issue)?, &issue.host, issue.valid)?;
            say(&folder, name, &format!("has the role {}", issue.may.role), out)
        }
        PkiCommand::Renew { names, valid } => renew(&folder, names, *valid, out),
    }
}

fn who(issue: &Issue) -> Result<Identity, Failure> {
    token::identity(&issue.name, &issue.may)
}

fn renew(folder: &Folder, names: &[proto::Name], valid: Duration, out: &mut Out) -> Result<Done, Failure> {
    let everybody = folder.everybody();
    for name in names {
        if !everybody.iter().any(|(known, _)| known == name.as_str()) {
            return Err(Failure::Usage(format!("{} has no certificate here", name.as_str())));
        }
    }
    let ends_soon = |cert: &Certificate| cert.ends < SystemTime::now() + SOON;
    let due = everybody.into_iter().filter(|(name, cert)| {
        if names.is_empty() { ends_soon(cert) } else { names.iter().any(|wanted| wanted.as_str() == name) }
    });
    let mut count = 0;
    for (name, cert) in due {
        let identity = cert.identity.ok_or_else(|| {
            Failure::Refused(format!("{name}: its certificate names no role; issue it anew"))
        })?;
        folder.issue(&identity, &cert.hosts, valid)?;
        say(folder, &name, "is renewed; running daemons use it from the next connection on", out)?;
        count += 1;
    }
    if count == 0 && !out.json {
        out.line("nothing ends within 30 days; name one to renew it all the same")?;
    }
    Ok(Done::Well)
}

fn say(folder: &Folder, name: &str, words: &str, out: &mut Out) -> Result<Done, Failure> {
    let (cert, key) = (folder.cert(name), folder.key(name));
    let made = read(&cert)?;
    if out.json {
        let role = made.identity.as_ref().map(|identity| identity.role.word());
        let (cert, key) = (cert.display().to_string(), key.display().to_string());
        out.record(&CertificateJson { name, role, cert, key, ends: rfc3339(made.ends) })?;
    } else {
        let day = rfc3339(made.ends).unwrap_or_default();
        let day = day.split('T').next().unwrap_or_default();
        out.line(&format!("{} {words}", cert.display()))?;
        out.line(&format!("  good until {day}; its key: {}", key.display()))?;
    }
    Ok(Done::Well)
}
