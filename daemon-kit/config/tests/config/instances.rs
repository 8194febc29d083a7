//! `instances = N`: one table, many services.

use std::path::Path;

use proto::Name;
use sereno_config::{CheckSpec, Command, Config, DependencyOn, Env, applied_text, load, load_service};

const FILE: &str = r#"
[defaults]
tags = ["n${INSTANCE:-none}"]

[services.web]
command = "web --port 80${INSTANCE}"
instances = 2
port = "80${INSTANCE}"
depends_on = { db = "started" }

[services.db]
command = ["db"]
instances = 3

[services.proxy]
command = "proxy"
depends_on = ["web", "db:1"]
"#;

fn read(text: &str) -> Config {
    load(Path::new("/srv/sereno.toml"), text, &Env::new()).unwrap_or_else(|problems| panic!("{problems}"))
}

fn names(config: &Config) -> Vec<&str> {
    config.services.keys().map(Name::as_str).collect()
}

fn needs(config: &Config, name: &str) -> Vec<(String, DependencyOn)> {
    config.services[name].depends_on.iter().map(|(name, edge)| (name.to_string(), edge.on)).collect()
}

#[test]
fn each_has_a_name_and_strings_of_its_own() {
    let config = read(FILE);
    assert_eq!(names(&config), ["db:0", "db:1", "db:2", "proxy", "web:0", "web:1"]);
    let web = &config.services["web:1"];
    assert_eq!(web.command, Command::Argv(["web", "--port", "801"].map(str::to_owned).into()));
    let CheckSpec::Tcp { addresses, .. } = &web.checks["port"].spec else { panic!("{:?}", web.checks) };
    assert_eq!(addresses[0], "127.0.0.1:801");
    let tags = |name: &str| config.services[name].tags.join(" ");
    assert_eq!((tags("web:1"), tags("proxy")), ("n1".into(), "nnone".into()), "defaults as well");
}

#[test]
fn who_needs_a_name_that_several_share_needs_all_of_them() {
    let config = read(FILE);
    let all = |names: &[&str], on| names.iter().map(|name| ((*name).to_owned(), on)).collect::<Vec<_>>();
    assert_eq!(needs(&config, "web:0"), all(&["db:0", "db:1", "db:2"], DependencyOn::Started));
    assert_eq!(needs(&config, "proxy"), all(&["db:1", "web:0", "web:1"], DependencyOn::Ready));
    // The same for one that comes without a file.
    let name = Name::new("extra").expect("a name");
    let add = |text: &str| load_service(&name, text, Path::new("/"), &Env::new(), &config);
    let extra = add("command = \"x\"\ndepends_on = [\"web\"]").expect("good");
    assert_eq!(extra.depends_on.keys().map(Name::as_str).collect::<Vec<_>>(), ["web:0", "web:1"]);
    let error = add("command = \"x\"\ninstances = 2").expect_err("refused").to_string();
    assert!(error.contains("instances: needs a file: this is one service"), "{error}");
}

#[test]
fn the_applied_file_says_the_same_once_more() {
    let applied = applied_text(Path::new("/srv/sereno.toml"), FILE, &Env::new()).expect("good");
    let again = load(Path::new("/srv/.sereno/state/applied.toml"), &applied, &Env::new());
    let again = again.unwrap_or_else(|problems| panic!("{problems}\n{applied}"));
    assert_eq!(format!("{:?}", read(FILE).services), format!("{:?}", again.services), "{applied}");
}

#[test]
fn wrong_is_said_once_and_a_circle_shows_who_is_in_it() {
    let said =
        |text: &str| load(Path::new("/srv/sereno.toml"), text, &Env::new()).expect_err(text).to_string();
    assert_eq!(
        said("[services.web]\ncommand = \"web ${PORT}\"\ninstances = 5"),
        "sereno.toml:2:11: services.web.command = \"web ${PORT}\": needs PORT, which is not set here; \
         ${PORT:-default} would do without, $$ is a dollar"
    );
    let circle = said("[services.web]\ncommand = \"web\"\ninstances = 2\ndepends_on = [\"web\"]");
    assert!(circle.contains("must not go round in a circle: web:0 -> web:0"), "{circle}");
    assert_eq!(
        said("[services.supervisor]\ncommand = \"x\"\ninstances = 1"),
        "sereno.toml:1:11: services.supervisor: is a reserved name: give the service another one"
    );
    // By hand, a number is not to be given.
    assert_eq!(
        said("[services.\"web:4\"]\ncommand = \"web\"\ninstances = 4"),
        "sereno.toml:1:11: services.\"web:4\": must not have a ':' in it"
    );
}
