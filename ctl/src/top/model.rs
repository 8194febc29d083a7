//! Everything that is on the screen, and what an input changes of it. Pure: no clock, no terminal, no wire.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime};

use proto::v1::{Event, ServiceState};
use ratatui::crossterm::event::KeyEvent;

use super::history::History;
use crate::view::{ServiceView, View};

/// Lines of the log that are kept.
const LOG: usize = 500;

/// One bar of a sparkline.
const MEASURED_EVERY: Duration = Duration::from_millis(900);

/// For how many statuses a message stays.
const MESSAGE: u8 = 6;

/// What comes in.
#[derive(Debug)]
pub(super) enum Input {
    /// What all daemons say, or why the supervisor does not.
    Status(Box<View>),
    /// What a service wrote, if it is the one that is looked at.
    Log { service: String, lines: Vec<LogLine> },
    /// The causes of its last restart.
    Why { service: String, events: Vec<Event> },
    /// What became of an action.
    Told { ok: bool, text: String },
    /// A key was pressed.
    Key(KeyEvent),
    /// The terminal has another size.
    Resized,
}

/// One line of a log, for a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogLine {
    pub(super) is_error: bool,
    pub(super) text: String,
}

/// What is wanted of the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    /// Show the log of another service, from now on.
    Follow(String),
    /// Ask again why it was restarted.
    AskWhy(String),
    /// Tell the supervisor.
    Act(Act, String),
    /// End.
    Quit,
}

/// What can be done to a service.
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
    /// As on the command line.
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

/// What the keys do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mode {
    /// They move and act.
    Look,
    /// They write the filter.
    Filter,
    /// They answer whether to do it.
    Confirm(Act, String),
    /// Any key ends the help.
    Help,
}

/// What comes first.
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

/// Everything that is on the screen.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) view: Option<View>,
    /// Why what is shown is old.
    pub(super) lost: Option<String>,
    pub(super) selected: Option<String>,
    pub(super) filter: String,
    pub(super) sort: Sort,
    pub(super) mode: Mode,
    /// The log and the causes take the whole screen.
    pub(super) large: bool,
    pub(super) log: VecDeque<LogLine>,
    pub(super) why: Vec<Event>,
    pub(super) message: Option<(bool, String)>,
    message_left: u8,
    /// The run that `why` was asked about.
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
    /// Takes what came in.
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
            Input::Told { ok, text } => self.say(ok, text),
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
            self.lost = Some(why.clone());
            if self.view.is_some() {
                // What was known last says more than nothing.
                return;
            }
        } else {
            self.lost = None;
        }
        // Statuses come more often than something is measured.
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

    /// Somebody is selected wherever anybody is shown, and what is shown of them is theirs.
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

    /// Moves the selection by so many rows, as far as there are any.
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

    /// The services that are shown, in the order they are shown.
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

    /// The one that is looked at.
    pub(super) fn current(&self) -> Option<&ServiceView> {
        let name = self.selected.as_ref()?;
        self.view.as_ref()?.services.iter().find(|service| service.name == *name)
    }

    /// What was measured of one lately: CPU and memory.
    pub(super) fn measured(&self, name: &str) -> Option<(&History, &History)> {
        Some((self.cpu.get(name)?, self.memory.get(name)?))
    }
}

/// The worst first.
fn trouble(row: &ServiceView) -> u8 {
    match row.state {
        ServiceState::Failed => 0,
        ServiceState::Backoff => 1,
        ServiceState::Running if !row.is_well() => 2,
        ServiceState::Starting | ServiceState::Waiting | ServiceState::Stopping => 3,
        ServiceState::Running | ServiceState::Unspecified => 4,
        ServiceState::Stopped | ServiceState::Completed => 5,
    }
}
