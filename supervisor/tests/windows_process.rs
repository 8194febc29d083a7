//! Real processes on Windows: starting, ending and sweeping them by their jobs, and what they write.

#![cfg(windows)]

use std::ffi::CString;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use supervisor::lifecycle::Exit;
use supervisor::os::pipe::{self, Output, Poller};
use supervisor::os::{self, Handle, Launch, Left, Process, Tree, signal};

/// This program plays the service: which part, it reads here.
const PART: &str = "TEST_PART";

fn text(text: &str) -> CString {
    CString::new(text).expect("no NUL")
}

fn launch(program: &str, args: &[&str], mark: &str, more: &[(&str, &str)]) -> Launch {
    let own = std::env::vars().filter(|(name, _)| name != PART && name != os::MARK);
    let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let mark = (os::MARK.to_owned(), mark.to_owned());
    Launch {
        program: text(program),
        args: args.iter().map(|arg| text(arg)).collect(),
        env: own.chain(more).chain([mark]).map(|(name, value)| text(&format!("{name}={value}"))).collect(),
        cwd: text(r"C:\"),
        umask: None,
        nice: None,
        limits: Vec::new(),
        ids: None,
        confine: os::Confine::default(),
        own_keyring: false,
        listens: false,
    }
}

/// A mark that no other test and no earlier run has.
fn fresh(service: &str) -> (String, String) {
    let instance = format!("test-{}", os::random_id().expect("random"));
    (instance.clone(), os::mark(&instance, service, 1))
}

fn spawn(launch: &Launch, out: &Handle) -> Process {
    let null = os::null_device().expect("NUL");
    os::spawn(launch, &[os::borrow(&null), os::borrow(out), os::borrow(out)], None, None).expect("started")
}

fn shell(script: &str, mark: &str) -> Launch {
    let args = os::shell(script);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    launch(args[0], &args, mark, &[])
}

/// A start of this program in a part of its own.
fn actor(part: &str, more: &[&str], mark: &str) -> Launch {
    let me = std::env::current_exe().expect("this program");
    let me = me.to_str().expect("text");
    let args: Vec<&str> =
        [me, "--exact", "plays_its_part", "--nocapture"].into_iter().chain(more.iter().copied()).collect();
    launch(me, &args, mark, &[(PART, part)])
}

/// Polls a condition under a long ceiling.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "the ceiling of a test is real time")]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let ceiling = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < ceiling, "never came about: {what}");
        pipe::pause(Duration::from_millis(5));
    }
}

fn wait(process: &Process) -> Exit {
    until("its end", || process.has_exited());
    process.reap()
}

/// Opens a log at its end, as the supervisor does.
fn open_log(path: &Path) -> std::io::Result<(fs::File, u64)> {
    os::LogDir::made_for(path)?.log(path)
}

/// Moves everything that comes into a file until it holds `wanted` bytes or so.
fn collect(output: &Output, path: &Path, done: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let (file, _) = open_log(path).expect("opened");
    until("its output", || {
        while output.transfer(&file, usize::MAX).is_ok() {}
        done(&fs::read(path).expect("read"))
    });
    fs::read(path).expect("read")
}

/// Not a test by itself: what this program does when a test has started it as a service.
#[test]
#[expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::zombie_processes,
    reason = "a service as they come"
)]
fn plays_its_part() {
    let Ok(part) = std::env::var(PART) else { return };
    match part.as_str() {
        "arguments" => {
            let args: Vec<String> = std::env::args().skip(1).collect();
            println!("<<{}>>", args.join("\u{1}"));
        }
        "family" | "child" => {
            if part == "family" {
                let me = std::env::current_exe().expect("this program");
                let mut child = std::process::Command::new(me);
                child.args(["--exact", "plays_its_part"]).env(PART, "child").spawn().expect("a child");
            }
            loop {
                std::thread::park();
            }
        }
        "speak" => {
            println!("says something");
            println!("and lives on");
            loop {
                std::thread::park();
            }
        }
        "flood" => {
            for line in 0..20_000 {
                println!("line {line}");
            }
        }
        other => panic!("no such part: {other}"),
    }
}

