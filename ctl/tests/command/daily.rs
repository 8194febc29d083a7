//! Commands around the daily ones: first files, imports, the doctor, what `ctl` says of itself.

use std::path::Path;

use serde_json::Value;

use crate::fake::World;
use crate::{service, status};
use proto::v1::ServiceState;

#[tokio::test(flavor = "multi_thread")]
async fn a_first_file_is_never_written_over_another() {
    let world = World::deserted();
    let answer = world.ctl("init").await;
    assert_eq!(answer.code, Some(1));
    assert!(answer.stderr.contains("is there already: --force replaces it"), "{}", answer.stderr);
    std::fs::write(world.path().join("package.json"), r#"{"main":"a.js"}"#).expect("written");
    std::fs::write(world.path().join("a.js"), "").expect("written");
    let answer = world.ctl("init --print").await;
    assert!(answer.stdout.contains("command = \"node a.js\""), "{}", answer.stdout);
    let answer = world.ctl("init -o new.toml").await;
    assert!(answer.stdout.starts_with("wrote "), "{}{}", answer.stdout, answer.stderr);
    assert!(world.path().join("new.toml").is_file());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dropped_is_listed_with_the_reason() {
    let world = World::deserted();
    let file = r#"{"apps":[{"name":"web","script":"sleep","args":"9","wait_ready":true,"watch":true,"instances":2}]}"#;
    std::fs::write(world.path().join("pm2.json"), file).expect("written");
    let answer = world.ctl("import pm2 pm2.json -o new.toml --json").await;
    let json: Value = serde_json::from_str(&answer.stdout).expect("JSON and nothing else");
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    let dropped = json["dropped"].as_array().expect("a list");
    assert!(dropped.iter().any(|one| one["option"] == "wait_ready = true"), "{dropped:?}");
    assert_eq!(world.ctl("check new.toml").await.code, Some(0));

    let answer = world.ctl("import pm2 pm2.json --env prod -o x.toml").await;
    assert_eq!(answer.code, Some(2));
    assert!(answer.stderr.contains("no app has env_prod; there are: none"), "{}", answer.stderr);
    assert_eq!(world.ctl("import pm2 nothing.json -o x.toml").await.code, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_procfile_is_imported() {
    let world = World::deserted();
    std::fs::write(world.path().join("Procfile"), "web: sleep $PORT\nnonsense\n").expect("written");
    let answer = world.ctl("import procfile -o new.toml").await;
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    assert!(answer.stdout.contains("line 2 (nonsense)"), "{}", answer.stdout);
    assert_eq!(world.ctl("check new.toml").await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_a_port_that_another_program_holds() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let world = World::deserted();
    let file = format!("[services.web]\ncommand = \"sleep 9\"\nport = {port}\n");
    std::fs::write(world.path().join("sereno.toml"), file).expect("written");
    let answer = world.ctl("doctor --json").await;
    let json: Value = serde_json::from_str(&answer.stdout).expect("JSON and nothing else");
    assert_eq!((answer.code, &json["ok"]), (Some(1), &Value::Bool(false)));
    let found = json["findings"].as_array().expect("a list");
    let held = format!("port {port} of web is held by ");
    let told = |finding: &&Value| finding["found"].as_str().is_some_and(|text| text.starts_with(&held));
    let finding = found.iter().find(told).unwrap_or_else(|| panic!("{found:#?}"));
    assert_eq!((&finding["about"], &finding["level"]), (&"ports".into(), &"wrong".into()));
    assert!(found.iter().filter(|finding| finding["level"] == "wrong").all(|finding| finding["fix"] != ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistyped_name_is_answered_with_the_nearest() {
    let world = World::with(status(&[service("web", ServiceState::Running, 5)]));
    let answer = world.ctl("status wbe").await;
    assert_eq!(answer.stderr, "ctl: no service is meant by \"wbe\"; did you mean \"web\"?\n");
    let answer = world.ctl("stats").await;
    assert_eq!(answer.code, Some(2));
    assert!(answer.stderr.contains("'status'"), "{}", answer.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_starts_at_boot_that_was_never_applied() {
    let world = World::deserted();
    let shown = world.ctl("startup show --user").await;
    assert!(shown.stdout.contains("KillMode=process"), "{}{}", shown.stdout, shown.stderr);
    let answer = world.ctl("startup install --user").await;
    assert_eq!(answer.code, Some(1));
    assert!(answer.stderr.contains("nothing was applied yet"), "{}", answer.stderr);
}

/// `SERENO_BLESS=1` writes it anew.
#[tokio::test(flavor = "multi_thread")]
async fn the_reference_of_commands_is_as_the_commands_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/commands.md");
    let answer = World::deserted().ctl("reference").await;
    if std::env::var_os("SERENO_BLESS").is_some() {
        std::fs::write(&path, &answer.stdout).expect("written");
    }
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = text.lines().zip(answer.stdout.lines()).find(|(is, should)| is != should);
    assert_eq!(differs, None, "docs/commands.md is old: run this test once with SERENO_BLESS=1");
    assert_eq!(text, answer.stdout, "docs/commands.md is old: run this test once with SERENO_BLESS=1");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ctl_says_of_itself() {
    let world = World::deserted();
    let schema: Value = serde_json::from_str(&world.ctl("schema").await.stdout).expect("JSON");
    assert_eq!(schema["title"], "sereno.toml");
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = world.ctl(&format!("completions {shell}")).await.stdout;
        assert!(script.contains("COMPLETE"), "{shell} asks ctl itself: {script}");
    }
    let pages = world.path().join("man");
    assert_eq!(world.ctl(&format!("man {}", pages.display())).await.code, Some(0));
    assert!(pages.join("ctl.1").is_file() && pages.join("ctl-import-pm2.1").is_file());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_was_doing_is_shown_in_full_and_safely() {
    let world = World::with(status(&[service("web", ServiceState::Running, 5)]));
    let answer = world.ctl("why --evidence web").await;
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    let text = "web (incarnation 4): its only thread stopped by SIGSTOP\n\npid 7 [2J (web)\n";
    assert_eq!(answer.stdout, text);
    let answer = world.ctl("why --evidence web --incarnation 9 --json").await;
    let json: Value = serde_json::from_str(&answer.stdout).expect("JSON and nothing else");
    assert_eq!((&json["service"], &json["incarnation"]), (&"web".into(), &9.into()), "{json}");
    assert!(json["evidence"].as_str().is_some_and(|text| text.contains("SIGSTOP")), "{json}");
    let answer = world.ctl("why --evidence db").await;
    assert_eq!(answer.code, Some(1));
    assert!(answer.stderr.contains("no evidence is kept of db"), "{}", answer.stderr);
}
