//! `home/state/launch.json`: how this supervisor was started, for its guards.

use std::io;
use std::path::PathBuf;

use sereno_config::Home;
use sereno_config::{Config, GUARD};
use sereno_guard::launch::Launch;

use super::replace;
use crate::os;

/// Writes down how this process was started. Must be called before it changes its limits.
pub fn record(home: &Home, config: &Config, under_init: bool) -> io::Result<()> {
    let text = |text: std::ffi::OsString| text.into_string().ok();
    let vars = std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?)));
    let mut launch = Launch {
        program: own_program()?,
        cwd: std::env::current_dir().unwrap_or_else(|_| home.root().into()),
        env: vars.filter(|(name, _)| Launch::hands_on(name)).collect(),
        under_init,
        ..Launch::default()
    };
    os::surroundings(&mut launch);
    write(home, launch, config)
}

/// Writes down the guard settings of a changed file.
pub fn update(home: &Home, config: &Config) -> io::Result<()> {
    write(home, Launch::read(home)?, config)
}

fn write(home: &Home, launch: Launch, config: &Config) -> io::Result<()> {
    let guard = &config.supervisor.guard;
    let own_guard = config.needs_guard().then(|| GUARD.to_owned());
    let mut monitors: Vec<_> = config.monitors.iter().filter(|(_, monitor)| monitor.managed).collect();
    // The built-in monitors guard; others may not, and the supervisor would only wait for them.
    monitors.sort_by_key(|(name, monitor)| !monitor.guards(name));
    let monitors = monitors.into_iter().map(|(name, _)| name.to_string());
    let launch = Launch {
        guard: guard.enabled,
        hang: u64::try_from(guard.hang.as_millis()).unwrap_or(u64::MAX),
        guards: own_guard.into_iter().chain(monitors).collect(),
        ..launch
    };
    replace(&Launch::path(home), &launch.to_bytes()?)
}

/// Returns the path of this program, even if its file has been replaced since it was started.
pub fn own_program() -> io::Result<PathBuf> {
    std::env::current_exe().map(named)
}

/// Returns the path of a program, without the mark of a replaced file: the file there now is the one started next.
fn named(program: PathBuf) -> PathBuf {
    let text = program.to_str().and_then(|text| text.strip_suffix(" (deleted)"));
    text.map(PathBuf::from).unwrap_or(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_program_is_looked_for_where_it_was() {
        assert_eq!(named("/bin/supervisor (deleted)".into()), PathBuf::from("/bin/supervisor"));
        assert_eq!(named("/bin/supervisor".into()), PathBuf::from("/bin/supervisor"));
    }
}
