//! Renders a task for Windows' Task Scheduler.

use std::fmt::Write as _;
use std::path::Path;

use super::Boot;

/// Returns the XML of a task. `user` is the user at whose log-on it starts; `None` means at boot, as the system.
///
/// The text is ASCII with numeric references for all other characters: the scheduler and its command
/// disagree about a file's encoding. There is no time limit, and the priority is normal instead of a task's
/// lower default. The scheduler does not restart the supervisor: the monitors do that, and sooner.
pub(crate) fn task(boot: &Boot<'_>, user: Option<&str>) -> String {
    let trigger = match user {
        Some(user) => {
            format!("<LogonTrigger><Enabled>true</Enabled><UserId>{}</UserId></LogonTrigger>", escaped(user))
        }
        None => "<BootTrigger><Enabled>true</Enabled></BootTrigger>".into(),
    };
    let principal = match user {
        Some(user) => format!(
            "<UserId>{}</UserId><LogonType>InteractiveToken</LogonType><RunLevel>LeastPrivilege</RunLevel>",
            escaped(user)
        ),
        None => "<UserId>S-1-5-18</UserId><RunLevel>HighestAvailable</RunLevel>".into(),
    };
    let shown = |path: &Path| escaped(&path.display().to_string());
    format!(
        "<?xml version=\"1.0\"?>\n\
         <Task version=\"1.2\" xmlns=\"http://schemas.microsoft.com/windows/2004/02/mit/task\">\n\
         \x20 <RegistrationInfo>\n\
         \x20   <Description>Sereno: keeps up the services of {}. Made by \"ctl startup install\"; it runs what was applied last (ctl up, ctl apply).</Description>\n\
         \x20 </RegistrationInfo>\n\
         \x20 <Triggers>{trigger}</Triggers>\n\
         \x20 <Principals><Principal id=\"Author\">{principal}</Principal></Principals>\n\
         \x20 <Settings>\n\
         \x20   <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>\n\
         \x20   <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>\n\
         \x20   <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>\n\
         \x20   <StartWhenAvailable>true</StartWhenAvailable>\n\
         \x20   <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>\n\
         \x20   <Priority>5</Priority>\n\
         \x20 </Settings>\n\
         \x20 <Actions Context=\"Author\">\n\
         \x20   <Exec>\n\
         \x20     <Command>{}</Command>\n\
         \x20     <Arguments>--resume &quot;{}&quot; --detach</Arguments>\n\
         \x20     <WorkingDirectory>{}</WorkingDirectory>\n\
         \x20   </Exec>\n\
         \x20 </Actions>\n\
         </Task>\n",
        shown(boot.file),
        shown(boot.program),
        shown(boot.home),
        shown(boot.file.parent().unwrap_or(boot.home)),
    )
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_ascii() => out.push(c),
            c => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot() -> Boot<'static> {
        Boot {
            program: Path::new(r"C:\Program Files\sereno\supervisor.exe"),
            home: Path::new(r"C:\Users\José\R&D\.sereno"),
            file: Path::new(r"C:\Users\José\R&D\sereno.toml"),
            system: false,
        }
    }

    #[test]
    fn a_task_at_log_on_runs_what_was_applied_for_ever() {
        let text = task(&boot(), Some(r"PC\José"));
        for part in [
            r"<LogonTrigger><Enabled>true</Enabled><UserId>PC\Jos&#233;</UserId></LogonTrigger>",
            r"<Command>C:\Program Files\sereno\supervisor.exe</Command>",
            r"<Arguments>--resume &quot;C:\Users\Jos&#233;\R&amp;D\.sereno&quot; --detach</Arguments>",
            "<ExecutionTimeLimit>PT0S</ExecutionTimeLimit>",
            "<RunLevel>LeastPrivilege</RunLevel>",
        ] {
            assert!(text.contains(part), "no {part} in\n{text}");
        }
        assert!(text.is_ascii(), "{text}");
    }

    #[test]
    fn for_the_whole_machine_it_runs_at_boot_as_the_system() {
        let text = task(&boot(), None);
        assert!(text.contains("<BootTrigger>") && text.contains("<UserId>S-1-5-18</UserId>"), "{text}");
        assert!(!text.contains("LogonTrigger"), "{text}");
    }
}
