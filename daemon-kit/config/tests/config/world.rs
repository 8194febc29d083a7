//! What a file names must be there; and which file it is in the first place. Real folders, no processes.

#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use proto::Endpoint;
use sereno_config::{
    Account, Command, Env, EnvInherit, Service, account, check_world, find, load, locate, read,
    resolve_program, service_env,
};

use crate::common::env;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().canonicalize().expect("there").join(below).components().collect()
    }

    fn write(&self, below: &str, text: &str) -> PathBuf {
        let path = self.path(below);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(&path, text).expect("a file");
        path
    }

    fn program(&self, below: &str) -> PathBuf {
        let path = self.write(below, "#!/bin/sh\n");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
        path
    }
}

#[test]
fn a_program_is_found_in_path_then_in_its_folder_and_a_path_from_its_folder() {
    let folder = Folder::new();
    let (one, two) = (folder.program("bin/tool"), folder.program("app/tool"));
    let (app, bin) = (folder.path("app"), folder.path("bin"));
    let bin = bin.to_str().expect("UTF-8");
    let found = |argv0, cwd: &Path, path| resolve_program(argv0, cwd, path).expect("there");
    assert_eq!(found("tool", &app, Some(bin)), one);
    assert_eq!(found("tool", &app, Some("/nope")), two);
    assert_eq!(found("tool", &folder.path(""), Some("/nope:bin")), one, "a relative entry");
    assert_eq!(found("./tool", &app, Some(bin)), two);
    assert_eq!(found("../bin/tool", &app, None).canonicalize().expect("there"), one);
    assert_eq!(found("sh", &app, None).file_name(), Some("sh".as_ref()), "a default PATH");

    folder.write("app/data", "");
    let app_shown = app.display();
    for (argv0, why) in [
        ("data", format!("can not run {app_shown}/data: it is not executable (chmod +x)")),
        ("./data", format!("can not run {app_shown}/data: it is not executable (chmod +x)")),
        ("../app/", format!("can not run {app_shown}/../app: it is a folder")),
        ("./nope", format!("can not find the program {app_shown}/nope: no such file or directory")),
        ("nope", format!("can not find the program \"nope\" in PATH nor in {app_shown}")),
        ("", "can not run a program without a name".into()),
    ] {
        assert_eq!(resolve_program(argv0, &app, Some("/nope")).expect_err(argv0).to_string(), why);
    }
}

