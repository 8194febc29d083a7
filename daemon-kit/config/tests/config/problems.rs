//! What is said about a wrong file: the exact words, and where.

#![cfg(unix)]

use std::path::Path;

use crate::cases::{FILES, LINES};
use sereno_config::{Env, Problems, load};

fn problems(text: &str) -> Problems {
    load(Path::new("/srv/sereno.toml"), text, &Env::new()).expect_err(text)
}

/// A file that is one service with these lines, and what is said about it.
fn service(lines: &str) -> String {
    problems(&format!("[services.web]\ncommand = \"web\"\n{lines}")).to_string()
}

#[test]
fn every_wrong_line_is_named_with_its_place_its_value_and_its_rule() {
    let mut wrong = Vec::new();
    for (lines, expected) in LINES {
        let said = service(lines);
        if said != format!("sereno.toml:{expected}") {
            wrong.push(format!("{lines}\n  said     {said}\n  expected sereno.toml:{expected}\n"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.concat());
}

#[test]
fn what_stop_evidence_needs_is_said() {
    for (lines, expected) in [
        ("stop.evidence.timeout = \"3s\"", "3:6: services.web.stop.evidence: needs command or signal"),
        (
            "stop.evidence = { command = [] }",
            "3:29: services.web.stop.evidence.command = []: must name a program",
        ),
        (
            "stop.evidence = { signal = \"KILL\" }",
            "3:28: services.web.stop.evidence.signal = \"KILL\": is not handed to the service, so that it can tell nothing",
        ),
        (
            "stop.evidence = { signal = \"QUIT\", timeout = \"0s\" }",
            "3:46: services.web.stop.evidence.timeout = \"0s\": must be at least 1ms",
        ),
        (
            "stop.evidence = { command = \"dump ${PIT}\" }",
            "3:29: services.web.stop.evidence.command = \"dump ${PIT}\": needs PIT, which is not set here; ${PIT:-default} would do without, $$ is a dollar",
        ),
        ("stop.evidence = \"py-spy\"", "3:17: services.web.stop.evidence = \"py-spy\": must be a table"),
    ] {
        assert_eq!(service(lines), format!("sereno.toml:{expected}"));
    }
}

#[test]
fn every_wrong_file_is_named_with_its_place_its_value_and_its_rule() {
    let mut wrong = Vec::new();
    for (text, expected) in FILES {
        let said = problems(text).to_string();
        if said != *expected {
            wrong.push(format!("{text}\n  said     {said}\n  expected {expected}\n"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.concat());
}

#[test]
fn all_problems_are_said_at_once_in_order_of_place() {
    let text = "\
[supervisor]
lgo = \"info\"

[services.web]
comand = \"x\"
port = 70000
depends_on = [\"web\", \"nope\"]
restart = { max = -1, jitter = 7 }
env = { A = \"${NOPE}\" }

[services.db]
command = \"x\"
umask = 7
";
    assert_eq!(
        problems(text).to_string(),
        "\
sereno.toml:2:1: supervisor.lgo: is not a known key (did you mean \"log\"?)
sereno.toml:4:1: services.web: needs a command (or shell = \"…\")
sereno.toml:5:1: services.web.comand: is not a known key (did you mean \"command\"?)
sereno.toml:6:8: services.web.port = 70000: must be a port from 1 to 65535
sereno.toml:7:14: services.web.depends_on: must not go round in a circle: web -> web
sereno.toml:7:22: services.web.depends_on[1]: needs a service that is not there: nope
sereno.toml:8:19: services.web.restart.max = -1: must be a whole number from 0 to 1000000000
sereno.toml:8:32: services.web.restart.jitter = 7: must be a number from 0 to 0.99
sereno.toml:9:13: services.web.env.A: needs NOPE, which is not set here; ${NOPE:-default} would do without, $$ is a dollar
sereno.toml:13:9: services.db.umask = 7: must be an octal string from \"000\" to \"777\", such as \"022\""
    );
}

#[test]
fn a_column_is_a_character_and_not_a_byte() {
    let all = problems("[services.web]\ncommand = \"x\"\nenv = { A = \"ñandú 😀\", B = [] }\n");
    let problem = all.iter().next().expect("one");
    assert_eq!((problem.line, problem.column), (3, 28));
    let all = problems("# ¡olé!\r\n[services.web]\r\ncommand = 'ñ'\r\ntags = ['é', 1]\r\n");
    let places: Vec<_> = all.iter().map(|problem| (problem.line, problem.column)).collect();
    assert_eq!(places, [(4, 9), (4, 14)]);
}

#[test]
fn a_problem_names_its_service_and_one_of_defaults_names_none_and_is_said_once() {
    let all = problems(
        "[defaults]\nnice = 99\n[services.a]\ncommand = \"x\"\nport = 0\n[services.b]\ncommand = \"x\"\n",
    );
    let whose: Vec<_> =
        all.iter().map(|p| (p.key.as_str(), p.service.as_ref().map(proto::Name::as_str))).collect();
    assert_eq!(whose, [("defaults.nice", None), ("services.a.port", Some("a"))]);
}

#[test]
fn a_long_value_is_cut_between_characters() {
    let long = "ñ".repeat(200);
    let said = service(&format!("umask = \"{long}\""));
    assert!(said.contains(&format!("= \"{}…\": must be", "ñ".repeat(40))), "{said}");
}
