//! Nobody else gets in, and nothing gets out: modes, owners, links, powers and secrets.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::harness::{System, binaries, eventually, poll};

fn is_root() -> bool {
    let root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if !root {
        eprintln!("SKIPPED: only root may run a service as somebody else");
    }
    root
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
}

/// Everything below a folder.
pub(crate) fn all(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found
}

const SLEEPER: &str = "[services.web]\ncommand = \"sleep 1000\"\n";

#[test]
fn what_others_can_write_is_refused_and_nothing_starts() {
    let system = System::new(SLEEPER);
    for (name, good) in [("sereno.toml", 0o644), (".sereno", 0o700)] {
        let path = system.path(name);
        if !path.exists() {
            fs::create_dir(&path).expect("made");
        }
        set_mode(&path, 0o777);
        for verb in [&["up", "-d"][..], &["check"]] {
            let answer = system.ctl(verb);
            assert_eq!(answer.code, 2, "{name} {verb:?}: {}{}", answer.out, answer.err);
            let refused = format!("{}: can be written by everybody", path.display());
            assert!((answer.out + &answer.err).contains(&refused), "{refused}");
        }
        // The supervisor judges by itself: it may be started without ctl.
        let started = std::process::Command::new(binaries().join("supervisor"))
            .arg("-f")
            .arg(system.path("sereno.toml"))
            .output()
            .expect("runs");
        let said = String::from_utf8_lossy(&started.stderr).into_owned();
        assert_eq!(started.status.code(), Some(2), "{said}");
        assert!(said.contains("can be written by everybody"), "{said}");
        set_mode(&path, good);
    }
    assert!(!system.path(".sereno/run/supervisor.sock").exists(), "nothing was started");

    // A folder in which anybody could put another file in place of ours.
    set_mode(&system.path(""), 0o777);
    assert_eq!(system.ctl(&["up", "-d"]).code, 2);
    set_mode(&system.path(""), 0o700);
    let env_file = system.path("secrets.env");
    fs::write(&env_file, "A=1\n").expect("written");
    system.write(&format!("{SLEEPER}env_file = \"secrets.env\"\n"));
    set_mode(&env_file, 0o646);
    let answer = system.ctl(&["up", "-d"]);
    assert_eq!(answer.code, 2);
    assert!(answer.err.contains("secrets.env: can be written by everybody"), "{}", answer.err);
    set_mode(&env_file, 0o644);
    let doctor = system.ctl(&["doctor"]).out;
    assert!(doctor.contains("secrets.env can be read by other users"), "{doctor}");
    let system = system.up();
    system.down();
}

/// How many sockets there are, and what others could get at.
pub(crate) fn look_at_modes(folder: &Path) -> (usize, Vec<String>) {
    let (mut sockets, mut wrong) = (0, Vec::new());
    for path in all(folder) {
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        let (kind, mode) = (meta.file_type(), meta.mode() & 0o777);
        let good = match () {
            () if kind.is_dir() => mode == 0o700,
            () if kind.is_socket() || kind.is_fifo() => mode == 0o600,
            // What services and daemons wrote, and what happened: nobody gets at it through the folders.
            () => mode & 0o022 == 0,
        };
        sockets += usize::from(kind.is_socket());
        if !good {
            wrong.push(format!("{} {mode:o}", path.display()));
        }
    }
    (sockets, wrong)
}

#[test]
fn everything_of_a_home_is_its_owners_only() {
    let system = System::new(SLEEPER);
    for folder in ["", "run", "state"] {
        let path = system.path(".sereno").join(folder);
        fs::create_dir(&path).expect("made");
        set_mode(&path, 0o755);
    }
    let system = system.up();
    let (mut sockets, mut wrong) = (0, Vec::new());
    // A socket has its mode a moment after its name, and nobody can connect before.
    let closed = poll(|| {
        (sockets, wrong) = look_at_modes(&system.path(".sereno"));
        wrong.is_empty()
    });
    assert!(closed, "{wrong:?}");
    assert!(sockets >= 3, "{sockets}");
    for name in ["applied.toml", "applied.json", "state.json", "launch.json", "instance"] {
        let mode = fs::metadata(system.path(".sereno/state").join(name)).map(|meta| meta.mode() & 0o777);
        assert!(
            mode.as_ref().is_ok_and(|mode| *mode == 0o600) || (mode.is_err() && name == "state.json"),
            "{name}: {mode:?}"
        );
    }
    system.down();
}

#[test]
fn a_link_in_place_of_a_log_is_not_followed() {
    let system = System::new(
        r#"
        [services.web]
        shell = "echo planted; exec sleep 1000"
        log.stdout = "open/web.log"
        ready = "started"
        "#,
    );
    let (open, precious) = (system.path("open"), system.path("precious"));
    fs::create_dir(&open).expect("made");
    fs::write(&precious, "as it was").expect("written");
    std::os::unix::fs::symlink(&precious, open.join("web.log")).expect("planted");
    let system = system.up();
    eventually("said", || {
        fs::read_to_string(system.path(".sereno/log/supervisor.log")).is_ok_and(|log| log.contains("web.log"))
    });
    assert_eq!(fs::read_to_string(&precious).expect("there"), "as it was");
    assert_eq!(system.service("web").state(), "running", "a log that can not be written stops nobody");
    system.down();
}

