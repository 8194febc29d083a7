//! Arguments of `cargo deploy chaos` and the like reach the program `trials` as they are.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

#[test]
fn arguments_are_passed_on_unread() {
    let folder = tempfile::tempdir().expect("a folder");
    let cargo = folder.path().join("cargo");
    std::fs::write(&cargo, "#!/bin/sh\nprintf '%s\\n' \"$@\"\nexit 7\n").expect("written");
    std::fs::set_permissions(&cargo, std::fs::Permissions::from_mode(0o755)).expect("executable");
    for given in [
        &["conformance", "--", "a monitor", "--help"][..],
        &["attack", "--only", "blind", "--", "-x"],
        &["chaos", "--help"],
        &["stress"],
    ] {
        #[expect(clippy::disallowed_methods, reason = "the program itself is what is tested")]
        let mut command = Command::new(env!("CARGO_BIN_EXE_deploy"));
        let output = command.args(given).env("CARGO", &cargo).output().expect("runs");
        assert_eq!(output.status.code(), Some(7), "cargo's exit code");
        let said = String::from_utf8_lossy(&output.stdout);
        let (before, passed) = said.split_once("\n--\n").expect("arguments for the program");
        assert!(before.contains("--package\ntrials\n"), "{before}");
        assert_eq!(passed.lines().collect::<Vec<_>>(), given);
    }
}
