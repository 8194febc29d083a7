//! A file with an error: all of them at once, exit code 2, and nothing is touched.

use crate::harness::System;

#[test]
fn nothing_is_started_from_it_and_every_error_is_said() {
    let system = System::new(
        r#"
        [services.web]
        comand = "sleep 1000"
        restart = { max = -1 }
        [services.api]
        command = "no-such-program --x"
        cwd = "nowhere"
        depends_on = ["bd"]
        [services.db]
        command = "sleep 1000"
        "#,
    );
    for verb in [["check"].as_slice(), &["up", "-d"]] {
        let answer = system.ctl(verb);
        assert_eq!(answer.code, 2, "{}", answer.err);
        for part in ["comand", "did you mean \"command\"", "max", "-1", "depends_on", ": bd", "\"db\""] {
            assert!(answer.err.contains(part), "no {part:?} in {}", answer.err);
        }
    }
    assert!(!system.path(".sereno").exists(), "nothing was made");
    assert_eq!(system.ctl(&["status"]).code, 3);
}

#[test]
fn a_program_that_is_not_there_is_an_error_before_anything_starts() {
    let system =
        System::new("[services.web]\ncommand = \"no-such-program\"\n[services.db]\ncommand = \"sleep 1\"\n");
    let answer = system.ctl(&["up", "-d"]);
    assert_eq!(answer.code, 2);
    assert!(answer.err.contains("no-such-program"), "{}", answer.err);
    assert_eq!(system.processes(), []);
}

#[test]
fn half_an_edit_changes_nothing_that_runs() {
    let system = System::new("[services.web]\ncommand = \"sleep 1000\"\n").up();
    let before = system.service("web");
    system.write("[services.web]\ncommand = \"sleep 2000\n");
    assert_eq!(system.ctl(&["up", "-d"]).code, 2);
    assert_eq!(system.ctl(&["apply"]).code, 2);
    assert_eq!(system.service("web").pid(), before.pid());
    system.write("[services.web]\ncommand = \"sleep 2000\"\n[services.new]\ncommand = \"sleep 3000\"\n");
    let plan = system.ctl(&["plan"]).succeeded().out;
    assert!(plan.contains("web") && plan.contains("restart") && plan.contains("new"), "{plan}");
    assert_eq!(system.service("web").pid(), before.pid(), "a plan does nothing");
    assert_eq!(system.status()["config_newer"], true);
    system.ctl(&["apply"]).succeeded();
    system.until_restarted(&before);
    system.until_state("new", "running");
    system.write("[services.web]\ncommand = \"sleep 2000\"\n");
    system.ctl(&["apply"]).succeeded();
    crate::harness::eventually("the other is gone", || system.service("new").0.is_null());
}

#[test]
fn in_a_folder_that_is_gone_an_absolute_file_will_do_and_else_it_is_said() {
    let system = System::new("[services.web]\ncommand = \"sleep 1000\"\n");
    let gone = |rest: &str| {
        let (ctl, file) = (crate::harness::binaries().join("ctl"), system.path("sereno.toml"));
        let rest = rest.replace("FILE", &file.display().to_string());
        let script = format!("mkdir gone && cd gone && rmdir ../gone && exec {} {rest}", ctl.display());
        let mut shell = std::process::Command::new("sh");
        let answer = shell.args(["-c", &script]).current_dir(system.path("")).output().expect("sh runs");
        (answer.status.code(), String::from_utf8_lossy(&answer.stderr).into_owned())
    };
    assert_eq!(gone("-f FILE check"), (Some(0), String::new()));
    let (code, said) = gone("check");
    assert!(
        code == Some(2) && said.contains("the folder that you are in can not be read"),
        "{code:?} {said}"
    );
}
