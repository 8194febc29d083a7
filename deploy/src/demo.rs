//! `cargo deploy demo`: builds everything, keeps two services up, and shows what to try with them.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::control::{Control, Status};
use crate::place::Place;
use crate::progress::{Seen, news};
use crate::service::Break;
use crate::{Failure, binaries, port};

/// Ports of the demo's services in its `sereno.toml`: backend and frontend.
pub const PORTS: [u16; 2] = [18000, 15189];

/// Time limit until all is healthy. It takes a second or two; a machine that is building something else may need more.
const CEILING: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Starts the demo, waits until all is healthy, and prints what to try. A running demo is left as it is.
pub fn start(out: &mut dyn Write) -> Result<(), Failure> {
    let place = Place::find()?;
    let here = std::env::current_dir().unwrap_or_default();
    let control = Control(&place);
    match control.status()? {
        Status::Well(_) => {
            writeln!(out, "the demo runs already and all is well: nothing to do")?;
            writeln!(out, "(to run what was built since: first cargo deploy demo --stop)")?;
        }
        Status::Unwell(_) => {
            writeln!(out, "the demo runs already, but not all is well")?;
            control.run(&["up", "-d"])?;
            wait(&control, out)?;
        }
        Status::Down => {
            ports_are_free()?;
            writeln!(out, "building supervisor, health-monitor, port-monitor and ctl")?;
            let built = binaries::build(&place)?;
            binaries::install(&built, &place.bin())?;
            writeln!(out, "copied to {}", Place::shown(&place.bin(), &here))?;
            out.flush()?;
            control.run(&["up", "-d"])?;
            wait(&control, out)?;
        }
    }
    writeln!(out)?;
    out.flush()?;
    // The table is for the user. If something failed at this very moment, the table shows it.
    let _ = control.run(&["status"]);
    write!(out, "{}", hints(&place, &here))?;
    Ok(())
}

/// Stops the demo. It is no error if it is not running.
pub fn stop(out: &mut dyn Write) -> Result<(), Failure> {
    let place = Place::find()?;
    let control = Control(&place);
    match control.status()? {
        Status::Down => writeln!(out, "the demo is not running: nothing to do")?,
        Status::Well(_) | Status::Unwell(_) => control.run(&["down"])?,
    }
    Ok(())
}

/// Checked before anything is built or started: a service whose port is taken would crash again and again.
fn ports_are_free() -> Result<(), Failure> {
    match PORTS.iter().find_map(|port| port::holder(*port).map(|busy| (*port, busy))) {
        Some((port, busy)) => Err(Failure::Port { port, busy }),
        None => Ok(()),
    }
}

fn wait(control: &Control<'_>, out: &mut dyn Write) -> Result<(), Failure> {
    writeln!(out, "waiting until all is healthy")?;
    let began = now();
    let mut seen = Seen::new();
    loop {
        let (status, well) = match control.status()? {
            Status::Well(status) => (Some(status), true),
            Status::Unwell(status) => (Some(status), false),
            Status::Down => (None, false),
        };
        let elapsed = now().duration_since(began);
        for (name, what) in status.iter().flat_map(|status| news(&mut seen, status)) {
            writeln!(out, "  {:>5.1} s  {name:<14}  {what}", elapsed.as_secs_f64())?;
        }
        out.flush()?;
        if well {
            return Ok(());
        }
        if elapsed > CEILING {
            let _ = control.run(&["status"]);
            return Err(Failure::NotHealthy { seconds: CEILING.as_secs() });
        }
        std::thread::park_timeout(LOOK_AGAIN);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a person waits; nothing here is decided by it but when to give up"
)]
fn now() -> Instant {
    Instant::now()
}

/// Returns the hints. Every indented line can be pasted into a shell, and an address also into a browser.
fn hints(place: &Place, here: &Path) -> String {
    let ctl = |arguments: &str| place.ctl_line(here, arguments);
    let [backend, frontend] = PORTS;
    let mut lines = vec![String::new(), "Break the backend, and see who heals it:".into()];
    let mut hint =
        |what: &str, line: String| lines.extend([String::new(), format!("  {what}"), format!("    {line}")]);
    for way in Break::offered() {
        hint(way.healed_by(), format!("curl -s http://127.0.0.1:{backend}/break/{}", way.name()));
    }
    hint("What happened, and why", ctl("why demo-backend"));
    hint("Everything at a glance, and as it changes (Ctrl-C ends only the looking)", ctl("status --watch"));
    hint("What the services write", ctl("logs -f"));
    hint("All of this with a mouse: the backend, in a browser", format!("http://127.0.0.1:{backend}/"));
    hint("The frontend", format!("http://127.0.0.1:{frontend}/"));
    hint("The end of it", "cargo deploy demo --stop".into());
    lines.push(String::new());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hints_name_every_break_and_the_way_out() {
        let root = Path::new("/src/sereno");
        let text = hints(&Place::new(root, &root.join("target")), root);
        for way in Break::offered() {
            assert!(text.contains(&format!("/break/{}\n", way.name())), "{}: {text}", way.name());
        }
        assert!(text.trim_end().ends_with("cargo deploy demo --stop"), "{text}");
    }
}
