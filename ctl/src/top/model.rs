//! The model of the screen, and how inputs change it. Pure: no clock, no terminal, no wire.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime};

use proto::v1::{Event, ServiceState};
use ratatui::crossterm::event::KeyEvent;

use super::history::History;
use crate::render::check::CheckVerdict;
use crate::view::{ServiceView, View};

/// Maximum number of log lines kept.
const LOG: usize = 500;

/// Interval of measurements: one bar of a sparkline.
const MEASURED_EVERY: Duration = Duration::from_millis(900);

/// Number of statuses for which a message stays visible.
const MESSAGE: u8 = 6;

/// An input of the model.
#[derive(Debug)]
pub(super) enum Input {
    /// The state of all daemons, or why the supervisor does not answer.
    Status(Box<View>),
    /// Log lines of a service; ignored unless it is selected.
    Log { service: String, lines: Vec<LogLine> },
    /// Causes of the last restart of a service.
    Why { service: String, events: Vec<Event> },
    /// Result of an action.
    Acted { ok: bool, text: String },
    /// A key was pressed.
    Key(KeyEvent),
    /// The terminal was resized.
    Resized,
}

/// One log line, safe for a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogLine {
    pub(super) is_error: bool,
    pub(super) text: String,
}

/// An effect that the model requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    /// Follow the log of another service from now on.
    Follow(String),
    /// Ask again why the service was restarted.
    AskWhy(String),
    /// Tell the supervisor to act on a service.
    Act(Act, String),
    /// Quit the program.
    Quit,
}

/// An action on a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Start,
    Stop,
    Restart,
    Pause,
    Resume,
    Reset,
}

impl Act {
    /// Returns the name of the command.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Reset => "reset",
        }
    }
}

/// Meaning of the keys at present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mode {
    /// Keys move the selection and act.
    Look,
    /// Keys edit the filter.
    Filter,
    /// Keys answer the confirmation of an action.
    Confirm(Act, String),
    /// Any key closes the help.
    Help,
}

/// Sort order of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Name,
    Trouble,
    Cpu,
    Memory,
    Restarts,
}

impl Sort {
    pub(super) fn next(self) -> Self {
        match self {
            Self::Name => Self::Trouble,
            Self::Trouble => Self::Cpu,
            Self::Cpu => Self::Memory,
            Self::Memory => Self::Restarts,
            Self::Restarts => Self::Name,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Trouble => "trouble first",
            Self::Cpu => "CPU",
            Self::Memory => "memory",
            Self::Restarts => "restarts",
        }
    }
}

/// State of the whole screen.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) view: Option<View>,
    /// Why the shown state is old, if it is.
    pub(super) lost: Option<String>,
    pub(super) selected: Option<String>,
    pub(super) filter: String,
    pub(super) sort: Sort,
    pub(super) mode: Mode,
    /// Log and causes fill the whole screen.
    pub(super) large: bool,
    pub(super) log: VecDeque<LogLine>,
    pub(super) why: Vec<Event>,
    pub(super) message: Option<(bool, String)>,
    message_left: u8,
    /// The run for which `why` was requested.
    asked: Option<(u64, ServiceState)>,
    cpu: BTreeMap<String, History>,
    memory: BTreeMap<String, History>,
    measured: Option<SystemTime>,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            view: None,
            lost: None,
            selected: None,
            filter: String::new(),
            sort: Sort::Name,
            mode: Mode::Look,
            large: false,
            log: VecDeque::new(),
            why: Vec::new(),
            message: None,
            message_left: 0,
            asked: None,
            cpu: BTreeMap::new(),
            memory: BTreeMap::new(),
            measured: None,
        }
    }
}

impl Model {
    /// Applies an input and returns the requested effects.
    pub(super) fn update(&mut self, input: Input) -> Vec<Wish> {
        let mut wishes = Vec::new();
        match input {
            Input::Status(view) => self.take(*view),
            Input::Log { service, lines } if self.selected.as_ref() == Some(&service) => {
                self.log.extend(lines);
                self.log.drain(..self.log.len().saturating_sub(LOG));
            }
            Input::Why { service, events } if self.selected.as_ref() == Some(&service) => self.why = events,
            Input::Log { .. } | Input::Why { .. } | Input::Resized => {}
            Input::Acted { ok, text } => self.say(ok, text),
            Input::Key(key) => wishes = self.key(key),
        }
        self.hold_selection(&mut wishes);
        wishes
    }

    pub(super) fn say(&mut self, ok: bool, text: String) {
        self.message = Some((ok, text));
        self.message_left = MESSAGE;
    }

