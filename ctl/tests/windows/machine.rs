//! What Windows is told of us, and what it can not do.

use crate::harness::System;

#[test]
fn what_this_system_has_not_is_refused_with_the_reason() {
    let system = System::new(
        "[services.web]\ncommand = 'cmd'\nsockets = [{ name = 'http', listen = '127.0.0.1:8000' }]\nready = 'notify'\n",
    );
    let answer = system.ctl(&["check"]);
    assert_eq!(answer.code, 2, "{}{}", answer.out, answer.err);
    for part in ["sockets", "ready", "Windows"] {
        assert!(answer.err.contains(part), "no {part} in {}", answer.err);
    }
}

#[test]
fn the_task_at_log_on_runs_what_was_applied() {
    let system = System::new("[services.a]\n{actor grandchild}\n").up();
    let shown = system.ctl(&["startup", "show", "--json"]).succeeded().out;
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["installed"], false);
    let task = shown["text"].as_str().unwrap_or_default();
    for part in ["<LogonTrigger>", "supervisor.exe", "--resume", ".sereno", "<ExecutionTimeLimit>PT0S<"] {
        assert!(task.contains(part), "no {part} in\n{task}");
    }
}
