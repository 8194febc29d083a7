//! What a good file says: the example of the contract to the last value, defaults, overlays, variables.

#![cfg(unix)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::Name;
use sereno_config::{
    Check, CheckSpec, Command, Config, DependencyOn, EnvInherit, GiveUp, OnFailure, Policy, Ready, Service,
    StopTo, Success, daemon_policy, load,
};

use crate::common::{EXAMPLE, env};

fn read_with(text: &str, variables: &[(&str, &str)]) -> Config {
    load(Path::new("/srv/sereno.toml"), text, &env(variables))
        .unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

fn read(text: &str) -> Config {
    read_with(text, &[])
}

/// The service of a file that has one with these lines.
fn web(lines: &str) -> Service {
    read(&format!("[services.web]\ncommand = \"web\"\n{lines}")).services["web"].clone()
}

fn check(service: &Service, id: &str) -> Check {
    service.checks.get(id).unwrap_or_else(|| panic!("no check {id}")).clone()
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn argv(words: &[&str]) -> Command {
    Command::Argv(words.iter().map(|word| (*word).to_owned()).collect())
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_example_of_the_contract_says_what_the_contract_says() {
    let config = read(EXAMPLE);
    assert_eq!(config.supervisor.home, Path::new("/srv/.sereno"));
    assert_eq!(config.supervisor.log, "info");
    assert_eq!((config.supervisor.brake.share, config.supervisor.brake.min), (0.5, 4));
    assert_eq!(config.supervisor.brake.window, secs(30));
    assert!(config.supervisor.guard.enabled);
    assert_eq!(config.supervisor.guard.hang, secs(30));
    let kinds: Vec<_> =
        config.monitors.iter().map(|(name, m)| (name.as_str(), m.kinds.join(" "), m.managed)).collect();
    assert_eq!(kinds, [("health-monitor", "http exec".into(), true), ("port-monitor", "tcp".into(), true)]);

    let backend = &config.services["mw-vision-backend"];
    assert_eq!(backend.command, argv(&["python", "main_modular.py"]));
    assert_eq!(backend.cwd, Path::new("/srv/backend"));
    assert_eq!(backend.env, env(&[("PORT", "8000"), ("PYTHONUNBUFFERED", "1")]));
    assert_eq!(backend.env_inherit, EnvInherit::All);
    assert!(backend.autostart && backend.depends_on.is_empty() && backend.env_file.is_empty());
    assert_eq!((&backend.user, &backend.group, backend.umask, backend.nice), (&None, &None, None, None));

    let restart = &backend.restart;
    assert_eq!((restart.policy, &restart.success), (Policy::Always, &vec![Success::Code(0)]));
    assert_eq!((restart.delay, restart.initial, restart.max_wait), (secs(5), secs(1), secs(60)));
    assert_eq!((restart.factor, restart.jitter, restart.max), (2.0, 0.1, 50));
    assert_eq!((restart.min_uptime, restart.give_up), (secs(30), GiveUp::Stop));
    assert_eq!((restart.monitor_budget.max, restart.monitor_budget.within), (10, secs(3600)));

    assert_eq!(
        (backend.stop.signal.as_str(), backend.stop.to, backend.stop.timeout),
        ("SIGTERM", StopTo::Group, secs(10))
    );
    assert_eq!((backend.log.max_size, backend.log.keep, backend.log.compress), (50_000_000, 10, true));
    assert!(
        matches!(&backend.ready[..], [Ready::Check(a), Ready::Check(b)] if a == &name("health") && b == &name("port")),
        "{:?}",
        backend.ready
    );
    assert_eq!(backend.ready_timeout, secs(60));

    let port = check(backend, "port");
    assert_eq!(
        (port.kind.as_str(), port.interval, port.timeout, port.retry_interval),
        ("tcp", secs(30), secs(2), secs(30))
    );
    assert_eq!((port.failures, port.window, port.successes, port.on_failure), (3, 0, 1, OnFailure::Restart));
    assert_eq!(port.start_period, secs(60));
    let CheckSpec::Tcp { addresses, owner } = port.spec else { panic!("{:?}", port.spec) };
    assert_eq!((addresses, owner), (vec!["127.0.0.1:8000".into(), "[::1]:8000".into()], true));

    let health = check(backend, "health");
    assert_eq!((health.kind.as_str(), health.interval, health.timeout), ("http", secs(60), secs(5)));
    let CheckSpec::Http(http) = health.spec else { panic!("{:?}", health.spec) };
    assert_eq!((http.url.as_str(), http.method.as_str()), ("http://127.0.0.1:8000/health", "GET"));
    assert_eq!((http.expect_status, http.redirects, http.insecure), (vec![(200, 399)], 0, false));

    let frontend = &config.services["mw-vision-frontend"];
    let edge = &frontend.depends_on["mw-vision-backend"];
    assert_eq!((edge.on, edge.restart), (DependencyOn::Ready, false));
    assert_eq!(frontend.restart.initial, Duration::from_millis(500));
}

#[test]
fn monitors_never_stay_dead() {
    let policy = daemon_policy();
    assert_eq!((policy.initial, policy.max_wait), (Duration::from_millis(500), secs(30)));
    assert_eq!(
        (policy.max, policy.min_uptime, policy.give_up),
        (100, secs(60), GiveUp::Retry { every: secs(600) })
    );
}

#[test]
fn a_command_is_split_as_a_shell_would_and_a_list_is_taken_as_it_is() {
    let of = |line: &str| read(&format!("[services.web]\n{line}")).services["web"].command.clone();
    assert_eq!(of(r#"command = "run 'a b' \"c d\" e\\ f""#), argv(&["run", "a b", "c d", "e f"]));
    assert_eq!(of(r#"command = ["run", "a b", ""]"#), argv(&["run", "a b", ""]));
    assert_eq!(
        of(r#"shell = "echo $HOME ${X} $$ | cat""#),
        Command::Shell("echo $HOME ${X} $$ | cat".into())
    );
}

#[test]
fn every_form_of_a_value_is_read() {
    let service = web(r#"
env = { A = 1, B = true, C = 1.0, D = "x" }
env_file = [".env", "/etc/x.env"]
env_inherit = ["PATH"]
user = 1000
umask = "027"
limits = { nofile = 65536, core = "unlimited", as = "1GiB" }
restart = { success_codes = [0, "term"], give_up = "retry", retry_every = "1m", max_wait = "100ms" }
stop = { signal = "int", to = "main", command = "app stop", evidence = { command = "${A_TOOL:-dump} $${A} ${PID}", signal = "quit" } }
ready = ["notify", { log = "listening" }, { delay = "1s" }, "port"]
port = "10.0.0.1:80"
checks.ping = { kind = "exec", command = ["ping"], interval = "1s", failures = "5/10" }
tags = ["a", "b"]
"#);
    assert_eq!(service.env, env(&[("A", "1"), ("B", "true"), ("C", "1.0"), ("D", "x")]));
    assert_eq!(service.env_file, [PathBuf::from("/srv/.env"), PathBuf::from("/etc/x.env")]);
    assert_eq!(service.env_inherit, EnvInherit::Only(vec!["PATH".into()]));
    assert_eq!((service.user.as_deref(), service.umask), (Some("1000"), Some(0o027)));
    let limits: Vec<_> = service.limits.iter().map(|(name, limit)| (name.as_str(), *limit)).collect();
    assert_eq!(limits, [("as", Some(1 << 30)), ("core", None), ("nofile", Some(65536))]);
    assert_eq!(service.restart.success, [Success::Code(0), Success::Signal("SIGTERM".into())]);
    assert_eq!(service.restart.give_up, GiveUp::Retry { every: secs(60) });
    assert_eq!(service.restart.initial, Duration::from_millis(100), "a default makes room for what is given");
    assert_eq!((service.stop.signal.as_str(), service.stop.to), ("SIGINT", StopTo::Main));
    assert_eq!(service.stop.command, Some(vec!["app".into(), "stop".into()]));
    let evidence = service.stop.evidence.as_ref().expect("asked for");
    let asked = (evidence.command.as_ref().expect("a command").join(" "), evidence.signal.as_deref());
    assert_eq!(asked, ("dump ${A} ${PID}".into(), Some("SIGQUIT")));
    assert_eq!(evidence.timeout, secs(3));
    assert!(matches!(&service.ready[..], [Ready::Notify, Ready::Log(_), Ready::Delay(_), Ready::Check(_)]));
    let ping = check(&service, "ping");
    assert_eq!((ping.timeout, ping.failures, ping.window), (Duration::from_millis(800), 5, 10));
    assert!(matches!(ping.spec, CheckSpec::Exec { cwd, .. } if cwd == Path::new("/srv")));
    let CheckSpec::Tcp { addresses, owner } = check(&service, "port").spec else { panic!("tcp") };
    assert_eq!(
        (addresses, owner),
        (vec!["10.0.0.1:80".into()], false),
        "another host's sockets are not ours to see"
    );

    let service = web(
        "restart = \"never\"\nready = \"started\"\n[services.web.health]\nurl = \"https://x\"\n\
                       expect = { status = [200, \"301-302\"], body = \"^ok$\", json = { a.b = 1, c = [\"x\"] } }",
    );
    assert_eq!(service.restart.policy, Policy::Never);
    let CheckSpec::Http(http) = check(&service, "health").spec else { panic!("http") };
    assert_eq!(
        (http.expect_status, http.expect_body.as_deref()),
        (vec![(200, 200), (301, 302)], Some("^ok$"))
    );
    assert_eq!(http.expect_json, env(&[("a.b", "1"), ("c", "[\"x\"]")]));
}

#[test]
fn ready_timeout_and_start_period_stand_in_for_each_other() {
    let times = |lines: &str| {
        let service = web(lines);
        (service.ready_timeout, check(&service, "port").start_period)
    };
    assert_eq!(times("port = 1"), (secs(60), secs(60)));
    assert_eq!(times("port = 1\nready_timeout = \"5s\""), (secs(5), secs(5)));
    assert_eq!(times("port = { port = 1, start_period = \"90s\" }"), (secs(90), secs(90)));
    assert_eq!(
        times("port = { port = 1, start_period = \"3s\" }"),
        (secs(60), secs(3)),
        "it shortens nothing else"
    );
    assert_eq!(
        times("port = { port = 1, start_period = \"3s\" }\nready_timeout = \"5s\""),
        (secs(5), secs(3))
    );
}

#[test]
fn defaults_merge_table_by_table_and_lists_replace() {
    let config = read(
        r#"
[defaults]
env = { A = "1", B = "1" }
tags = ["all"]
restart = { delay = "5s", max = 7 }
shell = "default"
health = { interval = "10s" }
port = { interval = "9s" }
checks.redis = { interval = "8s" }
ready = { delay = "1s" }
[services.web]
command = "web"
env = { B = "2", C = "2" }
tags = ["own"]
restart.max = 9
health = "http://a"
checks.redis = { kind = "tcp", port = 1 }
ready = { log = "up" }
[services.job]
restart = "never"
"#,
    );
    let web = &config.services["web"];
    assert_eq!(web.command, argv(&["web"]), "a command replaces a shell line");
    assert_eq!(web.env, env(&[("A", "1"), ("B", "2"), ("C", "2")]));
    assert_eq!(web.tags, ["own"]);
    assert_eq!((web.restart.delay, web.restart.max), (secs(5), 9));
    assert_eq!(check(web, "health").interval, secs(10));
    assert_eq!(check(web, "redis").interval, secs(8));
    assert!(!web.checks.contains_key("port"), "how to check a port makes no port check");
    assert!(matches!(&web.ready[..], [Ready::Log(_)]));
    let job = &config.services["job"];
    assert_eq!(job.command, Command::Shell("default".into()));
    assert_eq!((job.restart.policy, job.restart.delay), (Policy::Never, secs(5)));
    assert!(job.checks.is_empty());
}

#[test]
fn only_this_systems_overlay_holds() {
    let systems = ["linux", "macos", "windows"];
    let overlays: String = systems
        .map(|s| format!("{s} = {{ command = \"{s}\", env = {{ V = \"${{ONLY_{s}}}\" }} }}\n"))
        .concat();
    let here = std::env::consts::OS;
    let variable = format!("ONLY_{here}");
    let text = format!("[services.web]\nshell = \"x\"\nenv.W = \"w\"\n{overlays}");
    let config = read_with(&text, &[(&variable, "v")]);
    assert_eq!(config.services["web"].command, argv(&[here]));
    assert_eq!(config.services["web"].env, env(&[("V", "v"), ("W", "w")]));
}

#[test]
fn variables_are_replaced_once_and_not_in_a_shell_line() {
    let text = r#"
[services.web]
shell = "echo ${A}"
env = { A = "${A}", B = "${NOPE:-b c}", C = "$$${A}", D = "$x$", E = "${EMPTY:-e}", shell = "${A}" }
port = "${PORT:-80}"
"#;
    let config = read_with(text, &[("A", "${B} $$"), ("EMPTY", "")]);
    let web = &config.services["web"];
    assert_eq!(web.command, Command::Shell("echo ${A}".into()));
    let expected =
        [("A", "${B} $$"), ("B", "b c"), ("C", "$${B} $$"), ("D", "$x$"), ("E", "e"), ("shell", "${B} $$")];
    assert_eq!(web.env, env(&expected));
    let CheckSpec::Tcp { addresses, .. } = check(web, "port").spec else { panic!("tcp") };
    assert_eq!(addresses, ["127.0.0.1:80", "[::1]:80"]);
}

#[test]
fn the_environment_has_the_last_word_on_the_supervisor() {
    let text = "[supervisor]\nhome = \"a\"\nguard = false\n";
    let config = read_with(
        text,
        &[
            ("SERENO_HOME", "/b"),
            ("SERENO_SUPERVISOR__LOG", "debug"),
            ("SERENO_SUPERVISOR__GUARD__HANG", "5s"),
            ("SERENO_SUPERVISOR__BRAKE__MIN", "9"),
        ],
    );
    assert_eq!(
        (config.supervisor.home.as_path(), config.supervisor.log.as_str()),
        (Path::new("/b"), "debug")
    );
    assert_eq!((config.supervisor.guard.hang, config.supervisor.brake.min), (secs(5), 9));
    let problems =
        load(Path::new("/srv/sereno.toml"), text, &env(&[("SERENO_SUPERVISOR__BRAKE__MIN", "many")]));
    assert_eq!(
        problems.expect_err("refused").to_string(),
        "sereno.toml: SERENO_SUPERVISOR__BRAKE__MIN = \"many\": must be a whole number from 1 to 1000000"
    );
}

#[test]
fn monitors_are_added_and_swapped() {
    let config = read(
        "[port-monitor]\nlisten = \"unix:///run/p.sock\"\n[monitors.port-monitor]\nprogram = \"bin/mine\"\nargs = [\"-v\"]\n\
         [monitors.redis]\n[monitors.pg]\nkind = \"postgres\"\nmanaged = false\nendpoint = \"unix:///run/pg.sock\"\n\
         [services.web]\ncommand = \"x\"\nchecks.r = { kind = \"redis\", options = { db = 1 } }",
    );
    let port = &config.monitors["port-monitor"];
    assert_eq!((port.program.as_deref(), &port.args[..]), (Some("/srv/bin/mine"), &["-v".to_owned()][..]));
    assert_eq!(
        (port.endpoint.as_deref(), &port.kinds[..]),
        (Some("unix:///run/p.sock"), &["tcp".to_owned()][..])
    );
    assert_eq!(config.monitors["redis"].kinds, ["redis"]);
    assert_eq!((config.monitors["pg"].kinds[0].as_str(), config.monitors["pg"].managed), ("postgres", false));
    let CheckSpec::Options(options) = check(&config.services["web"], "r").spec else { panic!("options") };
    assert_eq!(options, env(&[("db", "1")]));
}

#[test]
fn the_main_process_is_a_variable_of_stop_command_only() {
    let text = r#"
[services.web]
command = "web"
stop.command = ["${A}", "${MAINPID}", "$MAINPID", "${MAINPID:-1}"]
"#;
    let service = read_with(text, &[("A", "letter"), ("MAINPID", "7")]).services["web"].clone();
    let argv = ["letter", "${MAINPID}", "$MAINPID", "${MAINPID}"].map(String::from);
    assert_eq!(service.stop.command, Some(argv.to_vec()), "the supervisor replaces it");
    let text = "[services.web]\ncommand = \"web ${MAINPID}\"\n";
    let refused = load(Path::new("/srv/sereno.toml"), text, &env(&[])).expect_err("not set here");
    assert!(refused.to_string().contains("needs MAINPID, which is not set here"), "{refused}");
}

#[test]
fn a_socket_without_a_name_has_its_port_as_name() {
    let service =
        web("sockets = [{ listen = \"127.0.0.1:8000\" }, { name = \"b\", listen = \"[::1]:8000\" }]");
    let names: Vec<_> = service.sockets.iter().map(|socket| socket.name.as_str()).collect();
    assert_eq!(names, ["8000", "b"]);
}
