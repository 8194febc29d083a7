//! Draws the services, one per line.

use proto::v1::ServiceState;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span};

use super::super::model::Model;
use super::colour;
use crate::render::check::{self, CheckVerdict};
use crate::render::time::{size, span};
use crate::render::{cut, explain, one_line, state_style};
use crate::view::ServiceView;

/// Minimum full scale of the CPU bars, in percent, so that a low use is drawn as low.
const LITTLE: f64 = 5.0;
/// Minimum full scale of the memory bars, in bytes: growing memory fills its bars, and no memory is drawn as empty.
const NOTHING: f64 = 1.0;
/// Maximum width of the name column while other columns are shown.
const LONGEST_NAME: usize = 24;

/// Width reserved for failing checks.
const CHECKS: usize = 8;

/// The columns that fit.
struct Columns {
    name: usize,
    bars: usize,
    uptime: bool,
    restarts: bool,
    usage: bool,
    checks: usize,
}

impl Columns {
    fn new(rows: &[&ServiceView], width: usize) -> Self {
        let longest = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
        let (uptime, restarts, usage) = (width >= 56, width >= 64, width >= 48);
        let bars = match width {
            0..72 => 0,
            72..100 => 4,
            100..140 => 12,
            _ => 24,
        };
        let numbers = 2 * if bars > 0 { bars + 1 } else { 0 };
        // Mark, state, uptime, restarts, CPU and memory, each with the gap after it.
        let fixed = 1
            + 11
            + if uptime { 9 } else { 0 }
            + if restarts { 5 } else { 0 }
            + if usage { 9 + 10 + numbers } else { 0 };
        let left = width.saturating_sub(fixed);
        // A long name is cut before the checks are.
        let room = left.saturating_sub(if width >= 72 { CHECKS + 2 } else { 2 });
        let name = longest.clamp(8, LONGEST_NAME).min(room.max(4));
        Self { name, bars, uptime, restarts, usage, checks: left.saturating_sub(name + 2) }
    }
}

pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, area: Rect) {
    if area.height == 0 {
        return;
    }
    let rows = model.rows();
    let columns = Columns::new(&rows, area.width.into());
    let mut lines = vec![heading(&columns)];
    if rows.is_empty() {
        let text = match &model.view {
            None => "",
            Some(_) if model.filter.is_empty() => " there are no services",
            Some(_) => " nothing has this in its name, state or tags; esc shows everything",
        };
        lines.push(Line::from(text).dim());
    }
    let room = usize::from(area.height - 1);
    let at = rows.iter().position(|row| Some(&row.name) == model.selected.as_ref()).unwrap_or(0);
    // The selected row stays in the middle while there are rows above and below.
    let first = at.saturating_sub(room / 2).min(rows.len().saturating_sub(room));
    for (place, row) in rows.iter().enumerate().skip(first).take(room) {
        let line = service(model, row, &columns);
        lines.push(if place == at { line.add_modifier(Modifier::REVERSED) } else { line });
    }
    for (line, y) in lines.into_iter().zip(area.rows()) {
        frame.render_widget(line, y);
    }
}

fn heading(columns: &Columns) -> Line<'static> {
    let mut text = format!(" {:<width$}  {:<9}  ", "SERVICE", "STATE", width = columns.name);
    if columns.uptime {
        text.push_str("UPTIME   ");
    }
    if columns.restarts {
        text.push_str("RST  ");
    }
    if columns.usage {
        let bars = if columns.bars > 0 { columns.bars + 1 } else { 0 };
        text.extend([
            format!("{:>width$}  ", "CPU", width = bars + 7),
            format!("{:>width$}  ", "MEMORY", width = bars + 8),
        ]);
    }
    if columns.checks >= 6 {
        text.push_str("CHECKS");
    }
    Line::from(text).bold()
}

fn service(model: &Model, row: &ServiceView, columns: &Columns) -> Line<'static> {
    let name = cut(&one_line(&row.name), columns.name);
    let sick = row.state == ServiceState::Running && !row.is_well();
    let style = if sick { Style::from(Color::Yellow) } else { colour(state_style(row.state)) };
    let mut line = Line::from(vec![
        Span::raw(format!(" {name:<width$}  ", width = columns.name)),
        Span::styled(format!("{:<9}", row.state.word()), style),
        Span::raw(if row.paused { "‖ " } else { "  " }),
    ]);
    if columns.uptime {
        let uptime = row.uptime.map_or_else(String::new, span);
        line.push_span(Span::raw(format!("{uptime:<7}  ")));
    }
    if columns.restarts {
        let style = if row.streak > 0 { Style::from(Color::Yellow) } else { Style::new() };
        line.push_span(Span::styled(format!("{:>3}  ", row.restarts), style));
    }
    if columns.usage {
        usage(model, row, columns.bars, &mut line);
    }
    if columns.checks >= 6 {
        checks(row, columns.checks, &mut line);
    }
    line
}

fn usage(model: &Model, row: &ServiceView, bars: usize, line: &mut Line<'static>) {
    // A service that does not run has nothing to draw.
    let measured = model.measured(&row.name).filter(|_| row.pid.is_some());
    let blank = |bars: usize| " ".repeat(if bars > 0 { bars + 1 } else { 0 });
    let cpu = row.cpu_percent.map_or_else(String::new, |percent| format!("{percent:.1} %"));
    let memory = row.memory_bytes.map_or_else(String::new, size);
    let drawn = measured.filter(|_| bars > 0).map(|(cpu, memory)| {
        (format!("{} ", cpu.bars(bars, LITTLE)), format!("{} ", memory.bars(bars, NOTHING)))
    });
    let (cpu_bars, memory_bars) = drawn.unwrap_or_else(|| (blank(bars), blank(bars)));
    line.push_span(Span::styled(cpu_bars, Color::Cyan));
    line.push_span(Span::raw(format!("{cpu:>7}  ")));
    line.push_span(Span::styled(memory_bars, Color::Blue));
    line.push_span(Span::raw(format!("{memory:>8}  ")));
}

/// Shows failing checks, else those whose failures count, else the number of passing ones.
fn checks(row: &ServiceView, room: usize, line: &mut Line<'static>) {
    if row.checks.is_empty() || !explain::alive(row.state) {
        if let Some(left) = row.next_start {
            line.push_span(Span::styled(cut(&format!("in {}", span(left)), room), Modifier::DIM));
        }
        return;
    }
    let of = |verdict| row.checks.iter().filter(move |check| CheckVerdict::of(check) == verdict);
    let failing: Vec<&str> = of(CheckVerdict::Failing).map(|check| check.id.as_str()).collect();
    let counting: Vec<String> = of(CheckVerdict::Counting).map(check::short).collect();
    let passing = of(CheckVerdict::Passing).count();
    let held = if row.held.is_some() { ", held" } else { "" };
    let (text, style) = if !failing.is_empty() {
        (format!("✗ {}{held}", one_line(&failing.join(" "))), Style::from(Color::Red))
    } else if !counting.is_empty() {
        (format!("{}{held}", counting.join(", ")), colour(CheckVerdict::Counting.style()))
    } else if passing == row.checks.len() {
        (format!("✓ {passing}{held}"), Style::from(Color::Green))
    } else {
        (format!("✓ {passing} of {}{held}", row.checks.len()), Style::from(Color::Yellow))
    };
    line.push_span(Span::styled(cut(&text, room), style));
}
