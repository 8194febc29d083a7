//! Draws the model as cells. From top to bottom: a summary line, the daemons, the services, causes and log
//! of the selected service, and the keys. When space is short, parts disappear in the order log, causes, daemons.

mod detail;
mod list;

use std::iter;

use anstyle::{AnsiColor, Color as AnyColor};
use jiff::tz::TimeZone;
use proto::v1::ServiceState;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

use super::model::{Mode, Model};
use crate::render::time::span;
use crate::render::{cut, one_line};
use crate::view::{DaemonView, MonitorView, View};

/// Minimum height of the selected service's part; below that it is hidden.
const DETAIL: u16 = 8;

const HELP: [(&str, &str); 13] = [
    ("up, down, k, j", "select a service"),
    ("pgup, pgdn, g, G", "farther"),
    ("enter", "causes and log on the whole screen, and back"),
    ("/", "show only what has this in its name, state or tags"),
    ("o", "another order: name, trouble, CPU, memory, restarts"),
    ("esc", "everything again"),
    ("s", "start"),
    ("x", "stop"),
    ("r", "restart"),
    ("p", "pause or resume: failing checks restart nothing"),
    ("e", "reset: forget crashes, try again what was given up"),
    ("q, ctrl-c", "end; the services go on"),
    ("any key", "back"),
];

/// Draws the whole screen.
pub(super) fn screen(frame: &mut Frame<'_>, model: &Model) {
    draw(frame, model, &TimeZone::system());
}

pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, zone: &TimeZone) {
    let area = frame.area();
    let rows = u16::try_from(model.rows().len()).unwrap_or(u16::MAX);
    let daemons = daemons(model);
    let tall = area.height >= 12 && !model.large;
    let daemon_rows = if tall { u16::try_from(daemons.len()).unwrap_or(0) } else { 0 };
    let left = area.height.saturating_sub(2 + daemon_rows);
    let detail = match left {
        _ if model.large => left,
        _ if left < DETAIL + 4 || rows == 0 => 0,
        // The rows that the list does not need.
        _ => left.saturating_sub(rows.saturating_add(1)).max(DETAIL.max(left * 2 / 5)),
    };
    let [top, middle, list, below, bottom] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(daemon_rows),
        Constraint::Length(left - detail),
        Constraint::Length(detail),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(heading(model, top.width), top);
    frame.render_widget(Paragraph::new(daemons), middle);
    list::draw(frame, model, list);
    detail::draw(frame, model, below, zone);
    frame.render_widget(footer(model), bottom);
    if model.mode == Mode::Help {
        help(frame, area);
    }
}

/// Draws the summary line: ` sereno  12 services: 10 running, 1 backoff, 1 failed          order: name `
fn heading(model: &Model, width: u16) -> Line<'static> {
    let bar = Style::new().add_modifier(Modifier::REVERSED);
    let mut left = match &model.view {
        None => " sereno  asking…".to_owned(),
        Some(view) => format!(" sereno  {}", counts(view)),
    };
    if let Some(why) = &model.lost {
        left = format!(" the supervisor is gone: {}; this is what was known last", one_line(why));
    }
    let mut right = format!("order: {} ", model.sort.word());
    if !model.filter.is_empty() {
        right = format!("only: {}  {right}", one_line(&model.filter));
    }
    let width = usize::from(width);
    let left = cut(&left, width);
    let room = width.saturating_sub(left.chars().count());
    let right = if right.chars().count() < room { right } else { String::new() };
    let line = Line::from(format!("{left}{right:>room$}")).style(bar);
    if model.lost.is_some() { line.red() } else { line }
}

fn counts(view: &View) -> String {
    use ServiceState::{Backoff, Completed, Failed, Running, Starting, Stopped, Stopping, Waiting};
    let count = |state| view.services.iter().filter(|service| service.state == state).count();
    let parts: Vec<String> = [Failed, Backoff, Waiting, Starting, Stopping, Running, Stopped, Completed]
        .into_iter()
        .map(|state| (state, count(state)))
        .filter(|(_, count)| *count > 0)
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    let noun = if view.services.len() == 1 { "service" } else { "services" };
    let all = format!("{} {noun}", view.services.len());
    if parts.is_empty() { all } else { format!("{all}: {}", parts.join(", ")) }
}