    fn take(&mut self, view: View) {
        self.message_left = self.message_left.saturating_sub(1);
        if self.message_left == 0 {
            self.message = None;
        }
        if let Err(why) = &view.supervisor {
            self.lost = Some(why.to_string());
            if self.view.is_some() {
                // The last known state says more than an empty screen.
                return;
            }
        } else {
            self.lost = None;
        }
        // Statuses arrive more often than measurements are taken.
        let since = self.measured.and_then(|last| view.now.duration_since(last).ok());
        if since.is_none_or(|since| since >= MEASURED_EVERY) {
            self.measured = Some(view.now);
            self.measure(&view);
        }
        self.view = Some(view);
    }

    fn measure(&mut self, view: &View) {
        self.cpu.retain(|name, _| view.services.iter().any(|service| service.name == *name));
        self.memory.retain(|name, _| view.services.iter().any(|service| service.name == *name));
        for service in &view.services {
            #[expect(clippy::cast_precision_loss, reason = "a bar has eight heights")]
            let memory = service.memory_bytes.unwrap_or(0) as f64;
            self.cpu.entry(service.name.clone()).or_default().push(service.cpu_percent.unwrap_or(0.0));
            self.memory.entry(service.name.clone()).or_default().push(memory);
        }
    }

    /// Keeps a service selected while any is shown, and requests the log and causes of the selected one.
    fn hold_selection(&mut self, wishes: &mut Vec<Wish>) {
        let rows = self.rows();
        let there = rows.iter().find(|row| Some(&row.name) == self.selected.as_ref());
        let now = there.or(rows.first()).map(|row| (row.name.clone(), (row.incarnation, row.state)));
        let Some((name, run)) = now else {
            self.select(None);
            return;
        };
        if self.selected.as_ref() != Some(&name) {
            self.select(Some(name.clone()));
        }
        if self.asked.is_none() {
            wishes.push(Wish::Follow(name.clone()));
        }
        if self.asked != Some(run) {
            self.asked = Some(run);
            wishes.push(Wish::AskWhy(name));
        }
    }

    fn select(&mut self, name: Option<String>) {
        self.selected = name;
        self.log.clear();
        self.why.clear();
        self.asked = None;
    }

    /// Moves the selection by `by` rows, within the list.
    pub(super) fn go(&mut self, by: isize) {
        let names: Vec<&str> = self.rows().iter().map(|row| row.name.as_str()).collect();
        let Some(last) = names.len().checked_sub(1) else { return };
        let selected = self.selected.as_deref();
        let at = names.iter().position(|name| Some(*name) == selected).unwrap_or(0);
        let name = names[at.saturating_add_signed(by).min(last)].to_owned();
        if selected != Some(&name) {
            self.select(Some(name));
        }
    }

    /// Returns the shown services in their order.
    pub(super) fn rows(&self) -> Vec<&ServiceView> {
        let services = self.view.as_ref().map(|view| view.services.as_slice()).unwrap_or_default();
        let filter = self.filter.to_lowercase();
        let wanted = |service: &&ServiceView| {
            service.name.to_lowercase().contains(&filter)
                || service.state.word().contains(&filter)
                || service.tags.iter().any(|tag| tag.to_lowercase().contains(&filter))
        };
        let mut rows: Vec<&ServiceView> = services.iter().filter(wanted).collect();
        match self.sort {
            Sort::Name => {}
            Sort::Trouble => rows.sort_by_key(|row| trouble(row)),
            Sort::Cpu => rows.sort_by(|a, b| {
                let cpu = |row: &ServiceView| row.cpu_percent.unwrap_or(0.0);
                cpu(b).total_cmp(&cpu(a))
            }),
            Sort::Memory => rows.sort_by_key(|row| Reverse(row.memory_bytes)),
            Sort::Restarts => rows.sort_by_key(|row| Reverse(row.restarts)),
        }
        rows
    }

    /// Returns the selected service.
    pub(super) fn current(&self) -> Option<&ServiceView> {
        let name = self.selected.as_ref()?;
        self.view.as_ref()?.services.iter().find(|service| service.name == *name)
    }

    /// Returns the recent measurements of a service: CPU and memory.
    pub(super) fn measured(&self, name: &str) -> Option<(&History, &History)> {
        Some((self.cpu.get(name)?, self.memory.get(name)?))
    }
}

/// Returns the sort key by trouble, the worst first.
fn trouble(row: &ServiceView) -> u8 {
    match row.state {
        ServiceState::Failed => 0,
        ServiceState::Backoff => 1,
        ServiceState::Running if !row.is_well() => 2,
        ServiceState::Running
            if row.checks.iter().any(|check| CheckVerdict::of(check) == CheckVerdict::Counting) =>
        {
            3
        }
        ServiceState::Starting | ServiceState::Waiting | ServiceState::Stopping => 3,
        ServiceState::Running | ServiceState::Unspecified => 4,
        ServiceState::Stopped | ServiceState::Completed => 5,
    }
}