#[test]
fn exits_are_read_as_they_were() {
    let null = os::null_device().expect("NUL");
    for code in [0, 1, 41, 259] {
        let process = spawn(&shell(&format!("exit {code}"), &fresh("exits").1), &null);
        assert_eq!(wait(&process), Exit::Code(code));
    }
}

#[tokio::test]
async fn the_end_of_a_process_is_heard() {
    let null = os::null_device().expect("NUL");
    let process = spawn(&shell("exit 7", &fresh("heard").1), &null);
    process.exited().expect("watched").await;
    assert_eq!(process.reap(), Exit::Code(7));
    // Also of one that has ended long ago, and a watch that nobody waits for is no harm.
    drop(process.exited().expect("watched"));
    process.exited().expect("watched").await;
}

#[test]
fn what_can_not_run_is_an_error_at_once() {
    let null = os::null_device().expect("NUL");
    let fds = [os::borrow(&null), os::borrow(&null), os::borrow(&null)];
    let (_, mark) = fresh("none");
    for program in [r"C:\no\such\program.exe", r"C:\no\such\script.bat"] {
        let error =
            os::spawn(&launch(program, &[program], &mark, &[]), &fds, None, None).expect_err("refused");
        assert_eq!(error.step, format!("executing {program}"));
        assert_eq!(error.cause.kind(), std::io::ErrorKind::NotFound, "{error}");
    }
    let elsewhere = Launch { cwd: text(r"C:\no\such\folder"), ..shell("exit 0", &mark) };
    let error = os::spawn(&elsewhere, &fds, None, None).expect_err("refused");
    assert_eq!(error.step, r"entering C:\no\such\folder");
}

#[test]
fn a_tree_is_killed_whole_and_only_this_one() {
    let null = os::null_device().expect("NUL");
    let (instance, mark) = fresh("family");
    let (_, others) = fresh("family");
    let other = spawn(&actor("child", &[], &others), &null);
    let leader = spawn(&actor("family", &[], &mark), &null);
    let tree = Tree::new(leader.identity(), &instance, "family", None);
    until("a grandchild", || tree.count() >= 2);
    assert!(tree.pids().contains(&leader.pid()));
    assert!(os::descendants(leader.pid()).len() >= 2);
    let outputs = [((0, 1), "family".to_owned())].into();
    assert!(os::scan(&instance, &outputs).found.len() >= 2);

    leader.signal(signal::KILL).expect("killed");
    assert_eq!(wait(&leader), Exit::Signal("SIGKILL".into()));
    assert!(!tree.group_is_empty(&[]), "a grandchild lives on until it is swept");
    until("a clean sweep", || tree.kill_leftovers(Vec::new) == Left::Nothing);
    assert!(tree.group_is_empty(&[]));
    assert_eq!(os::scan(&instance, &outputs).found, []);

    assert!(!other.has_exited(), "another home's service is not touched");
    other.signal(signal::KILL).expect("killed");
    wait(&other);
}

#[test]
fn another_supervisor_finds_the_job_again() {
    let null = os::null_device().expect("NUL");
    let (instance, mark) = fresh("found");
    let process = spawn(&actor("family", &[], &mark), &null);
    let identity = process.identity();
    // All handles of ours are gone, as after a SIGKILL of the supervisor.
    drop(process);
    let process = Process::adopt(identity).expect("it lives");
    let tree = Tree::new(identity, &instance, "found", None);
    assert!(tree.has_cgroup(), "its name lives in the process itself");
    until("a grandchild", || tree.count() >= 2);
    tree.kill_all();
    assert_eq!(wait(&process), Exit::Signal("SIGKILL".into()));
    until("nobody is left", || tree.group_is_empty(&[]));
}

#[test]
fn whom_nobody_knows_any_more_ends_before_the_next_start() {
    let null = os::null_device().expect("NUL");
    let (instance, mark) = fresh("twice");
    let first = spawn(&actor("child", &[], &mark), &null);
    let identity = first.identity();
    drop(first);
    let second = spawn(&actor("child", &[], &mark), &null);
    assert!(Process::adopt(identity).is_none(), "never two of one service");
    let tree = Tree::new(second.identity(), &instance, "twice", None);
    let pids = tree.pids();
    assert!(pids.contains(&second.pid()) && !pids.contains(&identity.pid), "{pids:?}");
    tree.kill_all();
    wait(&second);
}

