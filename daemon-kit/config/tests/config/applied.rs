//! The copy of a file that is kept as the applied one, and services that no file names.

#![cfg(unix)]

use std::path::Path;

use proto::Name;
use sereno_config::{Command, Config, Env, applied_text, load, load_service};

use crate::common::{EXAMPLE, env};

/// What a file says, but for where it lies.
fn meaning(config: &Config) -> String {
    format!("{:#?}", (&config.supervisor, &config.services, &config.monitors))
}

#[test]
fn the_applied_copy_says_the_same_from_elsewhere_and_without_the_environment() {
    let rich = r#"
[supervisor]
log = "debug"
brake.share = 1.0
guard = false
[defaults]
env = { D = "${V}" }
health = { interval = "10s", ca_file = "ca.pem" }
[monitors.redis]
program = "./redis"
[port-monitor]
log = "warn"
[services.web]
shell = "echo $$ ${A} $HOME"
cwd = "${SUB:-web}"
env_file = ".env"
env = { A = "${V}", B = "$$x", "odd key" = 1.0 }
health = "http://a"
log = { stdout = "out.log" }
checks.ex = { kind = "exec", command = "a '$$'", cwd = "sub" }
stop = { command = "stop ${A:-x} $MAINPID ${MAINPID}" }
linux = { nice = 3 }
[services."a.b"]
command = ["x"]
depends_on = ["web"]
ready = [{ log = "a$" }]
"#;
    for text in [EXAMPLE, rich, ""] {
        let variables = env(&[("V", "$${A} \"quoted\"\nline"), ("SERENO_SUPERVISOR__GUARD__HANG", "7s")]);
        let path = Path::new("/srv/sereno.toml");
        let original = load(path, text, &variables).unwrap_or_else(|problems| panic!("{problems}"));
        let applied = applied_text(path, text, &variables).expect("good");
        let there = Path::new("/srv/.sereno/state/applied.toml");
        let again =
            load(there, &applied, &Env::new()).unwrap_or_else(|problems| panic!("{problems}\n{applied}"));
        assert_eq!(meaning(&original), meaning(&again), "{applied}");
        assert_eq!(
            applied_text(there, &applied, &Env::new()).expect("good"),
            applied,
            "applying it again changes nothing"
        );
    }
}

#[test]
fn a_service_without_a_file_is_judged_with_the_others() {
    let config = load(Path::new("/srv/sereno.toml"), EXAMPLE, &Env::new()).expect("good");
    let add = |called: &str, text: &str| {
        load_service(
            &Name::new(called).expect("a name"),
            text,
            Path::new("/tmp/x"),
            &env(&[("P", "p")]),
            &config,
        )
    };
    let service = add("extra", "command = \"run ${P}\"\ndepends_on = [\"mw-vision-backend\"]").expect("good");
    assert_eq!(
        (service.command, service.cwd.as_path()),
        (Command::Argv(vec!["run".into(), "p".into()]), Path::new("/tmp/x"))
    );
    let said = |called: &str, text: &str| add(called, text).expect_err(text).to_string();
    assert_eq!(
        said("extra", "command = 1\nnice = 1\nnise = 2"),
        "\
        extra:1:11: services.extra.command = 1: must be a string or a list of strings\n\
        extra:3:1: services.extra.nise: is not a known key (did you mean \"nice\"?)"
    );
    assert_eq!(
        said("extra", "command = \"x\"\ndepends_on = [\"mw-vision-backed\"]"),
        "extra:2:15: services.extra.depends_on[0]: needs a service that is not there: mw-vision-backed \
         (did you mean \"mw-vision-backend\"?)"
    );
    assert!(said("ctl", "command = \"x\"").contains("reserved name"));
    assert!(said("extra", "command = ").contains("extra:1:11: "), "{}", said("extra", "command = "));
}
