//! Which folders are looked at: each by itself where the system tells of one folder only (inotify), so that what is
//! ignored costs nothing; else whole trees.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher, WatcherKind};
use proto::Name;

use super::rules::Wanted;

/// The system's own watcher, and what it looks at.
pub(super) struct DirWatcher {
    watcher: Result<RecommendedWatcher, String>,
    open: BTreeSet<PathBuf>,
    /// How many each service had at the last look at all of them, and what has come since.
    counts: BTreeMap<Name, usize>,
}

/// Folders that are to be looked at, and for whom.
#[derive(Default)]
struct Folders {
    wanted: BTreeMap<PathBuf, BTreeSet<Name>>,
    counts: BTreeMap<Name, usize>,
    troubles: BTreeMap<Name, String>,
    /// One of them went while we looked. Nobody tells of that if nothing above it is watched.
    gone: bool,
}

/// Why a folder is not looked at.
enum Closed {
    /// It went while we looked.
    Gone,
    Trouble(String),
}

/// The most folders of one service. With each that goes the library looks through all of them: with 40,000 it had a core
/// to itself for 40 s, and nobody's changes were heard meanwhile. Linux has 8,192 to 1,048,576 for each user.
const MOST_FOLDERS: usize = 8192;

/// A folder that is gone at each of so many looks in a row is not gone: the system shows it and lets nobody watch it.
const LOOKS: usize = 100;

impl DirWatcher {
    /// Without a watcher of the system every look is a trouble that says why.
    pub(super) fn new(hear: impl Fn(notify::Result<notify::Event>) + Send + 'static) -> Self {
        let watcher = notify::recommended_watcher(hear).map_err(|error| words(&error));
        Self { watcher, open: BTreeSet::new(), counts: BTreeMap::new() }
    }

    /// Every look is this trouble.
    pub(super) fn shut_by(error: &io::Error) -> Self {
        let why = format!("the rights of its user can not be taken: {}", plain(error));
        Self { watcher: Err(why), open: BTreeSet::new(), counts: BTreeMap::new() }
    }

    /// Looks at exactly what is wanted; what can not be looked at, for each service.
    pub(super) fn look_at(&mut self, wanted: &BTreeMap<Name, Wanted>) -> BTreeMap<Name, String> {
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

    /// The same for a folder that has come, where it is one.
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

    /// Looks until nothing comes or goes between the look at a folder and its watch; the troubles of the last look.
    fn look(&mut self, find: impl Fn(&mut Self) -> Folders) -> BTreeMap<Name, String> {
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

    /// Opens all of them; whether another look may see more.
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

    /// A path is gone, and what was below it.
    pub(super) fn forget(&mut self, path: &Path) {
        let from = self.open.range::<Path, _>((Bound::Included(path), Bound::Unbounded));
        let below: Vec<PathBuf> = from.take_while(|open| open.starts_with(path)).cloned().collect();
        for path in below {
            self.shut(&path);
        }
    }

    /// Looks at one folder; whether it is new.
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
            Err(error) => Err(Closed::Trouble(words(&error))),
        }
    }

    fn shut(&mut self, path: &Path) {
        self.open.remove(path);
        if let Ok(watcher) = &mut self.watcher {
            // What is gone is not watched any more.
            let _ = watcher.unwatch(path);
        }
    }
}

impl Folders {
    fn root(&mut self, name: &Name, wanted: &Wanted, root: &Path) {
        match fs::metadata(root) {
            Ok(meta) if meta.is_dir() => self.below(name, wanted, root, root.into()),
            // Editors put another file in its place: its folder tells of both.
            Ok(_) => self.add(name, root.parent().unwrap_or(root).into()),
            Err(error) => {
                let why = if error.kind() == io::ErrorKind::NotFound {
                    "is not there"
                } else {
                    "can not be looked at"
                };
                self.trouble(name, format!("{} {why}; watched as soon as it is", wanted.shown(root)));
                let there = root.ancestors().skip(1).find(|folder| folder.is_dir());
                self.add(name, there.unwrap_or(root).into());
            }
        }
    }

    /// A folder and those below it that are not ignored; links are not followed.
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
                let shown = wanted.shown(root);
                return self
                    .trouble(name, format!("more than {MOST_FOLDERS} folders at {shown}: ignore some"));
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
                    let shown = wanted.shown(&folder);
                    self.trouble(name, format!("{shown} can not be looked at: {}", plain(&error)));
                }
            }
        }
    }

    fn add(&mut self, name: &Name, folder: PathBuf) {
        if self.wanted.entry(folder).or_default().insert(name.clone()) {
            *self.counts.entry(name.clone()).or_default() += 1;
        }
    }

    /// Only told of if another look finds the same, and another.
    fn gone(&mut self, name: &Name, folder: &Path) {
        self.gone = true;
        self.trouble(name, format!("{} comes and goes while it is looked at", folder.display()));
    }

    fn trouble(&mut self, name: &Name, words: String) {
        self.troubles.entry(name.clone()).or_insert(words);
    }
}

/// Whether the system tells of one folder, and not of a tree.
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

/// What is wrong, and what to do about it.
fn words(error: &notify::Error) -> String {
    /// "Too many open files": of this user's watchers, the first of all limits.
    const EMFILE: i32 = 24;
    match &error.kind {
        ErrorKind::MaxFilesWatch => "too many folders for this system: ignore some, or `sysctl \
                                     fs.inotify.max_user_watches=524288`, then `ctl apply`"
            .into(),
        ErrorKind::Io(error) if error.raw_os_error() == Some(EMFILE) => {
            "too many watchers on this system: `sysctl fs.inotify.max_user_instances=512`, then restart Sereno"
                .into()
        }
        ErrorKind::Io(error) => plain(error),
        _ => error.to_string(),
    }
}

/// An error of the system without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}
