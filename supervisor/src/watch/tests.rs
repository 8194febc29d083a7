//! Tests the thread with real files: what it reports, and what it does not.

use std::path::Path;
use std::time::Duration;

use sereno_config::{Command, Service, Watch};

use super::*;

/// Longer than any step takes.
const CEILING: Duration = Duration::from_secs(60);

fn watched(folder: &Path, paths: &[&str]) -> (Watches, mpsc::Receiver<News>) {
    let (tell, news) = mpsc::channel();
    let mut watches = Watches::default();
    let mut service = Service::new(Command::Argv(vec!["web".into()]), folder.into());
    let paths = paths.iter().map(|path| folder.join(path)).collect();
    service.watch = Some(Watch { paths, ignore: vec![], debounce: Duration::from_millis(50) });
    let wanted = Wanted::of(&service, vec![folder.join(".sereno")], None).expect("it wants some");
    let wanted = BTreeMap::from([(web(), wanted)]);
    assert_eq!(watches.want(wanted, move |news| drop(tell.send(news))), []);
    (watches, news)
}

fn web() -> Name {
    Name::new("web").expect("a name")
}

fn next(news: &mpsc::Receiver<News>) -> News {
    news.recv_timeout(CEILING).expect("something is told of")
}

/// Changes a file until a report names it alone: an earlier change may be reported together with it.
fn change(folder: &Path, file: &str, news: &mpsc::Receiver<News>) {
    let ceiling = os::now() + CEILING;
    loop {
        write(&folder.join(file), "x");
        while let Ok(told) = news.recv_timeout(Duration::from_millis(300)) {
            match told {
                News::Changed(_, changed) if changed.first == file => return,
                News::Changed(..) => {}
                News::Trouble(_, trouble) => panic!("{trouble:?}"),
            }
        }
        assert!(os::now() < ceiling, "a change of {file} was never told of");
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("written");
}

#[test]
fn a_change_is_told_of_at_any_depth_and_what_is_ignored_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    for below in ["src/deep", "node_modules/x", ".sereno/log"] {
        std::fs::create_dir_all(folder.join(below)).expect("made");
    }
    let (_watches, news) = watched(folder, &[]);
    assert_eq!(next(&news), News::Trouble(web(), None));
    write(&folder.join("node_modules/x/y.js"), "x");
    write(&folder.join(".sereno/log/web.out.log"), "x");
    write(&folder.join("src/deep/main.py"), "x");
    let first = News::Changed(web(), Changed { first: "src/deep/main.py".into(), others: 0 });
    assert_eq!(next(&news), first, "and of nothing that is ignored");
    // A new folder is watched from then on.
    std::fs::create_dir(folder.join("new")).expect("made");
    change(folder, "new/x.py", &news);
    // As editors save: a new file takes the old one's place.
    write(&folder.join("src/deep/main.py~"), "y");
    while news.recv_timeout(Duration::from_millis(300)).is_ok() {}
    std::fs::rename(folder.join("src/deep/main.py~"), folder.join("src/deep/main.py")).expect("renamed");
    assert_eq!(next(&news), first);
}

#[test]
fn a_service_with_too_many_folders_is_told_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    std::fs::create_dir(folder.join("a")).expect("made");
    // The folder itself and `a` are watched too.
    for count in 0..8190 {
        std::fs::create_dir(folder.join(format!("a/d{count}"))).expect("made");
    }
    let (_watches, news) = watched(folder, &[]);
    assert_eq!(next(&news), News::Trouble(web(), None));
    std::fs::create_dir(folder.join("one-more")).expect("made");
    let trouble = loop {
        if let News::Trouble(_, Some(trouble)) = next(&news) {
            break trouble;
        }
    };
    assert!(trouble.to_string().starts_with("more than 8192 folders at "), "{trouble}");
    std::fs::remove_dir(folder.join("a/d0")).expect("removed");
    while next(&news) != News::Trouble(web(), None) {}
    change(folder, "one-more/x.py", &news);
}

#[test]
fn what_is_not_there_is_said_and_watched_when_it_comes_and_comes_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let (_watches, news) = watched(folder, &["a/b"]);
    let missing = News::Trouble(web(), Some(Trouble::Missing("a/b".into())));
    // Repeated, because folders are removed from the inside out: a parent may disappear between the look and the watch.
    for round in 0..100 {
        while next(&news) != missing {}
        std::fs::create_dir_all(folder.join("a/b")).expect("made");
        while next(&news) != News::Trouble(web(), None) {}
        if round < 2 {
            change(folder, "a/b/x.py", &news);
        }
        std::fs::remove_dir_all(folder.join("a")).expect("removed");
    }
}

#[test]
fn who_changes_files_without_pause_is_told_of_and_costs_no_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let (watches, news) = watched(folder, &[]);
    assert_eq!(next(&news), News::Trouble(web(), None));
    let (a, b) = (folder.join("a"), folder.join("b"));
    write(&a, "x");
    for _ in 0..30_000 {
        std::fs::rename(&a, &b).expect("renamed");
        std::fs::rename(&b, &a).expect("renamed");
    }
    assert!(matches!(next(&news), News::Changed(..)));
    change(folder, "later", &news);
    drop(watches);
}

#[test]
fn a_backlog_takes_so_many_events_and_no_more() {
    let backlog = Backlog::default();
    let taken = (0..2 * Backlog::MOST).filter(|_| backlog.takes_one()).count();
    assert_eq!((taken, backlog.overflowed.load(Ordering::Relaxed)), (Backlog::MOST, true));
    backlog.took_one();
    assert!(backlog.takes_one() && !backlog.takes_one());
}
