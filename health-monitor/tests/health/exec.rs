//! The command check.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use health_monitor::{launcher, shim};
use prost::Message as _;
use proto::v1;
use proto::v1::target::Spec;
use sereno_monitor::Verdict;
use tokio::time::timeout;

use crate::common::{check, look};

/// Longer than anything here takes on a loaded machine.
const CEILING: Duration = Duration::from_secs(30);

fn sh(script: &str) -> v1::ExecCheck {
    v1::ExecCheck { argv: vec!["sh".into(), "-c".into(), script.into()], ..v1::ExecCheck::default() }
}

async fn see(spec: v1::ExecCheck) -> Verdict {
    timeout(CEILING, look(Spec::Exec(spec), CEILING)).await.expect("in time").expect("a good target")
}

#[tokio::test]
async fn exit_0_passes_and_everything_else_fails() {
    let seen = see(sh("exit 0")).await;
    assert_eq!((seen.passing, seen.detail.as_str()), (true, "exit 0"));
    let seen = see(sh("echo out; echo no database >&2; exit 3")).await;
    assert_eq!((seen.passing, seen.detail.as_str()), (false, "exit 3"));
    assert_eq!(seen.evidence.summary, "exit 3 no database");
    let seen = see(sh("kill -9 $$")).await;
    assert!(!seen.passing && seen.detail.contains("SIGKILL"), "{}", seen.detail);
    let missing = v1::ExecCheck { argv: vec!["no-such-program-anywhere".into()], ..v1::ExecCheck::default() };
    let seen = see(missing).await;
    assert_eq!((seen.detail.as_str(), seen.evidence.errno.as_str()), ("ENOENT", "ENOENT"));
    assert!(seen.evidence.summary.starts_with("start no-such-program-anywhere: "));
}

#[tokio::test]
async fn it_has_its_folder_and_its_environment() {
    let dir = tempfile::tempdir().expect("a folder");
    let cwd = dir.path().canonicalize().expect("is there").display().to_string();
    let script = r#"test "$PWD" = "$WANTED" && test -z "$SERENO_HOME" && test -n "$PATH""#;
    let env = [("WANTED".into(), cwd.clone())].into();
    assert!(see(v1::ExecCheck { cwd, env, ..sh(script) }).await.passing);
}

#[tokio::test]
async fn any_amount_of_output_is_swallowed() {
    let seen = see(sh("head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2; exit 1")).await;
    assert_eq!((seen.detail.as_str(), seen.evidence.body_head.len()), ("exit 1", 200));
}

#[tokio::test]
async fn something_left_behind_neither_holds_the_check_nor_stays() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("pid");
    assert!(see(sh(&format!("sleep 600 & echo $! > {}", file.display()))).await.passing);
    are_gone(&file).await;
}

#[tokio::test]
async fn a_check_that_is_given_up_takes_its_whole_group_with_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("pids");
    let script = format!("sleep 600 & echo $$ $! > {0}.new; mv {0}.new {0}; wait", file.display());
    let mut check = check(Spec::Exec(sh(&script)), CEILING).expect("a good target");
    let written = async {
        while !file.exists() {
            tokio::task::yield_now().await;
        }
    };
    timeout(CEILING, async {
        tokio::select! {
            seen = check.look() => panic!("it ended: {seen:?}"),
            () = written => {}
        }
    })
    .await
    .expect("in time");
    // The look was dropped, as the runtime drops it when the time is over.
    are_gone(&file).await;
}

/// Waits until the processes named in a file are dead.
async fn are_gone(file: &Path) {
    let pids = std::fs::read_to_string(file).expect("written");
    assert!(!pids.trim().is_empty());
    for pid in pids.split_whitespace() {
        let gone = async {
            while alive(pid) {
                tokio::task::yield_now().await;
            }
        };
        timeout(CEILING, gone).await.unwrap_or_else(|_| panic!("{pid} lives"));
    }
}

/// Whether a process is there and no zombie.
fn alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next()).is_some_and(|state| state != "Z")
}

#[test]
fn what_can_not_be_run_names_its_field() {
    let refused = |spec| check(Spec::Exec(spec), CEILING).err().expect("refused").to_string();
    assert_eq!(refused(v1::ExecCheck::default()), "exec.argv: is empty");
    assert!(refused(sh("a\0b")).starts_with("exec.argv: "));
    let env = [("A=B".into(), String::new())].into();
    assert!(refused(v1::ExecCheck { env, ..sh("true") }).starts_with("exec.env: "));
}

/// A command that must run with less than this monitor may have.
fn restricted(script: &str) -> v1::RestrictedExec {
    v1::RestrictedExec { argv: sh(script).argv, ..v1::RestrictedExec::default() }
}

#[tokio::test]
async fn what_must_not_be_run_is_not_run_and_says_why() {
    let dir = tempfile::tempdir().expect("a folder");
    let script = format!("touch {}/ran", dir.path().display());
    let refused = v1::RestrictedExec { refused: "no user \"web\"".into(), ..restricted(&script) };
    // What a monitor that does not know of rights would run is not looked at either.
    let seen = see(v1::ExecCheck { restricted: Some(refused), ..sh(&script) }).await;
    assert_eq!((seen.passing, seen.detail.as_str()), (false, "not run: no user \"web\""));
    assert!(!dir.path().join("ran").exists());
    let refused =
        check(Spec::Exec(v1::ExecCheck { restricted: Some(restricted("a\0b")), ..sh("true") }), CEILING);
    assert!(refused.err().expect("refused").to_string().starts_with("exec.argv: "));
}