#[test]
fn identity_is_never_a_bare_pid() {
    let null = os::null_device().expect("NUL");
    let process = spawn(&actor("child", &[], &fresh("id").1), &null);
    let identity = process.identity();
    assert!(Process::adopt(identity).is_some());
    assert!(Process::adopt(os::Identity { start: identity.start + 1, ..identity }).is_none());
    process.signal(signal::KILL).expect("killed");
    wait(&process);
    assert!(Process::adopt(identity).is_none());
    process.signal(signal::KILL).expect("one that is gone is no error");
}

#[test]
fn arguments_arrive_as_they_were_given() {
    let folder = tempfile::tempdir().expect("a folder");
    let (output, end) = Output::open(&folder.path().join("args.out")).expect("a pipe");
    let out = end.hand_out().expect("its end");
    let odd = ["a b", "", "\"", r"C:\x y\", r#"\\"\"#, "%PATH%", "^&|<>", "é漢🦀", "'"];
    // The test harness takes anything after `--skip`.
    let more: Vec<&str> = odd.iter().flat_map(|arg| ["--skip", arg]).collect();
    let process = spawn(&actor("arguments", &more, &fresh("args").1), &out);
    assert_eq!(wait(&process), Exit::Code(0));
    let seen = collect(&output, &folder.path().join("log"), |bytes| bytes.windows(2).any(|two| two == b">>"));
    let seen = String::from_utf8(seen).expect("text");
    let given = seen.split_once("<<").and_then(|(_, rest)| rest.split_once(">>")).expect("marked").0;
    let given: Vec<&str> = given.split('\u{1}').skip(3).collect();
    assert_eq!(given, more);
}

#[test]
fn a_batch_file_runs_with_its_arguments() {
    let folder = tempfile::tempdir().expect("a folder");
    let spaced = folder.path().join("a folder");
    fs::create_dir(&spaced).expect("made");
    let script = spaced.join("say.cmd");
    fs::write(&script, "@echo off\r\necho [%1] [%2] [%3]\r\nexit 5\r\n").expect("written");
    let (output, end) = Output::open(&folder.path().join("out")).expect("a pipe");
    let out = end.hand_out().expect("its end");
    let script = script.to_str().expect("text");
    let process = spawn(&launch(script, &[script, "run", "a b", "x&y"], &fresh("batch").1, &[]), &out);
    assert_eq!(wait(&process), Exit::Code(5));
    let seen = collect(&output, &folder.path().join("log"), |bytes| bytes.ends_with(b"\n"));
    assert_eq!(String::from_utf8(seen).expect("text").trim_end(), "[run] [\"a b\"] [\"x&y\"]");
}

#[test]
fn a_service_inherits_its_outputs_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let (output, end) = Output::open(&folder.path().join("out")).expect("a pipe");
    let out = end.hand_out().expect("its end");
    let process = spawn(&shell("echo out& echo err>&2& echo %SERENO_UNIT%", "i/svc/9"), &out);
    assert_eq!(wait(&process), Exit::Code(0));
    let seen =
        collect(&output, &folder.path().join("log"), |bytes| bytes.split(|byte| *byte == b'\n').count() == 4);
    let seen = String::from_utf8(seen).expect("text");
    let lines: Vec<&str> = seen.lines().map(str::trim).collect();
    assert_eq!(lines, ["out", "err", "i/svc/9"]);
}