fn daemons(model: &Model) -> Vec<Line<'static>> {
    let Some(view) = &model.view else { return Vec::new() };
    let supervisor = match &view.supervisor {
        Ok(up) if model.lost.is_none() => {
            let mut text = format!("up {}  version {}", span(up.uptime), one_line(&up.version));
            if up.config_newer {
                text.push_str("  the file has changed: ctl plan, ctl apply");
            }
            let brake = up.brake.as_ref().map(|brake| format!("  brake: {}", one_line(brake)));
            daemon("supervisor", Color::Green, text, brake)
        }
        Ok(_) => daemon("supervisor", Color::Red, "gone".into(), None),
        Err(why) => daemon("supervisor", Color::Red, one_line(&why.to_string()), None),
    };
    let (monitors, others) = (view.monitors.iter().map(monitor), view.daemons.iter().map(other));
    iter::once(supervisor).chain(monitors).chain(others).collect()
}

fn monitor(view: &MonitorView) -> Line<'static> {
    let name = one_line(&view.name);
    match &view.answer {
        Err(why) => daemon(&name, Color::Red, one_line(&why.to_string()), None),
        Ok(up) => {
            let noun = if up.targets == 1 { "target" } else { "targets" };
            let text = format!("up {}  {} {noun}", span(up.uptime), up.targets);
            let failing = (up.failing > 0).then(|| format!(", {} failing", up.failing));
            let trouble = match &view.blind {
                Some(blind) => Some(format!("  blind: {}", one_line(blind))),
                None if !view.attached => Some("  not attached".into()),
                None => failing,
            };
            daemon(&name, if view.attached { Color::Green } else { Color::Yellow }, text, trouble)
        }
    }
}

fn other(view: &DaemonView) -> Line<'static> {
    let process = &view.process;
    let runs = process.state == ServiceState::Running;
    let up = process.uptime.filter(|_| runs).map(|uptime| format!("up {}", span(uptime)));
    let text = up.unwrap_or_else(|| process.state.to_string());
    daemon(&one_line(&view.name), if runs { Color::Green } else { Color::Yellow }, text, None)
}

fn daemon(name: &str, dot: Color, text: String, trouble: Option<String>) -> Line<'static> {
    let mut line = Line::from(vec![
        Span::styled(" ● ", dot),
        Span::raw(format!("{name:<15} ")),
        Span::styled(text, Modifier::DIM),
    ]);
    line.extend(trouble.map(|trouble| Span::styled(trouble, Color::Red)));
    line
}

fn footer(model: &Model) -> Line<'static> {
    match &model.mode {
        Mode::Filter => {
            Line::from(format!(" / {}▏  enter: keep  esc: everything", one_line(&model.filter))).bold()
        }
        Mode::Confirm(act, name) => {
            Line::from(format!(" {} {}?  y: yes  any other key: no", act.word(), one_line(name)))
                .yellow()
                .bold()
        }
        Mode::Look | Mode::Help => match &model.message {
            Some((true, text)) => Line::from(format!(" {}", one_line(text))).green(),
            Some((false, text)) => Line::from(format!(" {}", one_line(text))).red(),
            None => keys(),
        },
    }
}

fn keys() -> Line<'static> {
    let keys = [
        ("s", "tart"),
        ("x", " stop"),
        ("r", "estart"),
        ("p", "ause"),
        ("/", " filter"),
        ("o", "rder"),
        ("enter", " larger"),
        ("?", " help"),
        ("q", "uit"),
    ];
    let span = |(key, rest)| {
        [Span::raw(" "), Span::styled(key, Modifier::BOLD), Span::styled(rest, Modifier::DIM), Span::raw(" ")]
    };
    keys.into_iter().flat_map(span).collect()
}

fn help(frame: &mut Frame<'_>, area: Rect) {
    let lines =
        HELP.map(|(key, text)| Line::from(vec![Span::from(format!(" {key:<18}")).bold(), text.into()]));
    let height = u16::try_from(HELP.len() + 2).unwrap_or(u16::MAX);
    let window = area.centered(Constraint::Max(74), Constraint::Max(height));
    frame.render_widget(Clear, window);
    frame.render_widget(Paragraph::new(lines.to_vec()).block(Block::bordered().title(" keys ")), window);
}

/// Converts a style of the other commands.
fn colour(style: anstyle::Style) -> Style {
    let mut same = match style.get_fg_color() {
        Some(AnyColor::Ansi(AnsiColor::Green)) => Style::from(Color::Green),
        Some(AnyColor::Ansi(AnsiColor::Yellow)) => Style::from(Color::Yellow),
        Some(AnyColor::Ansi(AnsiColor::Red)) => Style::from(Color::Red),
        _ => Style::new(),
    };
    if style.get_effects().contains(anstyle::Effects::DIMMED) {
        same = same.add_modifier(Modifier::DIM);
    }
    same
}