/// The monitor itself, as it is started with a verb by this user.
fn monitor(verb: &str, uid: Option<u32>) -> Child {
    use std::os::unix::process::CommandExt as _;

    // Not by CARGO_BIN_EXE_health-monitor: a shell between cargo and the compiler drops variables with a dash.
    let test = std::env::current_exe().expect("this test");
    let monitor = test.ancestors().nth(2).expect("a folder").join("health-monitor");
    #[expect(clippy::disallowed_methods, reason = "the launcher and the shim themselves are tried here")]
    let mut command = Command::new(monitor);
    command.arg(verb).env_clear().env("SERENO_UNIT", "mark").env("SECRET", "root's");
    if let Some(uid) = uid {
        command.uid(uid);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("it starts")
}

/// What a launcher says that is asked to run this, started by this user.
fn launch(spec: &v1::RestrictedExec, uid: Option<u32>) -> (Option<i32>, String) {
    let mut child = monitor(launcher::VERB, uid);
    child.stdin.take().expect("a pipe").write_all(&spec.encode_to_vec()).expect("written");
    let output = child.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    (output.status.code(), said.concat())
}

/// A shim that runs this, and the open pipe to it.
fn start_shim(script: &str) -> (Child, ChildStdin) {
    let env = [("PATH".into(), "/usr/bin:/bin".into())].into();
    let spec = v1::RestrictedExec { env, ..restricted(script) }.encode_to_vec();
    let mut child = monitor(shim::VERB, None);
    let mut stdin = child.stdin.take().expect("a pipe");
    let length = u32::try_from(spec.len()).expect("short");
    stdin.write_all(&[&length.to_ne_bytes(), &spec[..]].concat()).expect("written");
    (child, stdin)
}

#[test]
fn a_shim_reports_how_a_command_ended_and_the_beginning_of_what_it_said() {
    let flood = "head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2";
    for (end, expected) in [("exit 3", 3 << 8), ("kill -9 $$", 9), ("sleep 600 & exit 0", 0)] {
        let (child, _stdin) = start_shim(&format!("{flood}; {end}"));
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success());
        let (status, said) = output.stdout.split_first_chunk().expect("a status");
        assert_eq!(
            (i32::from_ne_bytes(*status), said.len(), output.stderr.len()),
            (expected, 200, 200),
            "{end}"
        );
    }
}

#[tokio::test]
async fn a_shim_that_is_let_go_of_kills_the_group_of_its_command_and_ends() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("pids");
    let (mut child, stdin) =
        start_shim(&format!("sleep 600 & echo $$ $! > {0}.new; mv {0}.new {0}; wait", file.display()));
    let written = async {
        while !file.exists() {
            tokio::task::yield_now().await;
        }
    };
    timeout(CEILING, written).await.expect("in time");
    drop(stdin);
    are_gone(&file).await;
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn a_launcher_becomes_the_command_with_nothing_but_what_it_is_told() {
    let env = [("OWN", "1"), ("PATH", "/usr/bin:/bin")].map(|(name, value)| (name.into(), value.into()));
    let limits = vec![v1::ResourceLimit { name: "nofile".into(), value: Some(33) }];
    let spec = v1::RestrictedExec {
        cwd: "/usr".into(),
        env: env.into(),
        umask: Some(0o27),
        limits,
        ..restricted("pwd; umask; ulimit -n; echo $OWN-$SERENO_UNIT-$SECRET; cat; exit 7")
    };
    assert_eq!(launch(&spec, None), (Some(7), "/usr\n0027\n33\n1-mark-\n".into()));
    let missing = v1::RestrictedExec { argv: vec!["no-such-program-anywhere".into()], ..spec };
    let (code, said) = launch(&missing, None);
    assert_eq!(code, Some(126));
    assert!(said.starts_with("health-monitor: cannot start no-such-program-anywhere: "), "{said}");
}

#[test]
fn a_launcher_that_cannot_give_the_rights_runs_nothing() {
    let limits = vec![v1::ResourceLimit { name: "patience".into(), value: None }];
    let (code, said) = launch(&v1::RestrictedExec { limits, ..restricted("echo ran") }, None);
    let unknown = "health-monitor: cannot set the limit \"patience\": this system has none of that name\n";
    assert_eq!((code, said.as_str()), (Some(126), unknown));
    let is_root = rustix::process::geteuid().is_root();
    let ids = Some(v1::ProcessIds { uid: 4711, gid: 4711, groups: vec![4711] });
    let spec = v1::RestrictedExec { ids, ..restricted("id -u; id -G") };
    let (code, said) = launch(&spec, is_root.then_some(65534));
    assert_eq!(code, Some(126));
    assert!(said.contains("cannot run as user 4711: only root may, and this monitor runs as user"), "{said}");
    if is_root && cfg!(target_os = "linux") {
        assert_eq!(launch(&spec, None), (Some(0), "4711\n4711\n".into()));
    }
}
