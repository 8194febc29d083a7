//! A service's own user stays that user: neither its checks nor links to an `env_file` make it more.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};

use crate::harness::{System, eventually, wants};
use crate::other_users::{NOBODY, is_root, nobody, system, victim};
use crate::safety::{all, set_mode};

/// Writes to `seen` in nobody's folder what it is.
const LOOK: &str =
    "#!/bin/sh\ncat /proc/self/status > new; env >> new; pwd >> new; ulimit -n >> new; mv new seen\n";

/// A system with a check that nobody wrote, in a folder of nobody's.
fn checked(service: &str) -> System {
    let system = system(&format!(
        r#"
        [services.app]
        command = "sleep 1000"
        cwd = "{{here}}/evl"
        checks.alive = {{ kind = "exec", command = "./alive.sh", interval = "200ms", env = {{ OWN = "check" }} }}
        {service}
        "#
    ));
    fs::write(system.path("evl/alive.sh"), LOOK).expect("written");
    set_mode(&system.path("evl/alive.sh"), 0o755);
    fs::write(
        system.path("evl/own.env"),
        "FROM_FILE=file\nLD_DEBUG=files\nLD_DEBUG_OUTPUT=LD_HERE/ld\n"
            .replace("LD_HERE", &system.path("evl").display().to_string()),
    )
    .expect("written");
    chown(system.path("evl/own.env"), Some(NOBODY), Some(NOBODY)).expect("root may");
    system
}

