//! Checks for certificates that have expired or will expire soon.

use std::path::Path;
use std::time::{Duration, SystemTime};

use sereno_auth::TlsFiles;

use super::{Finding, note, well, wrong};
use crate::pki;

const DAY: u64 = 86400;
/// Leaves enough time for a renewal.
const SOON: Duration = Duration::from_secs(30 * DAY);

/// Checks the certificates that the file names.
pub(crate) fn look(tables: &[(String, TlsFiles)], now: SystemTime, found: &mut Vec<Finding>) {
    for (table, files) in tables {
        for path in [&files.cert, &files.ca] {
            found.push(one(table, path, now));
        }
    }
}

fn one(table: &str, path: &Path, now: SystemTime) -> Finding {
    let cert = match pki::read(path) {
        Ok(cert) => cert,
        Err(error) => {
            return wrong(
                "tls",
                format!("[{table}] {error}"),
                "\"ctl pki init\" and \"ctl pki issue\" make them",
            );
        }
    };
    let what = format!("[{table}] {} ({})", path.display(), cert.subject);
    let fix = "\"ctl pki renew\" makes a new one; running daemons use it from the next connection on";
    match cert.ends.duration_since(now) {
        Err(_) => wrong("tls", format!("{what} has ended: nobody can connect"), fix),
        Ok(left) if left < SOON => note("tls", format!("{what} ends in {} days", left.as_secs() / DAY), fix),
        Ok(left) => well("tls", format!("{what} is good for {} days", left.as_secs() / DAY)),
    }
}

#[cfg(test)]
mod tests {
    use proto::Role;

    use super::super::Level;
    use super::*;

    #[test]
    fn what_ends_soon_is_said_in_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let pki = pki::Folder(folder.path().into());
        pki.init(Duration::from_secs(365 * DAY)).expect("made");
        let name = "sup".parse().expect("a name");
        let identity = sereno_auth::Identity { name, role: Role::Operator, services: None };
        pki.issue(&identity, &[], Duration::from_secs(90 * DAY)).expect("issued");
        let files = TlsFiles { ca: pki.cert("ca"), cert: pki.cert("sup"), key: pki.key("sup") };
        for (days, level) in [(0, Level::Ok), (70, Level::Note), (91, Level::Wrong)] {
            let mut found = Vec::new();
            let now = SystemTime::now() + Duration::from_secs(days * DAY);
            look(&[("supervisor".into(), files.clone())], now, &mut found);
            assert_eq!((found.len(), found[0].level), (2, level), "{found:?}");
        }
        let finding = one("supervisor", Path::new("/none.pem"), SystemTime::now());
        assert_eq!(finding.level, Level::Wrong);
    }
}
