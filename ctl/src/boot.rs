//! Renders the files that start a supervisor at boot: a systemd unit, a launchd property list, a Windows task. Pure.

mod task;

use std::path::{Path, PathBuf};

pub(crate) use task::task;

/// Everything that these files refer to.
#[derive(Debug)]
pub(crate) struct Boot<'a> {
    /// Path of the supervisor's program.
    pub(crate) program: &'a Path,
    /// Home whose applied file is run.
    pub(crate) home: &'a Path,
    /// Path of the file, shown in comments.
    pub(crate) file: &'a Path,
    /// Whether it is for the whole machine instead of one user.
    pub(crate) system: bool,
}

/// Returns the unit's name for a file.
pub(crate) fn name(file: &Path) -> String {
    let folder =
        file.parent().and_then(Path::file_name).and_then(std::ffi::OsStr::to_str).unwrap_or("sereno");
    if folder == "sereno" { "sereno".into() } else { format!("sereno-{}", crate::draft::name(folder)) }
}

/// Renders a systemd unit.
///
/// `KillMode=process` with `Delegate=yes`: services survive a restart of the supervisor, which adopts them.
/// `on-failure`: `ctl down` is intended, and not undone.
pub(crate) fn unit(boot: &Boot<'_>) -> String {
    let (program, home) = (quoted(boot.program), quoted(boot.home));
    let wanted_by = if boot.system { "multi-user.target" } else { "default.target" };
    let network = if boot.system { "Wants=network-online.target\nAfter=network-online.target\n" } else { "" };
    format!(
        "# Made by \"ctl startup install\". It runs what was applied last (ctl up, ctl apply).\n\
         [Unit]\n\
         Description=Sereno: keeps up the services of {}\n\
         Documentation=man:ctl(1)\n\
         {network}\
         StartLimitIntervalSec=0\n\
         \n\
         [Service]\n\
         Type=notify\n\
         NotifyAccess=main\n\
         ExecStart={program} --resume {home}\n\
         Restart=on-failure\n\
         RestartSec=1\n\
         TimeoutStartSec=120\n\
         TimeoutStopSec=120\n\
         WatchdogSec=60\n\
         # Only the supervisor is told to end: its services go on, and the next one takes them over.\n\
         KillMode=process\n\
         Delegate=yes\n\
         \n\
         [Install]\n\
         WantedBy={wanted_by}\n",
        boot.file.display().to_string().replace('%', "%%"),
    )
}

/// Quotes a path for systemd, with `%` and `$` doubled.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    format!("\"{text}\"")
}

/// Renders a launchd property list.
///
/// `AbandonProcessGroup`: services survive a restart of the supervisor, which adopts them.
/// `SuccessfulExit`: `ctl down` is intended, and not undone. `SERENO_INIT`: the monitors need not guard,
/// and services survive a log-off. `Interactive`: without it launchd throttles the services' CPU and disk as well.
pub(crate) fn plist(boot: &Boot<'_>, label: &str) -> String {
    let escaped = |path: &Path| {
        path.display().to_string().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
    };
    let (program, home) = (escaped(boot.program), escaped(boot.home));
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <!-- Made by \"ctl startup install\". It runs what was applied last (ctl up, ctl apply). -->\n\
         <plist version=\"1.0\">\n<dict>\n\
         \t<key>Label</key><string>{label}</string>\n\
         \t<key>ProgramArguments</key>\n\t<array>\n\
         \t\t<string>{program}</string>\n\
         \t\t<string>--resume</string><string>{home}</string>\n\t</array>\n\
         \t<key>EnvironmentVariables</key><dict><key>SERENO_INIT</key><string>launchd</string></dict>\n\
         \t<key>RunAtLoad</key><true/>\n\
         \t<key>KeepAlive</key><dict><key>SuccessfulExit</key><false/></dict>\n\
         \t<key>ThrottleInterval</key><integer>1</integer>\n\
         \t<key>ExitTimeOut</key><integer>120</integer>\n\
         \t<key>AbandonProcessGroup</key><true/>\n\
         \t<key>ProcessType</key><string>Interactive</string>\n\
         \t<key>StandardOutPath</key><string>{home}/log/launchd.log</string>\n\
         \t<key>StandardErrorPath</key><string>{home}/log/launchd.log</string>\n\
         </dict>\n</plist>\n"
    )
}

/// Returns the path of such a file. `config` and `home` are the user's folders; on Windows `config` is the
/// machine-wide folder if `whole` is set.
pub(crate) fn path(system: &str, name: &str, whole: bool, config: &Path, home: &Path) -> Option<PathBuf> {
    match (system, whole) {
        ("linux", true) => Some(Path::new("/etc/systemd/system").join(format!("{name}.service"))),
        ("linux", false) => Some(config.join("systemd/user").join(format!("{name}.service"))),
        ("windows", _) => Some(config.join("sereno").join("startup").join(format!("{name}.xml"))),
        ("macos", true) => Some(Path::new("/Library/LaunchDaemons").join(format!("dev.{name}.plist"))),
        ("macos", false) => Some(home.join("Library/LaunchAgents").join(format!("dev.{name}.plist"))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot(system: bool) -> Boot<'static> {
        Boot {
            program: Path::new("/opt/a b/supervisor"),
            home: Path::new("/srv/100%/.sereno"),
            file: Path::new("/srv/100%/sereno.toml"),
            system,
        }
    }

    #[test]
    fn a_unit_lets_services_live() {
        let text = unit(&boot(true));
        for line in [
            "ExecStart=\"/opt/a b/supervisor\" --resume \"/srv/100%%/.sereno\"\n",
            "Type=notify\n",
            "KillMode=process\n",
            "Delegate=yes\n",
            "WantedBy=multi-user.target\n",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
        assert!(!unit(&boot(false)).contains("network-online"), "a user's manager has no such target");
    }

    #[test]
    fn a_property_list_is_escaped() {
        let text = plist(&Boot { home: Path::new("/a&b"), ..boot(false) }, "dev.sereno");
        assert!(text.contains("<string>--resume</string><string>/a&amp;b</string>\n"), "{text}");
        assert!(text.contains("<string>/a&amp;b/log/launchd.log</string>"), "{text}");
    }

    #[test]
    fn names_follow_from_the_folder() {
        assert_eq!(name(Path::new("/etc/sereno/sereno.toml")), "sereno");
        assert_eq!(name(Path::new("/home/ana/my shop/sereno.toml")), "sereno-my-shop");
    }
}
