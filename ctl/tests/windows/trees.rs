//! Who belongs to a service, and how all of them go.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::harness::{HERE, PART, System, eventually, kill, lives};

const FAMILY: [&str; 3] = ["parent", "child", "grandchild"];

/// What a service of these stories does.
pub(crate) fn play(part: &str) {
    let here = PathBuf::from(std::env::var(HERE).expect("the story says where"));
    match part {
        "parent" | "child" | "grandchild" => {
            let mut below = FAMILY.iter().skip_while(|name| **name != part).skip(1);
            if let Some(next) = below.next() {
                let me = std::env::current_exe().expect("this program");
                let mut child = Command::new(me);
                child.args(["--exact", "plays_its_part"]).env(PART, next);
                drop(child.spawn().expect("a child"));
            }
            // Beside it and then there: who sees it can read it.
            let beside = here.join(format!("{part}.new"));
            fs::write(&beside, std::process::id().to_string()).expect("written");
            fs::rename(beside, here.join(part)).expect("renamed");
            loop {
                thread::park();
            }
        }
        "listener" => {
            let which = fs::read_to_string(here.join("port")).expect("the story says which");
            let listener = std::net::TcpListener::bind(format!("127.0.0.1:{which}"));
            drop(listener.map(|listener| listener.incoming().for_each(drop)));
            loop {
                thread::park();
            }
        }
        "grows" => {
            let memory = vec![1_u8; 200_000_000];
            loop {
                thread::park();
                let _ = memory.first();
            }
        }
        "waits" => {
            while !here.join("go").exists() {
                thread::park_timeout(Duration::from_millis(20));
            }
        }
        "lets-go" => fs::write(here.join("go"), "").expect("written"),
        other => panic!("no such part: {other}"),
    }
}

/// Their pids, once all three are there. The notes are taken away: the next ones find nothing in their place, which nobody
/// can replace while it is being read.
fn family(here: &Path) -> Vec<u32> {
    let mut pids: Vec<u32> = Vec::new();
    eventually("a family", || {
        let pid = |name: &&str| fs::read_to_string(here.join(name)).ok()?.parse().ok();
        pids = FAMILY.iter().filter_map(pid).collect();
        pids.len() == FAMILY.len()
    });
    for name in FAMILY {
        fs::remove_file(here.join(name)).expect("removed");
    }
    pids
}

#[test]
fn a_tree_of_three_levels_is_gone_after_stop_and_after_a_crash() {
    let system = System::new("[services.family]\n{actor parent}\nstop = { timeout = \"1s\" }\n").up();
    let first = family(&system.path("."));
    assert!(first.iter().all(|pid| lives(*pid)));

    let before = system.service("family");
    assert_eq!(before.pid(), first[0], "the leader");
    kill(before.pid());
    system.until_restarted(&before);
    assert!(!first.iter().any(|pid| lives(*pid)), "swept before the next start");

    let second = family(&system.path("."));
    assert!(second.iter().all(|pid| lives(*pid)));
    system.ctl(&["stop", "family"]).succeeded();
    assert_eq!(system.service("family").state(), "stopped");
    assert!(!second.iter().any(|pid| lives(*pid)), "all of {second:?} are gone");
    let why = system.why("family");
    // Where it stands among them, their console is one more.
    let all = |line: &String| ["to 3 processes", "to 4 processes"].iter().any(|all| line.contains(all));
    assert!(why.iter().any(all), "{why:#?}");
}

#[test]
fn who_takes_more_memory_than_it_may_is_restarted_for_that() {
    let system = System::new("[services.greedy]\n{actor grows}\nmemory_max = \"100MB\"\n").up();
    let before = system.service("greedy");
    system.until_restarted(&before);
    let why = system.why("greedy");
    assert!(why.iter().any(|line| line.contains("over memory_max 100 MB")), "{why:#?}");
}

#[test]
fn a_stop_command_is_tried_first() {
    let me = std::env::current_exe().expect("this program");
    let command = format!(
        "['cmd', '/d', '/s', '/c', 'set {PART}=lets-go&& \"{}\" --exact plays_its_part']",
        me.display()
    );
    let file =
        format!("[services.polite]\n{{actor waits}}\nstop = {{ command = {command}, timeout = \"60s\" }}\n");
    let system = System::new(&file).up();
    system.ctl(&["stop", "polite"]).succeeded();
    let why = system.why("polite");
    assert!(why.iter().any(|line| line.contains("runs cmd")), "{why:#?}");
    assert!(why.iter().any(|line| line.contains("exit 0 after")), "it went by itself: {why:#?}");
}