/// A line of `/proc/self/status`, as a service saw it of itself.
fn seen(log: &[u8], field: &str) -> String {
    let text = String::from_utf8_lossy(log).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':').map(str::to_owned));
    line.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_service_has_the_user_groups_and_powers_it_was_given_and_no_others() {
    if !is_root() {
        return;
    }
    let look = "cat /proc/self/status; exec sleep 1000";
    let system = System::new(&format!(
        r#"
        [services.plain]
        shell = "{look}"
        cwd = "/"
        user = "nobody"
        group = "daemon"
        umask = "077"
        [services.port]
        shell = "{look}"
        cwd = "/"
        user = "nobody"
        capabilities = ["net_bind_service"]
        no_new_privileges = true
        [services.root]
        shell = "{look}"
        capabilities = ["CAP_CHOWN", "kill"]
        [services.none]
        shell = "{look}"
        user = "65534"
        capabilities = []
        "#
    ))
    .up();
    let daemon = fs::read_to_string("/etc/group").expect("there");
    let daemon = daemon
        .lines()
        .find_map(|line| line.strip_prefix("daemon:")?.split(':').nth(1))
        .expect("there")
        .to_owned();
    let nobody = "65534 65534 65534 65534";
    let group = [daemon.as_str(); 4].join(" ");
    // Uid, Gid, Groups; effective, bounding and ambient set; NoNewPrivs.
    let zero = "0000000000000000";
    let expected = [
        ("plain", [nobody, &group, &daemon, zero, "", zero, "0"]),
        ("port", [nobody, nobody, "65534", "0000000000000400", "0000000000000400", "0000000000000400", "1"]),
        ("root", ["0 0 0 0", "0 0 0 0", "", "0000000000000021", "0000000000000021", "0000000000000021", "0"]),
        ("none", [nobody, nobody, "65534", zero, zero, zero, "0"]),
    ];
    for (name, fields) in expected {
        let log = || system.log(&format!("{name}.out.log"));
        eventually("it looks at itself", || !seen(&log(), "NoNewPrivs").is_empty());
        let log = log();
        let names = ["Uid", "Gid", "Groups", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs"];
        for (field, expected) in names.into_iter().zip(fields).filter(|(_, expected)| !expected.is_empty()) {
            assert_eq!(seen(&log, field), expected, "{field} of {name}");
        }
    }
    assert_eq!(seen(&system.log("plain.out.log"), "Umask"), "0077");
    system.down();
}

#[test]
fn secrets_do_not_get_out() {
    const SECRETS: [&str; 6] = [
        "sEcr3t-of-env",
        "sEcr3t-of-file",
        "sEcr3t-of-caller",
        "sEcr3t-of-url",
        "sEcr3t-of-conn",
        "sEcr3t-of-github",
    ];
    let file = |port: u16| {
        format!(
            r#"
            [supervisor]
            log = "trace"
            [health-monitor]
            log = "trace"
            [services.web]
            command = "sleep 1000"
            env = {{ API_KEY = "sEcr3t-of-env", DATABASE_URL = "postgres://app:sEcr3t-of-url@db/x", CONN = "Server=h;Password=sEcr3t-of-conn;", X = "ghp_sEcr3t-of-github", PORT = {port} }}
            env_file = "secrets.env"
            [services.sick]
            shell = "exit 3"
            env = {{ API_KEY = "sEcr3t-of-env" }}
            "#
        )
    };
    let system = System::new(&file(1));
    fs::write(system.path("secrets.env"), "FROM_FILE=sEcr3t-of-file\n").expect("written");
    set_mode(&system.path("secrets.env"), 0o600);
    let up = system.command(&["up", "-d"]).env("CALLER_TOKEN", "sEcr3t-of-caller").output().expect("runs");
    assert!(up.status.success());
    system.until_state("web", "running");
    system.until("sick", "restarted", |sick| sick.number("restarts") > 1);
    system.write(&file(2));

    let mut said = vec![(String::from("up"), up.stdout), ("up (stderr)".into(), up.stderr)];
    for line in [
        "status",
        "status --json",
        "describe web",
        "describe web --json",
        "describe sick",
        "events",
        "events --json",
        "why sick",
        "why sick --json",
        "plan",
        "plan --json",
        "apply",
        "check",
        "doctor",
        "doctor --json",
        "logs -n 1000",
        "logs supervisor -n 5000",
        "logs health-monitor -n 5000",
        "restart web",
        "stop web",
        "start web",
    ] {
        let args: Vec<&str> = line.split(' ').collect();
        let answer = system.ctl(&args);
        said.push((line.into(), (answer.out + &answer.err).into_bytes()));
    }
    // What is kept on disk: only the applied file knows them, and only its owner may read it.
    let applied = ["applied.toml", "applied.json", "launch.json"];
    for path in all(&system.path(".sereno")).into_iter().filter(|path| path.is_file()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if applied.contains(&&*name) {
            assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600, "{}", path.display());
        } else {
            said.push((path.display().to_string(), fs::read(&path).unwrap_or_default()));
        }
    }
    for (who, text) in &said {
        let text = String::from_utf8_lossy(text);
        let told = SECRETS.into_iter().find(|secret| text.contains(secret));
        assert_eq!(told, None, "{who} tells: {text}");
    }
    assert!(
        said.iter().any(|(who, text)| who == "describe web" && String::from_utf8_lossy(text).contains("***"))
    );
    let applied = fs::read_to_string(system.path(".sereno/state/applied.toml")).expect("there");
    assert!(applied.contains(SECRETS[0]), "the test looks for what is there");
    system.down();
}