/// What a check saw of itself.
#[track_caller]
fn seen(system: &System) -> Vec<String> {
    let mut seen = String::new();
    let path = system.path("evl/seen");
    eventually("it is checked", || {
        seen = fs::read_to_string(&path).unwrap_or_default();
        !seen.is_empty()
    });
    seen.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn a_check_of_a_service_with_a_user_runs_as_that_user() {
    if !is_root() {
        return;
    }
    let service = r#"
        user = "nobody"
        umask = "077"
        nice = 3
        limits = { nofile = 77 }
        env_file = "evl/own.env"
        env = { INLINE = "service" }
        capabilities = ["net_bind_service"]
        no_new_privileges = true
    "#;
    let system = checked(service).up();
    let seen = seen(&system);
    let bind = "0000000000000400";
    let here = system.path("evl").display().to_string();
    for line in [
        "Uid: 65534 65534 65534 65534",
        "Gid: 65534 65534 65534 65534",
        "Groups: 65534",
        &format!("CapPrm: {bind}"),
        &format!("CapEff: {bind}"),
        &format!("CapBnd: {bind}"),
        &format!("CapAmb: {bind}"),
        "NoNewPrivs: 1",
        "Umask: 0077",
        "77",
        &here,
        "INLINE=service",
        "FROM_FILE=file",
        "OWN=check",
        "USER=nobody",
        "HOME=/nonexistent",
    ] {
        assert!(seen.iter().any(|seen| seen == line), "{line}: {seen:#?}");
    }
    let told = |name: &str| seen.iter().any(|line| line.starts_with(name));
    assert!(!told("SERENO_SUPERVISOR=") && !told("NOTIFY_SOCKET="), "{seen:#?}");
    assert!(told("SERENO_UNIT="), "a sweep finds it: {seen:#?}");
    // What stands in nobody's file has never reached a program of root's: it would have left a file of root's.
    let loaders: Vec<_> =
        all(&system.path("evl")).into_iter().filter(|path| path.to_string_lossy().contains("/ld.")).collect();
    assert!(!loaders.is_empty(), "the test looks for what is there");
    for path in loaders {
        assert_eq!(fs::metadata(&path).expect("there").uid(), NOBODY, "{}", path.display());
    }
    system.until("app", "well", |app| app.check("alive")["state"] == "passing");
    system.down();
}

#[test]
fn a_check_has_neither_the_session_nor_the_files_of_whoever_started_it() {
    if !is_root() {
        return;
    }
    let system = checked("user = \"nobody\"");
    let look = "#!/bin/sh\nps -o sid= -p $$ > new; readlink /proc/$$/fd/* >> new; mv new seen\n";
    fs::write(system.path("evl/alive.sh"), look).expect("written");
    // As a shell does that has files of its own open.
    let ctl = system.command(&["up", "-d", "--wait"]);
    let mut shell = std::process::Command::new("sh");
    shell
        .args(["-c", "exec 7<\"$0\"; exec \"$@\""])
        .arg(victim(&system))
        .arg(ctl.get_program())
        .args(ctl.get_args());
    shell.current_dir(system.path("")).stdin(std::process::Stdio::null());
    assert!(shell.status().expect("sh runs").success());
    let seen = seen(&system);
    let file = victim(&system).display().to_string();
    assert!(!seen.contains(&file), "{seen:#?}");
    for pid in system.daemons() {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives").flatten();
        assert!(files.filter_map(|file| fs::read_link(file.path()).ok()).all(|open| open != victim(&system)));
        // A group of its own would not be enough: it could join any other group of the session.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
        let session = stat.rsplit(')').next().expect("a line").split_whitespace().nth(3).expect("a session");
        assert_ne!(seen[0], session, "of {pid}");
    }
    system.down();
}

#[test]
fn a_watched_folder_that_its_user_made_a_link_shows_nothing_of_roots() {
    if !is_root() {
        return;
    }
    let service = "user = \"nobody\"\nwatch = { paths = [\"evl/watched\"], debounce = \"50ms\" }";
    let system = checked(service);
    nobody(&system, "mkdir watched");
    let hidden = system.path("vict/hidden");
    fs::create_dir(&hidden).expect("made");
    set_mode(&hidden, 0o700);
    let system = system.up();
    // What the user sees itself is watched.
    let before = system.service("app");
    nobody(&system, "touch watched/seen");
    let after = system.until_restarted(&before);
    nobody(&system, &format!("rm -r watched; ln -s {} watched", hidden.display()));
    let refused = |app: &crate::harness::Service| app.reason().contains("watched can not be looked at");
    let now = system.until("app", "refused", refused);
    fs::create_dir(hidden.join("secret-name")).expect("made");
    // What comes after it is heard of, so that the name would have been too.
    nobody(&system, "rm watched; mkdir watched; touch watched/again");
    system.until_restarted(if now.pid() == after.pid() { &after } else { &now });
    let all = system.ctl(&["events", "--json", "-n", "500"]).out;
    assert!(all.contains("changed: ") && !all.contains("secret-name"), "{all}");
    system.down();
}

#[test]
fn a_check_of_a_confined_service_is_confined() {
    if !is_root() {
        return;
    }
    let system = checked("capabilities = [\"chown\"]").up_at_once();
    // Of root's power nothing else is left, such as to write into a folder of nobody's.
    system.until("app", "failing", |app| app.reason().contains("alive (failing)"));
    set_mode(&system.path("evl"), 0o777);
    let seen = seen(&system);
    for line in ["Uid: 0 0 0 0", "CapEff: 0000000000000001", "CapBnd: 0000000000000001"] {
        assert!(seen.iter().any(|seen| seen == line), "{line}: {seen:#?}");
    }
    system.down();
}

#[test]
fn a_link_of_another_user_decides_neither_home_nor_environment() {
    if !is_root() {
        return;
    }
    let file = "[services.app]\ncommand = \"sleep 1000\"\n";
    let system = system(file);
    // As `/tmp` is: everybody may put something there, and only its owner may replace it.
    fs::create_dir(system.path("tmp")).expect("made");
    set_mode(&system.path("tmp"), 0o1777);
    fs::write(system.path("vict/own.env"), "FROM_FILE=1\n").expect("written");
    nobody(&system, "ln -s ../vict/own.env ../tmp/own.env; ln -s ../vict ../tmp/home");
    let refused = |says: &str| {
        for verb in [&["up", "-d"][..], &["check"]] {
            let answer = system.ctl(verb);
            assert_eq!(answer.code, 2, "{verb:?}: {}{}", answer.out, answer.err);
            assert!((answer.out + &answer.err).contains(says), "{verb:?}: {says}");
        }
    };
    let link = "is a symbolic link of user 65534, who could point it elsewhere";
    system.write(&format!("{file}env_file = \"tmp/own.env\"\n"));
    refused(&format!("tmp/own.env: {link}"));
    system.write(&format!("{file}env_file = \"tmp/own.env\"\nuser = \"nobody\"\n"));
    refused("tmp/own.env: is a symbolic link of user 65534 to a file of user 0: name the file itself");
    system.write(&format!("[supervisor]\nhome = \"tmp/home\"\n{file}"));
    refused(&format!("tmp/home: {link}"));
    system.write(&format!("[supervisor]\nhome = \"tmp/home/below\"\n{file}"));
    refused(&format!("tmp/home, which {link}"));
    assert_eq!(all(&system.path("vict")).len(), 2, "nothing was made there");
    system.write(file);
}

#[test]
fn an_env_file_that_its_user_made_a_link_since_is_not_read() {
    if !is_root() {
        return;
    }
    let system = system(
        r#"
        [services.app]
        shell = "echo $SECRET_OF_ROOT; exec sleep 1000"
        cwd = "/"
        user = "nobody"
        env_file = "evl/own.env"
        "#,
    );
    fs::write(victim(&system), "SECRET_OF_ROOT=told\n").expect("written");
    nobody(&system, "echo A=1 > own.env");
    let system = system.up();
    nobody(&system, "ln -sf ../vict/shadow own.env");
    system.ctl(&["restart", "app"]);
    system.until("app", "refused", |app| {
        app.0.to_string().contains("own.env: is a symbolic link of user 65534 to a file of user 0")
            || app.number("restarts") > 0 && app.state() == "running"
    });
    assert_eq!(system.log("app.out.log"), b"\n", "{}", system.story());
    system.down();
}

/// Whether a process of nobody's sleeps for this long.
fn sleeps(seconds: &str) -> bool {
    let wanted = format!("sleep\0{seconds}\0");
    let all = fs::read_dir("/proc").expect("read").flatten();
    all.map(|entry| entry.path()).any(|pid| {
        fs::read(pid.join("cmdline")).unwrap_or_default() == wanted.as_bytes()
            && fs::metadata(&pid).is_ok_and(|meta| meta.uid() == NOBODY)
    })
}

#[test]
fn nothing_that_a_check_started_outlives_it() {
    if !is_root() {
        return;
    }
    let system = checked("user = \"nobody\"");
    // It leaves group, environment and outputs behind, and says when it has.
    let leave = "#!/bin/sh\nenv -i setsid sh -c 'exec </dev/null >/dev/null 2>&1; exec sleep 424243' &\n\
                 until pgrep -x -f 'sleep 424243' > /dev/null; do :; done\necho x >> left\n";
    fs::write(system.path("evl/alive.sh"), leave).expect("written");
    let system = system.up_at_once();
    let left = || fs::read_to_string(system.path("evl/left")).unwrap_or_default().lines().count();
    eventually("it left something three times", || left() >= 3);
    system.ctl(&["stop", "app"]).succeeded();
    eventually("none is there", || !sleeps("424243"));
    system.ctl(&["start", "app"]).succeeded();
    system.until("app", "its check passes", |app| app.check("alive")["state"] == "passing");
    system.down();
}

/// Traces each check with `PTRACE_SEIZE` and never waits for it, so that nobody else can reap it.
const TRACER: &str = r#"#!/usr/bin/perl
use Errno;
my $ptrace = `uname -m` =~ /aarch64/ ? 117 : 101;
sub note { open(my $file, ">>", shift); print $file "x\n" }
while (1) {
    for my $pid (map { m{(\d+)} } glob "/proc/[0-9]*") {
        open(my $file, "<", "/proc/$pid/cmdline") or next;
        next if $seen{$pid} || <$file> ne "sleep\0$ARGV[0]\0";
        $seen{$pid} = 1;
        if (syscall($ptrace, 0x4206, $pid + 0, 0, 0) == 0) { note("traced") }
        elsif ($!{EPERM}) { note("refused") }
    }
    select(undef, undef, undef, 0.01);
}
"#;

/// Ticks of the processor that a process has taken (a second has 100), and the number of its children.
fn ticks_and_children(parent: u32) -> (u64, usize) {
    let stat = |pid: &str| {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let rest = text.rsplit(") ").next().unwrap_or_default();
        rest.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let own = stat(&parent.to_string());
    let ticks = own[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("a number"));
    let all = fs::read_dir("/proc").expect("read").flatten();
    let children = all
        .map(|entry| stat(&entry.file_name().to_string_lossy()))
        .filter(|stat| stat.get(1) == Some(&parent.to_string()));
    (ticks.sum(), children.count())
}

/// A system with a service that traces its own checks, and another service; `None`: not possible here. The checks sleep for
/// a time of their own, so that those of other stories are not traced.
fn traced(checks: usize, pace: &str, sleep: &str) -> Option<System> {
    if !is_root() || wants("perl", None).is_none() {
        return None;
    }
    let check = |number| {
        format!(
            r#"checks.alive{number} = {{ kind = "exec", command = "sleep {sleep}", {pace}, failures = 1000 }}"#
        )
    };
    let checks = (0..checks).map(check).collect::<Vec<_>>().join("\n");
    let system = system(&format!(
        r#"
        [services.app]
        command = "./run.sh {sleep}"
        cwd = "{{here}}/evl"
        user = "nobody"
        {checks}
        [services.other]
        command = "sleep 1000"
        cwd = "{{here}}/vict"
        checks.alive = {{ kind = "exec", command = "sh -c 'echo x >> alive'", interval = "200ms" }}
        "#
    ));
    fs::write(system.path("evl/run.sh"), TRACER).expect("written");
    set_mode(&system.path("evl/run.sh"), 0o755);
    let system = system.up_at_once();
    let traced = || lines(&system, "evl/traced") > 0;
    eventually("a check is traced", || traced() || lines(&system, "evl/refused") > 0);
    if !traced() {
        eprintln!("SKIPPED: a process may not trace another one here");
        system.down();
        return None;
    }
    Some(system)
}

fn lines(system: &System, file: &str) -> usize {
    fs::read_to_string(system.path(file)).unwrap_or_default().lines().count()
}

fn health_monitor(system: &System) -> u32 {
    let status = system.status();
    let monitors = status["monitors"].as_array().cloned().unwrap_or_default();
    let monitor = monitors.iter().find(|monitor| monitor["name"] == "health-monitor").expect("it is up");
    monitor["pid"].as_u64().and_then(|pid| pid.try_into().ok()).expect("a pid")
}

#[test]
fn a_user_who_traces_checks_and_does_not_wait_for_them_costs_nothing() {
    let Some(system) = traced(1, "interval = '1200ms', timeout = '1s'", "0.2042") else { return };
    let monitor = health_monitor(&system);
    let (before, traced, others) =
        (ticks_and_children(monitor).0, lines(&system, "evl/traced"), lines(&system, "vict/alive"));
    eventually("more of them are traced", || lines(&system, "evl/traced") >= traced + 3);
    let (after, left) = ticks_and_children(monitor);
    // Each of them is waited for 0.8 s after its end.
    assert!(after - before < 100, "{} ticks", after - before);
    assert!(left >= 3, "the test holds what it says: {left} are left");
    assert!(lines(&system, "vict/alive") > others + 3, "checks of another service go on");
    assert_eq!(system.service("app").number("restarts"), 0, "{}", system.story());
    system.ctl(&["stop", "app"]).succeeded();
    eventually("the next check of any service reaps them", || ticks_and_children(monitor).1 == 0);
    system.down();
}

#[test]
fn a_user_who_traces_checks_gets_no_more_of_them_at_some_time() {
    let Some(system) = traced(8, "interval = '310ms', timeout = '300ms'", "0.2043") else { return };
    let monitor = health_monitor(&system);
    let told =
        |app: &crate::harness::Service| app.check("alive0").to_string().contains("64 commands of earlier");
    let app = system.until("app", "told that there are too many", told);
    // A blind monitor has no service restarted.
    assert!(!system.ctl(&["events"]).out.contains("blind"), "{}", system.story());
    let others = lines(&system, "vict/alive");
    eventually("checks of another service go on", || lines(&system, "vict/alive") > others + 10);
    // Those that ran at the same moment come on top, and the check of the other service.
    let left = ticks_and_children(monitor).1;
    assert!((64..=73).contains(&left), "{left}: {}", app.0);
    assert_eq!(system.service("app").number("restarts"), 0, "{}", system.story());
    system.ctl(&["stop", "app"]).succeeded();
    eventually("they are reaped", || ticks_and_children(monitor).1 == 0);
    system.down();
}