#[test]
fn a_flood_waits_for_its_reader_and_arrives_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("out");
    let (output, end) = Output::open(&path).expect("a pipe");
    let (poller, waker) = Poller::new().expect("a poller");
    poller.add(&output, 7).expect("watched");
    let mut ready = Vec::new();
    waker.wake();
    poller.wait(None, &mut ready).expect("waited");
    assert!(ready.is_empty(), "woken, and nothing there");
    poller.wait(Some(Duration::from_millis(1)), &mut ready).expect("waited");
    assert!(ready.is_empty(), "the time is over, and nothing there");

    let process = spawn(&actor("flood", &[], &fresh("flood").1), &end.hand_out().expect("its end"));
    let log = folder.path().join("log");
    let (file, _) = open_log(&log).expect("opened");
    until("its end", || {
        poller.wait(Some(Duration::from_millis(50)), &mut ready).expect("waited");
        for key in &ready {
            assert_eq!(*key, 7);
            // Looking takes nothing, and reading back moves nothing.
            let mut peeker = pipe::Peeker::new().expect("room");
            let seen = output.peek(&mut peeker, 16).expect("something waits");
            let moved = output.transfer(&file, 4000).expect("something waits");
            assert!(moved >= seen);
            assert!(pipe::read_at(&file, &mut [0; 8], 0).expect("read") > 0);
        }
        process.has_exited() && output.waiting() == 0
    });
    assert_eq!(process.reap(), Exit::Code(0));
    let seen = fs::read_to_string(&log).expect("text");
    let lines: Vec<&str> = seen.lines().filter(|line| line.starts_with("line ")).collect();
    assert_eq!(lines.len(), 20_000);
    assert!(lines.iter().enumerate().all(|(at, line)| *line == format!("line {at}")));
    poller.remove(&output);
}

#[test]
fn an_output_outlives_the_supervisor_in_the_service() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("out");
    let (output, end) = Output::open(&path).expect("a pipe");
    let out = end.hand_out().expect("its end");
    let process = spawn(&actor("speak", &[], &fresh("outlives").1), &out);
    until("its words", || output.waiting() > 0);
    drop((output, out));
    assert!(end.hand_out().is_err(), "nobody here has it open");

    let (output, _) = Output::open(&path).expect("found again");
    let has = |bytes: &[u8], words: &[u8]| bytes.windows(words.len()).any(|some| some == words);
    let seen = collect(&output, &folder.path().join("log"), |bytes| has(bytes, b"and lives on"));
    assert!(has(&seen, b"says something"), "{}", String::from_utf8_lossy(&seen));
    process.signal(signal::KILL).expect("killed");
    wait(&process);
}

#[test]
fn a_rotated_and_a_removed_file_are_told_from_the_one_at_their_path() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.log");
    let (file, _) = open_log(&path).expect("opened");
    assert!(pipe::is_at(&file, &path).expect("there"));
    fs::rename(&path, folder.path().join("x.log.1")).expect("renamed while open");
    let (new, _) = open_log(&path).expect("opened");
    assert!(!pipe::is_at(&file, &path).expect("there"));
    assert!(pipe::is_at(&new, &path).expect("there"));
    assert!(!pipe::is_removed(&new));
    fs::remove_file(&path).expect("removed while open");
    // Where the system keeps the name until the last handle is closed, as old ones do, it is not removed yet.
    assert_eq!(pipe::is_removed(&new), !path.exists());
}

#[test]
fn a_lock_is_one_supervisors_until_it_is_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lock");
    let lock = os::Lock::take(&path).expect("no error").expect("free");
    assert!(os::Lock::take(&path).expect("no error").is_none());
    assert_eq!(fs::read_to_string(&path).expect("others may read it").trim(), std::process::id().to_string());
    drop(lock);
    let lock = os::Lock::take(&path).expect("no error").expect("free again");
    let number = lock.hand_over().expect("an open handle");
    // As when this program is another from here on.
    std::mem::forget(lock);
    let lock = os::Lock::inherit(number).expect("it came over");
    assert!(os::Lock::take(&path).expect("no error").is_none(), "held all the time");
    drop(lock);
    assert!(os::Lock::take(&path).expect("no error").is_some());
}

#[test]
fn usage_counts_a_process() {
    let me = std::process::id();
    let (cpu, memory) = os::usage_of(&[me]);
    assert!(cpu >= 0.0 && memory > 100_000, "{cpu} s, {memory} bytes");
    assert_eq!(os::usage_of(&[]), (0.0, 0));
}

#[test]
fn a_copy_of_a_home_is_another_instance() {
    let (one, two) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let of = |folder: &tempfile::TempDir| os::instance_of(folder.path(), "id").expect("there");
    assert_eq!(of(&one), of(&one));
    assert_ne!(of(&one), of(&two));
    assert!(!of(&one).contains(['\\', '/']), "a name in marks and of jobs");
}