#[test]
fn what_is_not_there_is_said_for_each_service_and_nothing_else() {
    let folder = Folder::new();
    folder.program("bin/tool");
    folder.write("ok.env", "A=1\n");
    folder.write("bad.env", "A\n");
    let text = "\
[services.good]
command = \"tool\"
env_file = \"ok.env\"
[services.bad]
command = \"toool\"
env_file = [\"ok.env\", \"bad.env\"]
user = \"no-such-user\"
[services.worse]
command = \"toool\"
stop = { command = \"toool stop\", evidence = { command = \"toool dump\" } }
group = \"no-such-group\"
health = { url = \"http://a\", ca_file = \"ca.pem\" }
checks.x = { kind = \"exec\", command = \"./probe\" }
[services.worst]
command = \"toool\"
cwd = \"nope\"
[monitors.port-monitor]
program = \"./mine\"
";
    let path = folder.write("sereno.toml", text);
    let caller = env(&[("PATH", folder.path("bin").to_str().expect("UTF-8"))]);
    let config = load(&path, text, &caller).expect("the form is good");
    let problems = check_world(&config, &caller);
    let at = folder.path("");
    let expected = "\
sereno.toml:6:12: services.bad.env_file: @/bad.env:1: must be NAME=value
sereno.toml:7:8: services.bad.user: can not find the user \"no-such-user\"
sereno.toml:9:11: services.worse.command: can not find the program \"toool\" in PATH nor in @
sereno.toml:10:20: services.worse.stop.command: can not find the program \"toool\" in PATH nor in @
sereno.toml:10:57: services.worse.stop.evidence.command: can not find the program \"toool\" in PATH nor in @
sereno.toml:11:9: services.worse.group: can not find the group \"no-such-group\"
sereno.toml:12:40: services.worse.health.ca_file: can not open @/ca.pem: no such file or directory
sereno.toml:13:39: services.worse.checks.x.command: can not find the program @/probe: no such file or directory
sereno.toml:16:7: services.worst.cwd: can not find the folder @/nope: no such file or directory
sereno.toml:18:11: monitors.port-monitor.program: can not find the program @/mine: no such file or directory";
    assert_eq!(problems.to_string(), expected.replace('@', at.to_str().expect("UTF-8")));
    assert!(problems.iter().all(|problem| problem.world));
    let whose = problems.iter().map(|p| p.service.as_ref().map_or("-", |name| name.as_str()));
    assert_eq!(
        whose.collect::<Vec<_>>(),
        ["bad", "bad", "worse", "worse", "worse", "worse", "worse", "worse", "worst", "-"]
    );
}

#[test]
fn a_service_gets_what_it_inherits_then_its_files_then_its_own() {
    let folder = Folder::new();
    let mut service = Service::new(Command::Argv(vec!["x".into()]), folder.path(""));
    service.env = env(&[("OWN", "env"), ("BOTH", "env")]);
    service.env_file =
        vec![folder.write("a.env", "BOTH=a\nFILE=a\nPATH=/a\n"), folder.write("b.env", "FILE=b\n")];
    let caller = env(&[("PATH", "/bin"), ("HOME", "/me"), ("SERENO_HOME", "/x"), ("SERENO_UNIT", "y")]);
    let nobody = Account::default();
    let own = [("BOTH", "env"), ("FILE", "b"), ("OWN", "env"), ("PATH", "/a")];
    let mut all = env(&own);
    service.env_inherit = EnvInherit::None;
    assert_eq!(service_env(&service, &nobody, &caller).expect("good"), all);
    all.insert("HOME".into(), "/me".into());
    service.env_inherit = EnvInherit::All;
    assert_eq!(service_env(&service, &nobody, &caller).expect("good"), all);
    service.env_inherit = EnvInherit::Only(vec!["HOME".into(), "SERENO_UNIT".into()]);
    assert_eq!(service_env(&service, &nobody, &caller).expect("good"), all, "SERENO_… is never inherited");
    let root = account(Some("root"), None).expect("everywhere");
    let got = service_env(&service, &root, &caller).expect("good");
    assert_eq!(
        (got["HOME"].as_str(), got["USER"].as_str(), got["LOGNAME"].as_str()),
        ("/root", "root", "root")
    );
    service.env_file.push(folder.path("nope.env"));
    let error = service_env(&service, &root, &caller).expect_err("no file");
    assert_eq!(
        error.to_string(),
        format!("can not read {}: no such file or directory", folder.path("nope.env").display())
    );
}

#[test]
fn the_file_is_found_as_a_compose_file_is() {
    let folder = Folder::new();
    let near = folder.write("a/sereno.toml", "");
    let other = folder.write("other/x.toml", "");
    let user = folder.write("config/sereno/sereno.toml", "");
    let deep = folder.path("a/b/c");
    let nothing = Env::new();
    assert_eq!(
        find(None, &deep, &nothing),
        Ok(near.clone()),
        "upwards, though the folders between are not there"
    );
    assert_eq!(
        find(Some(Path::new("sereno.toml")), &folder.path("a"), &nothing),
        Ok(near.clone()),
        "from here"
    );
    std::os::unix::fs::symlink(folder.path("a"), folder.path("link")).expect("a link");
    for way in ["link/sereno.toml", "other/../a/sereno.toml"] {
        let found = find(Some(&folder.0.path().join(way)), &deep, &nothing);
        assert_eq!(found, Ok(near.clone()), "{way} has the same home");
    }
    let named = env(&[("SERENO_CONFIG", other.to_str().expect("UTF-8"))]);
    assert_eq!(find(None, &deep, &named), Ok(other.clone()));
    assert_eq!(find(Some(&near), &deep, &named), Ok(near.clone()), "-f comes first");
    assert_eq!(
        find(Some(&folder.path("a")), &deep, &named),
        Ok(near.clone()),
        "a folder means the file in it"
    );
    let config = env(&[("XDG_CONFIG_HOME", folder.path("config").to_str().expect("UTF-8"))]);
    assert_eq!(find(None, &folder.path("other"), &config), Ok(user));
    let missing = env(&[("SERENO_CONFIG", "/nope/x.toml")]);
    let said = find(None, &deep, &missing).expect_err("none").to_string();
    assert_eq!(said, "/nope/x.toml: no such file (named by SERENO_CONFIG)");
}

#[test]
fn home_and_endpoints_are_known_whatever_a_service_says() {
    let folder = Folder::new();
    let text = "[supervisor]\nhome = \"${H}\"\n[monitors.mine]\nendpoint = \"unix:///run/mine.sock\"\n[services.web]\nport = -1\n";
    let path = folder.write("sereno.toml", text);
    let located = locate(&path, &env(&[("H", "h")])).expect("readable");
    assert!(located.problems.is_empty(), "{}", located.problems);
    assert_eq!((located.file.as_path(), located.home.root()), (path.as_path(), folder.path("h").as_path()));
    assert_eq!(located.supervisor, located.home.endpoint("supervisor"));
    let monitors: Vec<_> =
        located.monitors.iter().map(|(name, endpoint)| (name.as_str(), endpoint.clone())).collect();
    assert_eq!(
        monitors,
        [
            ("health-monitor", located.home.endpoint("health-monitor")),
            ("port-monitor", located.home.endpoint("port-monitor")),
            ("mine", Endpoint::Unix("/run/mine.sock".into())),
        ]
    );

    let broken = folder.write("b/sereno.toml", "[services.web\n");
    let located = locate(&broken, &Env::new()).expect("readable");
    assert_eq!(located.home.root(), folder.path("b/.sereno"));
    assert!(located.problems.to_string().contains("home is taken to be"), "{}", located.problems);

    let unset = folder.write("c/sereno.toml", "[supervisor]\nhome = \"${NOPE}\"\n");
    let said = locate(&unset, &Env::new()).expect("readable").problems.to_string();
    assert!(said.contains("needs NOPE") && said.contains("home is taken to be"), "{said}");

    let state = folder.path("state");
    let config = env(&[
        ("XDG_CONFIG_HOME", folder.path("config").to_str().expect("UTF-8")),
        ("XDG_STATE_HOME", state.to_str().expect("UTF-8")),
    ]);
    let user = folder.write("config/sereno/sereno.toml", "");
    assert_eq!(locate(&user, &config).expect("readable").home.root(), state.join("sereno"));
    assert!(locate(&folder.path("nope.toml"), &config).is_err());
}

#[test]
fn a_file_that_is_not_text_is_refused_where_it_stops_being_text() {
    let folder = Folder::new();
    let path = folder.path("sereno.toml");
    fs::write(&path, b"# ok\na = \"\xc3\xb1\xff\"\n").expect("a file");
    assert_eq!(read(&path).expect_err("no text").to_string(), "sereno.toml:2:7: is not UTF-8 from here on");
}
