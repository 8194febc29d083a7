//! Renders everything about one service as lines.

use jiff::tz::TimeZone;

use super::check::{self, CheckVerdict};
use super::settings::Setting;
use super::time::{clock, day, span};
use super::{BAD, BOLD, Look, explain, one_line, state_style, table};
use crate::view::{Availability, CheckView, DaemonView, MonitorView, ServiceView, View};

/// Width of the label column.
const LABEL: usize = 12;

/// Text built from lines under headings.
pub(crate) struct Sheet {
    look: Look,
    text: String,
}

impl Sheet {
    pub(crate) fn new(look: Look) -> Self {
        Self { look, text: String::new() }
    }

    /// Returns the whole text.
    pub(crate) fn text(self) -> String {
        self.text
    }

    /// Begins a section.
    pub(crate) fn heading(&mut self, title: &str) {
        let title = self.look.paint(BOLD, &one_line(title));
        self.text.push_str(&title);
        self.text.push('\n');
    }

    fn line(&mut self, label: &str, value: &str) {
        self.text.extend(["  ", &format!("{label:<LABEL$}"), "  ", value, "\n"]);
    }

    fn lines<'a>(&mut self, label: &str, values: impl IntoIterator<Item = &'a str>) {
        let mut label = label;
        for value in values {
            self.line(label, &one_line(value));
            label = "";
        }
    }

    /// Adds the current state of a service.
    pub(crate) fn service(&mut self, view: &ServiceView, zone: &TimeZone) {
        let state = self.look.paint(state_style(view.state), view.state.word());
        self.line("state", &format!("{state} (wanted {})", view.wanted));
        let run = view.pid.map(|pid| format!("pid {pid}, incarnation {}", view.incarnation));
        let uptime = view.uptime.map(|uptime| format!(", up {}", span(uptime)));
        if let Some(run) = run {
            self.line("run", &format!("{run}{}", uptime.unwrap_or_default()));
        }
        self.lines("because", explain::reasons(view).iter().map(String::as_str));
        self.line("restarts", &format!("{} (streak {})", view.restarts, view.streak));
        if let Some(exit) = &view.last_exit {
            let at = day(exit.at, zone).map(|day| format!(" at {day} {}", clock(exit.at, zone)));
            self.line("last exit", &format!("{}{}", one_line(&explain::exit(exit)), at.unwrap_or_default()));
        }
        let next_run = view.next_run.filter(|_| !view.paused);
        if let Some(at) = day(next_run, zone).map(|day| format!("{day} {}", clock(next_run, zone))) {
            self.line(if view.job { "next run" } else { "restart at" }, &at);
        }
        if let Some(usage) = table::usage(view) {
            self.line("usage", &usage);
        }
        if let Some(text) = &view.status_text {
            self.line("says", &one_line(text));
        }
        if let Some(incident) = view.incident {
            self.line("incident", &self.look.paint(BAD, &format!("{incident} is open (see \"ctl why\")")));
        }
        let mut label = "available";
        for of in &view.availability {
            self.line(label, &available(of));
            label = "";
        }
        if !view.tags.is_empty() {
            self.line("tags", &one_line(&view.tags.join(", ")));
        }
        if !view.checks.is_empty() {
            self.heading("checks");
            for check in &view.checks {
                self.check(check);
            }
        }
    }

    fn check(&mut self, check: &CheckView) {
        let style = CheckVerdict::of(check).style();
        self.line(&one_line(&check.id), &self.look.paint(style, &check::long(check)));
        self.line("", &one_line(&format!("{} {} by {}", check.kind, check.target, check.monitor)));
        if let Some(age) = check.age {
            #[expect(clippy::cast_precision_loss, reason = "a latency is shown to a tenth of a millisecond")]
            let took = check.latency.map(|latency| latency.as_micros() as f64 / 1000.0);
            let took = took.map(|took| format!(", took {took:.1} ms"));
            self.line("", &format!("{} ago{}", span(age), took.unwrap_or_default()));
        }
    }

    /// Adds the settings from the file.
    pub(crate) fn settings(&mut self, settings: &[Setting]) {
        self.heading("settings");
        for setting in settings {
            self.lines(setting.name, setting.values.iter().map(String::as_str));
        }
    }

    /// Adds the supervisor itself.
    pub(crate) fn supervisor(&mut self, view: &View) {
        self.line("endpoint", &one_line(&view.endpoint));
        self.line("file", &one_line(&view.config));
        match &view.supervisor {
            Ok(up) => {
                self.line("run", &format!("pid {}, up {}", up.pid, span(up.uptime)));
                self.line("version", &one_line(&up.version));
                if up.config_newer {
                    self.line("because", "the file has changed since it was applied");
                }
                if let Some(brake) = &up.brake {
                    self.line("brake", &one_line(brake));
                }
            }
            Err(why) => self.line("because", &one_line(&why.to_string())),
        }
    }

    /// Adds a daemon other than a monitor.
    pub(crate) fn daemon(&mut self, view: &DaemonView, zone: &TimeZone) {
        self.line("kind", &one_line(&view.kind));
        self.service(&view.process, zone);
    }

    /// Adds one monitor.
    pub(crate) fn monitor(&mut self, view: &MonitorView, zone: &TimeZone) {
        self.line("endpoint", &one_line(&view.endpoint));
        if let Some(kind) = &view.kind {
            self.line("kind", &one_line(kind));
        }
        self.line("attached", if view.attached { "yes" } else { "no" });
        match &view.answer {
            Ok(up) => {
                self.line("version", &one_line(&up.version));
                self.line("targets", &format!("{}, {} failing", up.targets, up.failing));
                if let Some(error) = &up.last_error {
                    self.line("last error", &one_line(error));
                }
            }
            Err(why) => self.line("unreachable", &one_line(&why.to_string())),
        }
        if let Some(reason) = &view.blind {
            self.line("blind", &one_line(reason));
        }
        if let Some(process) = &view.process {
            self.service(process, zone);
        }
    }
}

