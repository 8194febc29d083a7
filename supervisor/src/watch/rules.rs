//! Which change counts for which service.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sereno_config::{Ignored, Service};

use crate::os::Ids;

/// What one service wants to be restarted for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Files, and folders with everything below them.
    pub paths: Vec<PathBuf>,
    /// How long nothing more must change.
    pub debounce: Duration,
    ignored: Ignored,
    /// Ours, and what it writes itself.
    own: Vec<PathBuf>,
    /// What paths are shown relative to.
    cwd: PathBuf,
    /// Who must be able to see them; `None`: whoever the supervisor runs as.
    pub ids: Option<Ids>,
}

impl Wanted {
    /// Of a service that wants any. `own`: where the supervisor writes; `ids`: who the service runs as.
    pub fn of(service: &Service, mut own: Vec<PathBuf>, ids: Option<Ids>) -> Option<Self> {
        let watch = service.watch.as_ref()?;
        let paths = if watch.paths.is_empty() { vec![service.cwd.clone()] } else { watch.paths.clone() };
        own.extend(service.log.stdout.iter().chain(&service.log.stderr).cloned());
        let (ignored, cwd) = (watch.ignored(), service.cwd.clone());
        Some(Self { paths, debounce: watch.debounce, ignored, own, cwd, ids })
    }

    /// Whether a change of this path is a reason.
    pub fn counts(&self, path: &Path) -> bool {
        // A folder that comes brings what is wanted with it.
        self.root_of(path).is_some_and(|root| !self.is_ignored(root, path)) || self.is_above(path)
    }

    /// Whether a path is, or leads to, one that is wanted: what is to be watched may change with it.
    pub fn is_above(&self, path: &Path) -> bool {
        self.paths.iter().any(|root| root.starts_with(path))
    }

    /// Whether nobody needs to look into a folder.
    pub fn is_ignored(&self, root: &Path, path: &Path) -> bool {
        self.ignored.holds(root, path) || self.own.iter().any(|own| is_of(own, path))
    }

    /// The wanted path that holds this one.
    pub fn root_of(&self, path: &Path) -> Option<&Path> {
        self.paths.iter().map(PathBuf::as_path).find(|root| path.starts_with(root))
    }

    /// As a person would say it who stands in its folder.
    pub fn shown(&self, path: &Path) -> String {
        let below = path.strip_prefix(&self.cwd).ok().filter(|below| !below.as_os_str().is_empty());
        below.unwrap_or(path).display().to_string()
    }
}

/// Whether a path is of something of ours: it, what is below it, or, beside a log, its rotated and indexed parts.
fn is_of(own: &Path, path: &Path) -> bool {
    let beside = || {
        let (own, path) = (own.file_name()?.to_str()?, path.file_name()?.to_str()?);
        Some(path.strip_prefix(own)?.starts_with('.'))
    };
    path.starts_with(own) || own.parent() == path.parent() && beside() == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sereno_config::{Command, Watch};

    fn wanted(paths: &[&str]) -> Wanted {
        let mut service = Service::new(Command::Argv(vec!["web".into()]), "/srv/app".into());
        let ignore = vec!["*.db".to_owned()];
        let paths = paths.iter().map(PathBuf::from).collect();
        service.watch = Some(Watch { paths, ignore, debounce: Duration::from_secs(1) });
        service.log.stdout = Some("/srv/app/out.log".into());
        Wanted::of(&service, vec!["/srv/app/.sereno".into()], None).expect("it wants some")
    }

    #[test]
    fn what_the_service_and_we_write_is_no_reason() {
        let wanted = wanted(&[]);
        for (path, counts) in [
            ("/srv/app/main.py", true),
            ("/srv/app/x/y.py", true),
            ("/srv/app/.sereno/log/web.out.log", false),
            ("/srv/app/out.log", false),
            ("/srv/app/out.log.2.gz", false),
            ("/srv/app/out.logic", true),
            ("/srv/app/x.db", false),
            ("/srv/application/x.py", false),
        ] {
            assert_eq!(wanted.counts(Path::new(path)), counts, "{path}");
        }
        assert_eq!(wanted.shown(Path::new("/srv/app/x/y.py")), "x/y.py");
        assert_eq!(wanted.shown(Path::new("/etc/hosts")), "/etc/hosts");
    }

    #[test]
    fn a_folder_that_comes_brings_what_is_wanted_with_it() {
        let wanted = wanted(&["/srv/app/src/deep", "/srv/app/conf.yaml"]);
        assert!(wanted.counts(Path::new("/srv/app/src")) && wanted.is_above(Path::new("/srv/app/src")));
        assert!(wanted.counts(Path::new("/srv/app/conf.yaml")));
        assert!(!wanted.counts(Path::new("/srv/app/other")) && !wanted.counts(Path::new("/srv/app/src/x")));
    }
}
