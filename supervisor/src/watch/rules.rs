//! Decides which change counts for which service.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sereno_config::{Ignored, Service};

use crate::os::Ids;

/// What a service is restarted for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The watched files, and folders with everything below them.
    pub paths: Vec<PathBuf>,
    /// How long no more changes must come.
    pub debounce: Duration,
    ignored: Ignored,
    /// The supervisor's paths, and those that the service itself writes to.
    own: Vec<PathBuf>,
    /// The folder that paths are shown relative to.
    cwd: PathBuf,
    /// The user that must be able to see them; `None` for the supervisor's user.
    pub ids: Option<Ids>,
}

impl Wanted {
    /// Returns what a service wants, if it wants any. `own` is where the supervisor writes; `ids` is the user that the
    /// service runs as.
    pub fn of(service: &Service, mut own: Vec<PathBuf>, ids: Option<Ids>) -> Option<Self> {
        let watch = service.watch.as_ref()?;
        let paths = if watch.paths.is_empty() { vec![service.cwd.clone()] } else { watch.paths.clone() };
        own.extend(service.log.stdout.iter().chain(&service.log.stderr).cloned());
        let (ignored, cwd) = (watch.ignored(), service.cwd.clone());
        Some(Self { paths, debounce: watch.debounce, ignored, own, cwd, ids })
    }

    /// Returns whether a change of this path restarts the service.
    pub fn counts(&self, path: &Path) -> bool {
        // A new folder may bring wanted files with it.
        self.root_of(path).is_some_and(|root| !self.is_ignored(root, path)) || self.is_above(path)
    }

    /// Returns whether a path is a wanted path or above it: what must be watched may change with it.
    pub fn is_above(&self, path: &Path) -> bool {
        self.paths.iter().any(|root| root.starts_with(path))
    }

    /// Returns whether a folder need not be watched.
    pub fn is_ignored(&self, root: &Path, path: &Path) -> bool {
        self.ignored.holds(root, path) || self.own.iter().any(|own| is_of(own, path))
    }

    /// Returns the wanted path that contains this path.
    pub fn root_of(&self, path: &Path) -> Option<&Path> {
        self.paths.iter().map(PathBuf::as_path).find(|root| path.starts_with(root))
    }

    /// Returns the path as it is shown, relative to the service's folder.
    pub fn shown(&self, path: &Path) -> String {
        let below = path.strip_prefix(&self.cwd).ok().filter(|below| !below.as_os_str().is_empty());
        below.unwrap_or(path).display().to_string()
    }
}

/// Returns whether a path belongs to one of our files: the file itself, what is below it, or rotated and indexed parts
/// beside a log.
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
