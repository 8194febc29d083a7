//! The real `ctl` against a supervisor that is a fake: what is asked, what is printed, which code it exits with.
#![cfg(unix)]

mod daily;
mod fake;
mod fuzz;
#[path = "../../../fuzz/mutate.rs"]
mod mutate;

use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;

use fake::{World, command, install};
use proto::v1::*;
use serde_json::Value;

fn service(name: &str, state: ServiceState, incarnation: u64) -> ServiceStatus {
    let runs = matches!(state, ServiceState::Running | ServiceState::Starting | ServiceState::Stopping);
    ServiceStatus {
        name: name.into(),
        wanted: Wanted::Up.into(),
        state: state.into(),
        incarnation,
        pid: if runs { 812 } else { 0 },
        uptime: runs.then_some(prost_types::Duration { seconds: 0, nanos: 540_000_000 }),
        ..ServiceStatus::default()
    }
}

fn status(services: &[ServiceStatus]) -> Status {
    let supervisor = SupervisorStatus { version: "0.1.0".into(), pid: 800, ..SupervisorStatus::default() };
    Status { supervisor: Some(supervisor), services: services.to_vec(), ..Status::default() }
}

fn outcome(service: &str, ok: bool, incarnation: u64, message: &str) -> Outcome {
    Outcome { service: service.into(), ok, message: message.into(), incarnation }
}

