//! Every `sereno.toml` that lies here is read as `ctl` would, and says what the code beside it relies on.

use std::path::{Path, PathBuf};

use deploy::demo::PORTS;
use deploy::place::Place;
use sereno_config::{CheckSpec, Command, Config, Env, Service, load};

/// Absolute: a program for another system knows this folder by another name than the one it was compiled in.
fn folder() -> PathBuf {
    std::path::absolute(env!("CARGO_MANIFEST_DIR")).expect("a folder")
}

fn tree() -> PathBuf {
    folder().parent().expect("crates lie in the tree").to_owned()
}

fn read(path: &Path, env: &Env) -> Config {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    load(path, &text, env).unwrap_or_else(|problems| panic!("{problems}"))
}

fn service<'a>(config: &'a Config, name: &str) -> &'a Service {
    let found = config.services.iter().find(|(known, _)| known.as_str() == name);
    found.unwrap_or_else(|| panic!("no service {name}")).1
}

fn tcp(service: &Service) -> Vec<&str> {
    let tcp = service.checks.values().filter_map(|check| match &check.spec {
        CheckSpec::Tcp { addresses, .. } => Some(addresses),
        _ => None,
    });
    tcp.flatten().map(String::as_str).collect()
}

fn urls(service: &Service) -> Vec<&str> {
    let urls = service.checks.values().filter_map(|check| match &check.spec {
        CheckSpec::Http(http) => Some(http.url.as_str()),
        _ => None,
    });
    urls.collect()
}

/// As a path is without asking the disk.
fn resolved(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        if part.as_os_str() == ".." {
            out.pop();
        } else {
            out.push(part);
        }
    }
    out
}

fn program(service: &Service) -> PathBuf {
    let Command::Argv(argv) = &service.command else { panic!("a shell: {:?}", service.command) };
    resolved(&service.cwd.join(&argv[0]))
}

#[test]
fn the_demo_finds_its_home_and_programs_in_the_usual_target_folder() {
    let root = tree();
    let place = Place::new(&root, &root.join("target"));
    let config = read(&place.config(), &Env::new());
    assert_eq!(resolved(&config.supervisor.home), root.join("target/demo/home"));
    for (name, port) in ["demo-backend", "demo-frontend"].iter().zip(PORTS) {
        let service = service(&config, name);
        assert_eq!(program(service), place.bin().join("deploy"), "{name}");
        assert!(tcp(service).contains(&&*format!("127.0.0.1:{port}")), "{name}: {:?}", service.checks);
        assert_eq!(urls(service), [format!("http://127.0.0.1:{port}/health")], "{name}");
        let Command::Argv(argv) = &service.command else { unreachable!("seen above") };
        assert_eq!(argv.last(), Some(&port.to_string()), "{name}");
    }
}

#[test]
fn the_demo_finds_them_in_any_other() {
    let elsewhere = std::path::absolute("/elsewhere").expect("a path");
    let place = Place::new(&tree(), &elsewhere);
    let variables = place.variables().into_iter();
    let env = variables.map(|(name, path)| (name.to_owned(), path.display().to_string())).collect();
    let config = read(&place.config(), &env);
    assert_eq!(config.supervisor.home, elsewhere.join("demo").join("home"));
    assert_eq!(program(service(&config, "demo-backend")), place.bin().join("deploy"));
}

#[test]
fn every_example_loads_with_nothing_in_the_environment() {
    let examples = std::fs::read_dir(folder().join("examples")).expect("there are examples");
    let mut count = 0;
    for example in examples {
        let config = read(&example.expect("can be read").path().join("sereno.toml"), &Env::new());
        assert!(!config.services.is_empty(), "{}", config.path.display());
        for (name, service) in &config.services {
            assert!(
                service.cwd.is_dir(),
                "{}: cwd of {name}: {}",
                config.path.display(),
                service.cwd.display()
            );
        }
        count += 1;
    }
    assert!(count > 0);
}

#[test]
fn mw_vision_is_the_stack_that_sereno_was_made_for() {
    let config = read(&folder().join("examples/mw-vision/sereno.toml"), &Env::new());
    let backend = service(&config, "mw-vision-backend");
    assert!(tcp(backend).contains(&"127.0.0.1:8000"), "{:?}", backend.checks);
    assert_eq!(urls(backend), ["http://127.0.0.1:8000/health"]);
    assert_eq!(backend.restart.max, 50);
    let frontend = service(&config, "mw-vision-frontend");
    assert!(tcp(frontend).contains(&"127.0.0.1:5189"), "{:?}", frontend.checks);
    assert!(frontend.depends_on.keys().any(|name| name.as_str() == "mw-vision-backend"));
}
