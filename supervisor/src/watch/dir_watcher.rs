//! Chooses the folders to watch: each folder separately where the system reports on single folders (inotify), so that
//! ignored folders cost nothing; else whole trees.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher, WatcherKind};
use proto::Name;

use super::rules::Wanted;
use super::trouble::{Trouble, plain};

/// The system's watcher, and the folders that it watches.
pub(super) struct DirWatcher {
    watcher: Result<RecommendedWatcher, Trouble>,
    open: BTreeSet<PathBuf>,
    /// How many folders each service had at the last full look, plus those added since.
    counts: BTreeMap<Name, usize>,
}

/// The folders to watch, and the services that want each.
#[derive(Default)]
struct Folders {
    wanted: BTreeMap<PathBuf, BTreeSet<Name>>,
    counts: BTreeMap<Name, usize>,
    troubles: BTreeMap<Name, Trouble>,
    /// Whether a folder disappeared during the look. If nothing above it is watched, no event reports that.
    gone: bool,
}

/// Why a folder is not watched.
enum Closed {
    /// It disappeared during the look.
    Gone,
    Trouble(Trouble),
}

/// The most folders of a service. For each removed folder the library goes through all of them: with 40,000 it used a
/// whole core for 40 s, and no changes were reported meanwhile. Linux allows 8,192 to 1,048,576 for each user.
pub(super) const MOST_FOLDERS: usize = 8192;

/// A folder that is missing at each of this many looks is not missing: the system lists it and does not let it be
/// watched.
const LOOKS: usize = 100;

impl DirWatcher {
    /// Creates the watcher; if the system has none, every look returns the reason as a trouble.
    pub(super) fn new(hear: impl Fn(notify::Result<notify::Event>) + Send + 'static) -> Self {
        let watcher = notify::recommended_watcher(hear).map_err(|error| Trouble::from(&error));
        Self { watcher, open: BTreeSet::new(), counts: BTreeMap::new() }
    }

    /// Creates a watcher that returns this error at every look.
    pub(super) fn shut_by(error: &io::Error) -> Self {
        Self { watcher: Err(Trouble::Rights(plain(error))), open: BTreeSet::new(), counts: BTreeMap::new() }
    }

    /// Watches exactly the wanted folders. Returns what cannot be watched, for each service.
    pub(super) fn look_at(&mut self, wanted: &BTreeMap<Name, Wanted>) -> BTreeMap<Name, Trouble> {
        self.look(|eyes| {
            let mut folders = Folders::default();
            for (name, wanted) in wanted {
                for root in &wanted.paths {
                    folders.root(name, wanted, root);
                }
            }
            let gone: Vec<PathBuf> =
                eyes.open.iter().filter(|path| !folders.wanted.contains_key(*path)).cloned().collect();
            for path in gone {
                eyes.shut(&path);
            }
            folders
        })
    }