fn log(service: &str, data: &[u8]) -> ReadLogsResponse {
    ReadLogsResponse {
        service: service.into(),
        stream: LogStream::Stdout.into(),
        data: data.to_vec(),
        ..ReadLogsResponse::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_supervisor_everything_but_down_exits_with_3() {
    let world = World::deserted();
    for line in ["status", "start web", "logs", "why web", "events", "describe web", "upgrade"] {
        let answer = world.ctl(line).await;
        assert_eq!(answer.code, Some(3), "{line}: {}", answer.stderr);
        let socket = world.path().join(".sereno/run/supervisor.sock");
        let expected = format!(
            "ctl: the supervisor can not be reached at unix://{}: not running (no socket); start it \
             with \"ctl up\"\n",
            socket.display()
        );
        assert_eq!(answer.stderr, expected, "{line}");
    }
    let answer = world.ctl("down").await;
    assert_eq!((answer.code, answer.stdout.as_str()), (Some(0), "the supervisor is not running\n"));

    let answer = world.ctl("status --json").await;
    assert_eq!(answer.code, Some(3));
    let json: Value = serde_json::from_str(&answer.stdout).expect("JSON and nothing else");
    assert_eq!(json["supervisor"]["state"], "unreachable");
    assert_eq!(
        json["monitors"].as_array().map(Vec::len),
        Some(2),
        "the built-in ones are asked all the same"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn status_is_0_only_when_all_is_well() {
    let well = World::with(status(&[service("web", ServiceState::Running, 5)]));
    let answer = well.ctl("ps --json").await;
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    let json: Value = serde_json::from_str(&answer.stdout).expect("JSON");
    assert_eq!(json["services"][0]["incarnation"], 5);
    let answer = well.ctl("status nobody").await;
    assert_eq!(
        (answer.code, answer.stderr.as_str()),
        (Some(1), "ctl: no service is meant by \"nobody\"; there are: web, health-monitor, port-monitor\n")
    );

    let ill = World::with(status(&[service("web", ServiceState::Backoff, 5)]));
    let answer = ill.ctl("status").await;
    assert_eq!(answer.code, Some(1));
    assert!(answer.stdout.lines().all(|line| line.len() <= 80), "{}", answer.stdout);
    assert!(!answer.stdout.contains('\x1b'), "no colour in a pipe");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_never_answers_is_a_row() {
    let (world, _listeners) = World::frozen();
    let answer = world.ctl("status --json").await;
    assert_eq!(answer.code, Some(3));
    let json: Value = serde_json::from_str(&answer.stdout).expect("JSON");
    for daemon in [&json["supervisor"], &json["monitors"][0], &json["monitors"][1]] {
        assert_eq!(
            (&daemon["state"], &daemon["error"]),
            (&"unreachable".into(), &"no answer within 1 s".into())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_waits_until_it_is_ready_and_says_so() {
    let world = World::with(status(&[service("web", ServiceState::Stopped, 4)]));
    {
        let mut script = world.script.lock().expect("the script");
        script.outcomes = vec![outcome("web", true, 4, "starting; shop depends on it")];
        script.then = Some(status(&[service("web", ServiceState::Running, 5)]));
    }
    let answer = world.ctl("start web").await;
    assert_eq!(
        answer.stdout,
        "web  running  pid 812 (incarnation 5), ready after 0.5 s\nweb  shop depends on it\n"
    );
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    assert_eq!(world.asked(), ["start web"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_and_a_refusal_exit_with_1() {
    let world = World::with(status(&[service("web", ServiceState::Running, 5)]));
    {
        let mut script = world.script.lock().expect("the script");
        script.outcomes = vec![outcome("web", true, 5, ""), outcome("db", false, 0, "shutting down")];
        let failed = ServiceStatus { reason: "exit 1".into(), ..service("web", ServiceState::Backoff, 6) };
        script.then = Some(status(&[failed]));
    }
    let answer = world.ctl("restart --all").await;
    assert_eq!(answer.stdout, "db   refused  shutting down\nweb  backoff  exit 1\n");
    assert_eq!(answer.code, Some(1));
    assert_eq!(world.asked(), ["restart --all"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn time_runs_out_with_how_it_stands() {
    let starting =
        ServiceStatus { reason: "waits for port".into(), ..service("web", ServiceState::Starting, 5) };
    let world = World::with(status(&[starting]));
    world.script.lock().expect("the script").outcomes = vec![outcome("web", true, 4, "")];
    let answer = world.ctl("start web --timeout 100ms --json").await;
    assert_eq!(answer.code, Some(1));
    let json: Value = serde_json::from_str(&answer.stdout).expect("JSON");
    assert_eq!(json["outcomes"][0]["state"], "starting");
    assert_eq!(json["outcomes"][0]["message"], "time is up: waits for port");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_take_no_time_say_what_was_done() {
    let world = World::with(Status::default());
    world.script.lock().expect("the script").outcomes = vec![outcome("web", true, 5, "HUP to 3 processes")];
    let answer = world.ctl("signal HUP web").await;
    assert_eq!((answer.code, answer.stdout.as_str()), (Some(0), "web  HUP to 3 processes\n"));
    world.ctl("pause web --for 30m").await;
    assert_eq!(world.asked(), ["signal HUP web", "pause 1800 web"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_supervisor_says_decides_the_code() {
    let world = World::with(Status::default());
    for (line, code, stderr) in [
        ("upgrade", 1, "ctl: upgrade: not in this version\n"),
        ("reload web", 1, "ctl: reload: not in this version\n"),
        (
            "reset nobody",
            1,
            "ctl: no service is meant by \"nobody\"; there are: web, health-monitor, port-monitor\n",
        ),
        ("resume web", 2, "ctl: selection: empty\n"),
    ] {
        let answer = world.ctl(line).await;
        assert_eq!((answer.code, answer.stderr.as_str()), (Some(code), stderr), "{line}");
        assert_eq!(answer.stdout, "", "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_of_one_are_its_bytes_and_of_several_are_named_lines() {
    let world = World::with(status(&[
        service("web", ServiceState::Running, 1),
        service("db", ServiceState::Running, 1),
    ]));
    world.script.lock().expect("the script").logs = vec![log("web", b"a\nb")];
    let answer = world.ctl("logs web").await;
    assert_eq!((answer.code, answer.stdout.as_str()), (Some(0), "a\nb"));

    world.script.lock().expect("the script").logs =
        vec![log("web", b"he"), log("db", b"x\n"), log("web", b"y\n")];
    let answer = world.ctl("logs -n 7 --stderr").await;
    assert_eq!(answer.stdout, "db  | x\nweb | hey\n");
    let answer = world.ctl("logs --json db web").await;
    assert_eq!(answer.stdout.lines().count(), 2);
    let first: Value = serde_json::from_str(answer.stdout.lines().next().expect("a line")).expect("JSON");
    assert_eq!((&first["service"], &first["text"]), (&"db".into(), &"x".into()));
    assert_eq!(
        world.asked(),
        [
            "logs lines=50 follow=false stream=0",
            "logs lines=7 follow=false stream=2",
            "logs lines=50 follow=false stream=0",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_enough_ends_it_quietly() {
    let world = World::with(status(&[service("web", ServiceState::Running, 1)]));
    world.script.lock().expect("the script").logs = vec![log("web", &b"line\n".repeat(1000))];
    let folder = world.path().to_owned();
    let ended = tokio::task::spawn_blocking(move || {
        let mut command = command(Path::new(env!("CARGO_BIN_EXE_ctl")), &folder, "logs -f web");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("ctl runs");
        let mut head = [0; 5];
        child.stdout.take().expect("a pipe").read_exact(&mut head).expect("a line");
        let mut complaint = String::new();
        child.stderr.take().expect("a pipe").read_to_string(&mut complaint).expect("text");
        (child.wait().expect("it ends").code(), complaint)
    });
    assert_eq!(ended.await.expect("no panic"), (Some(0), String::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn why_prints_the_chain_or_that_there_is_none() {
    let world = World::with(status(&[service("web", ServiceState::Running, 1)]));
    let answer = world.ctl("why web").await;
    assert_eq!((answer.code, answer.stdout.as_str()), (Some(0), "web has not been restarted yet\n"));
    let answer = world.ctl("why bew").await;
    assert_eq!(answer.code, Some(1));
    assert_eq!(
        answer.stderr,
        "ctl: no service or daemon has the name \"bew\"; there are: web, health-monitor, port-monitor\n"
    );

    let now = std::time::SystemTime::now();
    world.script.lock().expect("the script").events = vec![Event {
        seq: 9,
        time: Some(now.into()),
        source: "supervisor".into(),
        kind: "exit".into(),
        message: "exit 3 after 2h 4m".into(),
        ..Event::default()
    }];
    let answer = world.ctl("why web --incarnation 5").await;
    assert!(answer.stdout.ends_with("  supervisor      exit 3 after 2h 4m\n"), "{}", answer.stdout);
    let answer = world.ctl("events -n 5 --json").await;
    let json: Value = serde_json::from_str(&answer.stdout).expect("JSON");
    assert_eq!((&json["events"][0]["seq"], &json["events"][0]["cause"]), (&9.into(), &Value::Null));
    assert_eq!(
        world.asked(),
        ["web why=true limit=0", "bew why=true limit=0", "web why=true limit=0", " why=false limit=5"]
            .map(|asked| format!("timeline {asked}"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn down_returns_when_nobody_listens_any_more() {
    let world = World::with(status(&[service("web", ServiceState::Running, 1)]));
    let answer = world.ctl("down").await;
    assert_eq!(
        answer.stdout, "web  stopped\nthe supervisor and its monitors have ended\n",
        "{}",
        answer.stderr
    );
    assert_eq!(answer.code, Some(0));
    assert_eq!(world.ctl("down").await.stdout, "the supervisor is not running\n");

    let world = World::with(status(&[service("web", ServiceState::Running, 1)]));
    let answer = world.ctl("down --keep-services").await;
    assert_eq!(answer.stdout, "web  kept running\nthe supervisor and its monitors have ended\n");
    assert_eq!(world.asked(), ["shutdown keep=true"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn up_applies_the_file_where_a_supervisor_runs() {
    let world = World::with(status(&[service("web", ServiceState::Running, 1)]));
    world.script.lock().expect("the script").steps =
        vec![Step { service: "web".into(), effect: Effect::None.into(), changes: Vec::new() }];
    let answer = world.ctl("up --wait").await;
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    let file = world.path().join("sereno.toml");
    let file = file.display();
    assert_eq!(
        answer.stdout,
        format!("applied {file}\nnothing changes\nweb  running  pid 812 (incarnation 1), up 0.5 s\n")
    );
    assert_eq!(world.asked(), [format!("apply start=true {file}")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_started_from_a_file_with_an_error() {
    let world = World::deserted();
    let ctl = install(world.path(), "touch started");
    std::fs::write(world.path().join("sereno.toml"), "[services.web]\ncommand = 5\nport = 99999\n")
        .expect("a file");
    let answer = world.run(&ctl, "up -d").await;
    assert_eq!((answer.code, answer.stdout.as_str()), (Some(2), ""));
    let problems = answer.stderr.lines().filter(|line| line.contains("sereno.toml:")).count();
    assert_eq!(problems, 3, "each problem and the conclusion: {}", answer.stderr);
    assert!(answer.stderr.ends_with("2 problems; nothing was started\n"), "{}", answer.stderr);
    assert!(!world.path().join("started").exists());

    let answer = world.ctl("check").await;
    assert_eq!(answer.code, Some(2));
    let answer = world.ctl("check --json").await;
    assert_eq!(answer.code, Some(2));
    let json: Value = serde_json::from_str(&answer.stdout).expect("JSON");
    assert_eq!(json["problems"].as_array().map(Vec::len), Some(2), "{json}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_that_dies_at_once_says_why() {
    let world = World::deserted();
    let ctl = install(world.path(), "echo \"supervisor: bind: no $1 $3\" >&2; exit 1");
    let answer = world.run(&ctl, "up -d").await;
    assert_eq!(answer.code, Some(1));
    assert_eq!(answer.stderr, "ctl: start the supervisor: bind: no --file --detach\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_errors_exit_with_2_and_help_with_0() {
    let world = World::deserted();
    for line in ["", "start", "nonsense", "logs --since soon", "-f nowhere.toml status"] {
        let answer = world.ctl(line).await;
        assert_eq!((answer.code, answer.stdout.as_str()), (Some(2), ""), "{line}");
        assert!(!answer.stderr.is_empty(), "{line}");
    }
    let answer = world.ctl("--help").await;
    assert_eq!(answer.code, Some(0));
    assert!(answer.stdout.lines().all(|line| line.chars().count() <= 80), "{}", answer.stdout);
    let answer = world.ctl("completions bash").await;
    assert!(answer.stdout.contains("_ctl()"), "{}", answer.stderr);
}