/// Renders an availability: `24h: 99.98 %, 3 incidents, longest 12 s`.
fn available(of: &Availability) -> String {
    let hours = of.window.as_secs() / 3600;
    let window = if hours > 24 { format!("{}d", hours / 24) } else { format!("{hours}h") };
    // Truncated: what was down a moment is not 100 %.
    let hundredths = (of.ratio * 10_000.0).floor();
    let percent = format!("{window:>3}: {:.2} %", hundredths / 100.0);
    match of.incidents {
        0 => percent,
        1 => format!("{percent}, 1 incident of {}", span(of.longest)),
        many => format!("{percent}, {many} incidents, longest {}", span(of.longest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::testing::view;

    const LOOK: Look = Look { colour: false, width: 80 };

    fn sheet(write: impl FnOnce(&mut Sheet, &View)) -> String {
        let view = view();
        let mut sheet = Sheet::new(LOOK);
        write(&mut sheet, &view);
        sheet.text()
    }

    #[test]
    fn shows_state_checks_and_settings() {
        let text = sheet(|sheet, view| {
            sheet.heading("backend");
            sheet.service(&view.services[0], &TimeZone::UTC);
            sheet
                .settings(&[Setting { name: "env", values: vec!["PORT=8000".into(), "API_KEY=***".into()] }]);
        });
        assert_eq!(text, include_str!("../../tests/golden/describe.txt"));
    }

    #[test]
    fn a_check_says_how_many_of_the_failures_it_has() {
        let mut view = view();
        let health = &mut view.services[0].checks[0];
        (health.failures, health.detail) = (1, Some("ECONNREFUSED".into()));
        let mut sheet = Sheet::new(Look { colour: true, width: 80 });
        sheet.service(&view.services[0], &TimeZone::UTC);
        let text = sheet.text();
        assert!(text.contains("  health        \x1b[33mfailing, 1 of 3: ECONNREFUSED\x1b[0m\n"), "{text:?}");
    }

    #[test]
    fn says_why_one_does_not_run() {
        let text = sheet(|sheet, view| sheet.service(&view.services[1], &TimeZone::UTC));
        assert!(
            text.contains("  because       backoff: next start in 3.2 s (streak 4 of 50): exit 1\n"),
            "{text}"
        );
        assert!(text.contains("  last exit     exit 1 at 2024-05-01 11:59:58.5\n"), "{text}");
    }

    #[test]
    fn daemons_can_be_described_too() {
        let text = sheet(|sheet, view| {
            sheet.supervisor(view);
            sheet.monitor(&view.monitors[1], &TimeZone::UTC);
        });
        assert!(text.contains("  run           pid 800, up 2h 4m\n"), "{text}");
        assert!(text.contains("  unreachable   no answer within 1 s\n"), "{text}");
    }
}