    /// Does the same for a new path, if it is a folder.
    pub(super) fn look_below(&mut self, path: &Path, wanted: &BTreeMap<Name, Wanted>) -> Result<(), ()> {
        if !sees_one_folder() || !fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir()) {
            return Ok(());
        }
        let troubles = self.look(|eyes| {
            let mut folders = Folders { counts: eyes.counts.clone(), ..Folders::default() };
            for (name, wanted) in wanted {
                if let Some(root) = wanted.root_of(path) {
                    folders.below(name, wanted, root, path.into());
                }
            }
            folders
        });
        if troubles.is_empty() { Ok(()) } else { Err(()) }
    }

    /// Repeats the look until nothing appears or disappears between the look at a folder and its watch. Returns the
    /// troubles of the last look.
    fn look(&mut self, find: impl Fn(&mut Self) -> Folders) -> BTreeMap<Name, Trouble> {
        let mut looks = 0;
        loop {
            let mut folders = find(self);
            looks += 1;
            if !self.open_all(&mut folders) || looks == LOOKS {
                self.counts = folders.counts;
                return folders.troubles;
            }
        }
    }

    /// Watches all of them. Returns whether another look may find more.
    fn open_all(&mut self, folders: &mut Folders) -> bool {
        let mut news = false;
        for (path, names) in std::mem::take(&mut folders.wanted) {
            match self.open(&path) {
                Ok(is_new) => news |= is_new,
                Err(Closed::Gone) => names.iter().for_each(|name| folders.gone(name, &path)),
                Err(Closed::Trouble(why)) => names.iter().for_each(|name| folders.trouble(name, why.clone())),
            }
        }
        news || folders.gone
    }

    /// Forgets a path that is gone, and everything below it; returns whether any of that was watched.
    pub(super) fn forget(&mut self, path: &Path) -> bool {
        let from = self.open.range::<Path, _>((Bound::Included(path), Bound::Unbounded));
        let below: Vec<PathBuf> = from.take_while(|open| open.starts_with(path)).cloned().collect();
        for path in &below {
            self.shut(path);
        }
        !below.is_empty()
    }

    /// Watches a folder. Returns whether it was not watched before.
    fn open(&mut self, path: &Path) -> Result<bool, Closed> {
        if self.open.contains(path) {
            return Ok(false);
        }
        let watcher = self.watcher.as_mut().map_err(|why| Closed::Trouble(why.clone()))?;
        let mode = if sees_one_folder() { RecursiveMode::NonRecursive } else { RecursiveMode::Recursive };
        match watcher.watch(path, mode) {
            Ok(()) => {
                self.open.insert(path.into());
                Ok(true)
            }
            Err(error) if is_not_there(&error) => Err(Closed::Gone),
            Err(error) => Err(Closed::Trouble(Trouble::from(&error))),
        }
    }

    fn shut(&mut self, path: &Path) {
        self.open.remove(path);
        if let Ok(watcher) = &mut self.watcher {
            // Fails for a folder that is gone, as it is no longer watched.
            let _ = watcher.unwatch(path);
        }
    }
}

impl Folders {
    fn root(&mut self, name: &Name, wanted: &Wanted, root: &Path) {
        match fs::metadata(root) {
            Ok(meta) if meta.is_dir() => self.below(name, wanted, root, root.into()),
            // Editors put a new file in its place: its folder reports on both.
            Ok(_) => self.add(name, root.parent().unwrap_or(root).into()),
            Err(error) => {
                let shown = wanted.shown(root);
                let is_gone = error.kind() == io::ErrorKind::NotFound;
                self.trouble(name, if is_gone { Trouble::Missing(shown) } else { Trouble::Hidden(shown) });
                let there = root.ancestors().skip(1).find(|folder| folder.is_dir());
                self.add(name, there.unwrap_or(root).into());
            }
        }
    }

    /// Adds a folder and its subfolders that are not ignored; links are not followed.
    fn below(&mut self, name: &Name, wanted: &Wanted, root: &Path, folder: PathBuf) {
        if !sees_one_folder() {
            return self.add(name, root.into());
        }
        let mut left = vec![folder];
        while let Some(folder) = left.pop() {
            if wanted.is_ignored(root, &folder) {
                continue;
            }
            if self.counts.get(name).is_some_and(|count| *count >= MOST_FOLDERS) {
                return self.trouble(name, Trouble::TooManyFolders(wanted.shown(root)));
            }
            match fs::read_dir(&folder) {
                Ok(entries) => {
                    let folders = entries
                        .flatten()
                        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                        .map(|entry| entry.path());
                    left.extend(folders);
                    self.add(name, folder);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.gone(name, &folder),
                Err(error) => {
                    self.trouble(name, Trouble::Unlisted(wanted.shown(&folder), plain(&error)));
                }
            }
        }
    }

    fn add(&mut self, name: &Name, folder: PathBuf) {
        if self.wanted.entry(folder).or_default().insert(name.clone()) {
            *self.counts.entry(name.clone()).or_default() += 1;
        }
    }

    /// Records a missing folder; reported only if further looks find the same.
    fn gone(&mut self, name: &Name, folder: &Path) {
        self.gone = true;
        self.trouble(name, Trouble::ComesAndGoes(folder.into()));
    }

    fn trouble(&mut self, name: &Name, trouble: Trouble) {
        self.troubles.entry(name.clone()).or_insert(trouble);
    }
}

/// Returns whether the system reports on single folders instead of trees.
fn sees_one_folder() -> bool {
    RecommendedWatcher::kind() == WatcherKind::Inotify
}

fn is_not_there(error: &notify::Error) -> bool {
    match &error.kind {
        ErrorKind::PathNotFound => true,
        ErrorKind::Io(error) => error.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}
