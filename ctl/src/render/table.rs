//! The table of `status`: daemons first, then services, each with remarks below its row.

use anstyle::Style;
use proto::v1::ServiceState;

use super::check::{self, CheckVerdict};
use super::time::{size, span};
use super::{BAD, BOLD, BUSY, DIM, GOOD, Look, PLAIN, cut, explain, one_line, state_style, wrap};
use crate::view::{DaemonView, MonitorView, ServiceView, View};

const COLUMNS: usize = 8;
/// Index of the last column, which may be cut.
const LAST: usize = COLUMNS - 1;
/// Columns to drop when space is short, in this order: restarts, CPU and memory, uptime, pid.
const SHED: [usize; 5] = [4, 5, 6, 3, 2];
/// Columns shown only on request: CPU and memory.
const MEASURED: [usize; 2] = [5, 6];
const GAP: usize = 2;
/// Minimum width at which the last column is shown.
const WORTH: usize = 16;

/// A table cell: pieces of text, each with a style.
type Cell = Vec<(String, Style)>;

struct Row {
    cells: [Cell; COLUMNS],
    /// A shorter form of the last cell, for narrow terminals.
    short: Option<Cell>,
    below: Vec<(String, Style)>,
}

/// Renders the whole view.
pub(crate) fn status(view: &View, look: Look) -> String {
    let mut rows = vec![heading(titles("DAEMON", "INFO"))];
    rows.push(supervisor(view));
    rows.extend(view.monitors.iter().map(monitor));
    rows.extend(view.daemons.iter().map(daemon));
    // Without a supervisor: what still runs.
    if view.supervisor.is_ok() || !view.services.is_empty() {
        let mut services = heading(titles("SERVICE", "CHECKS"));
        services.cells[0][0].0.insert(0, '\n');
        rows.push(services);
        rows.extend(view.services.iter().map(service));
    }
    grid(&rows, look)
}

fn titles<'a>(first: &'a str, last: &'a str) -> [&'a str; COLUMNS] {
    [first, "STATE", "PID", "UPTIME", "RESTARTS", "CPU", "MEMORY", last]
}

fn heading(titles: [&str; COLUMNS]) -> Row {
    Row { cells: titles.map(|title| vec![(title.to_owned(), BOLD)]), short: None, below: Vec::new() }
}

/// Returns the cells for CPU and memory, empty if not measured.
fn measured(view: Option<&ServiceView>) -> [Cell; 2] {
    let cell = |text: Option<String>| text.map_or_else(Cell::new, plain);
    let cpu = view.and_then(|view| view.cpu_percent).map(|percent| format!("{percent:.1} %"));
    [cell(cpu), cell(view.and_then(|view| view.memory_bytes).map(size))]
}

fn plain(text: impl Into<String>) -> Cell {
    vec![(text.into(), PLAIN)]
}

fn number(number: Option<impl ToString>) -> Cell {
    number.map_or_else(|| vec![("-".into(), DIM)], |number| plain(number.to_string()))
}

fn daemon_state(up: bool) -> Cell {
    if up { vec![("up".into(), GOOD)] } else { vec![("unreachable".into(), BAD)] }
}

fn supervisor(view: &View) -> Row {
    let up = view.supervisor.as_ref().ok();
    let info = match &view.supervisor {
        Ok(up) => vec![(format!("version {}", one_line(&up.version)), PLAIN)],
        Err(why) => vec![(one_line(&why.to_string()), BAD)],
    };
    let mut below = Vec::new();
    if let Some(up) = up {
        if up.shutting_down {
            below.push(("shutting down".into(), BUSY));
        }
        if up.config_newer {
            let config = one_line(&view.config);
            below.push((format!("{config} has changed since it was applied: ctl plan, ctl apply"), BUSY));
        }
        if let Some(why) = &up.unguarded {
            below.push((format!("unguarded: {}", one_line(why)), BUSY));
        }
        if let Some(notice) = &up.notice {
            below.push((one_line(notice), BUSY));
        }
        for unbound in &up.unbound {
            below.push((format!("can not be bound: {}", one_line(unbound)), BAD));
        }
        if let Some(brake) = &up.brake {
            below.push((format!("brake: {}", one_line(brake)), BAD));
        }
    }
    let [cpu, memory] = measured(None);
    Row {
        cells: [
            plain("supervisor"),
            daemon_state(up.is_some()),
            number(up.map(|up| up.pid)),
            number(up.map(|up| span(up.uptime))),
            number(None::<u64>),
            cpu,
            memory,
            info,
        ],
        short: None,
        below,
    }
}

fn monitor(view: &MonitorView) -> Row {
    let up = view.answer.as_ref().ok();
    let info = match &view.answer {
        Ok(up) => {
            let noun = if up.targets == 1 { "target" } else { "targets" };
            let kind = one_line(view.kind.as_deref().unwrap_or("?"));
            let mut info = vec![(format!("{kind}, {} {noun}", up.targets), PLAIN)];
            if up.failing > 0 {
                info.push((format!(", {} failing", up.failing), BAD));
            }
            info
        }
        Err(why) => vec![(one_line(&why.to_string()), BAD)],
    };
    let mut below = Vec::new();
    // A monitor that does not answer is obviously not attached; this needs no remark.
    if !view.attached && up.is_some() {
        let error = up.and_then(|up| up.last_error.as_deref()).map(|error| format!(": {}", one_line(error)));
        below.push((format!("not attached to the supervisor{}", error.unwrap_or_default()), BUSY));
    }
    if let Some(reason) = &view.blind {
        below.push((format!("blind: {}", one_line(reason)), BUSY));
    }
    if let Some(process) = view.process.as_ref().filter(|process| !process.is_well()) {
        below.extend(explain::service(process).into_iter().map(|line| (one_line(&line), BUSY)));
    }
    let [cpu, memory] = measured(view.process.as_ref());
    Row {
        cells: [
            plain(one_line(&view.name)),
            daemon_state(up.is_some()),
            number(up.map(|up| up.pid).or(view.process.as_ref().and_then(|process| process.pid))),
            number(up.map(|up| span(up.uptime))),
            number(view.process.as_ref().map(|process| process.restarts)),
            cpu,
            memory,
            info,
        ],
        short: None,
        below,
    }
}

fn daemon(view: &DaemonView) -> Row {
    let process = &view.process;
    let row = service(process);
    let [_, state, pid, uptime, restarts, cpu, memory, _] = row.cells;
    let state = if process.state == ServiceState::Running { daemon_state(true) } else { state };
    let kind = plain(one_line(&view.kind));
    Row {
        cells: [plain(one_line(&view.name)), state, pid, uptime, restarts, cpu, memory, kind],
        short: None,
        below: row.below,
    }
}

fn service(view: &ServiceView) -> Row {
    let mut checks = Cell::new();
    // A service that does not run has no checks to show.
    let alive = explain::alive(view.state);
    for check in view.checks.iter().filter(|_| alive) {
        if !checks.is_empty() {
            checks.push((", ".into(), PLAIN));
        }
        checks.push((check::short(check), CheckVerdict::of(check).style()));
    }
    let style = if view.is_well() { DIM } else { BUSY };
    let [cpu, memory] = measured(Some(view));
    let reasons = explain::service(view);
    let says = view.status_text.as_ref().filter(|_| explain::alive(view.state));
    let says = says.map(|text| (format!("says: {}", one_line(text)), DIM));
    Row {
        cells: [
            plain(one_line(&view.name)),
            vec![(view.state.to_string(), state_style(view.state))],
            number(view.pid),
            number(view.uptime.map(span)),
            plain(view.restarts.to_string()),
            cpu,
            memory,
            checks,
        ],
        short: alive.then(|| check::summary(&view.checks).into_iter().collect()),
        below: reasons.into_iter().map(|line| (one_line(&line), style)).chain(says).collect(),
    }
}

/// Formats CPU and memory for display: `0.3 % of a core, 84.0 MB`.
pub(crate) fn usage(view: &ServiceView) -> Option<String> {
    let memory = size(view.memory_bytes?);
    Some(match view.cpu_percent {
        Some(percent) => format!("{percent:.1} % of a core, {memory}"),
        None => memory,
    })
}

fn length(cell: &Cell) -> usize {
    cell.iter().map(|(text, _)| text.trim_start_matches('\n').chars().count()).sum()
}

/// Whether a column is right-aligned, as numbers are.
fn right(column: usize) -> bool {
    matches!(column, 2 | 4..=6)
}

fn grid(rows: &[Row], look: Look) -> String {
    let mut widths: [usize; COLUMNS] =
        std::array::from_fn(|column| rows.iter().map(|row| length(&row.cells[column])).max().unwrap_or(0));
    let shown = fit(rows, &mut widths, look.width);
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        let mut pending = 0;
        for column in (0..COLUMNS).filter(|column| shown[*column]) {
            let pad = widths[column].saturating_sub(length(&row.cells[column]));
            if right(column) {
                pending += pad;
            }
            let cell = match &row.short {
                Some(short) if column == LAST && length(&row.cells[LAST]) > widths[LAST] => short,
                _ => &row.cells[column],
            };
            let painted = fitted(cell, widths[column], look);
            if !painted.is_empty() {
                line.push_str(&" ".repeat(pending));
                line.push_str(&painted);
                pending = 0;
            }
            pending += GAP + if right(column) { 0 } else { pad };
        }
        text.push_str(&line);
        text.push('\n');
        for (below, style) in &row.below {
            for line in wrap(below, look.width, 2, 4) {
                text.push_str(&look.paint(*style, &line));
                text.push('\n');
            }
        }
    }
    text
}

/// Decides which columns fit, and the width of the first and the last column.
fn fit(rows: &[Row], widths: &mut [usize; COLUMNS], room: usize) -> [bool; COLUMNS] {
    let is_title = |cell: &Cell| cell.iter().all(|(_, style)| *style == BOLD);
    let measured = MEASURED.iter().any(|column| rows.iter().any(|row| !is_title(&row.cells[*column])));
    let mut shown = std::array::from_fn(|column| measured || !MEASURED.contains(&column));
    let needed = |widths: &[usize; COLUMNS], shown: &[bool; COLUMNS]| -> usize {
        (0..LAST).filter(|column| shown[*column]).map(|column| widths[column] + GAP).sum()
    };
    let wanted = widths[LAST].min(WORTH);
    for column in SHED.into_iter().filter(|column| measured || !MEASURED.contains(column)) {
        if needed(widths, &shown) + wanted > room {
            shown[column] = false;
        }
    }
    let left = room.saturating_sub(needed(widths, &shown));
    if left < wanted {
        shown[LAST] = false;
        // Only name and state are left; the state is short.
        widths[0] = widths[0].min(room.saturating_sub(widths[1] + GAP).max(1));
    }
    widths[LAST] = widths[LAST].min(left);
    shown
}

/// Renders a cell, cut to a width.
fn fitted(cell: &Cell, width: usize, look: Look) -> String {
    if length(cell) <= width {
        return cell.iter().map(|(text, style)| paint(look, *style, text)).collect();
    }
    let mut painted = String::new();
    let mut room = width;
    for (text, style) in cell {
        let long = text.chars().count();
        // The cut mark needs one column, unless this piece itself is cut.
        let piece = if long < room { text.clone() } else { cut(&format!("{text}…"), room) };
        room = room.saturating_sub(piece.chars().count());
        painted.push_str(&paint(look, *style, &piece));
        if room == 0 {
            break;
        }
    }
    painted
}

/// Does not paint the empty line before a heading.
fn paint(look: Look, style: Style, text: &str) -> String {
    match text.strip_prefix('\n') {
        Some(rest) => format!("\n{}", look.paint(style, rest)),
        None => look.paint(style, text),
    }
}

#[cfg(test)]
mod tests {
    use proto::v1::CheckState;

    use super::*;
    use crate::view::testing::view;

    fn plain(width: usize) -> String {
        status(&view(), Look { colour: false, width })
    }

    #[test]
    fn fits_eighty_columns() {
        assert_eq!(plain(80), include_str!("../../tests/golden/status-80.txt"));
    }

    #[test]
    fn sheds_columns_when_narrow() {
        assert_eq!(plain(50), include_str!("../../tests/golden/status-50.txt"));
        assert_eq!(plain(30), include_str!("../../tests/golden/status-30.txt"));
    }

    #[test]
    fn cpu_and_memory_stand_where_they_were_asked_for_and_go_before_uptime() {
        let mut view = view();
        view.services[0].cpu_percent = Some(12.34);
        view.services[0].memory_bytes = Some(84_000_000);
        let wide = status(&view, Look { colour: false, width: 100 });
        assert!(wide.contains("RESTARTS     CPU   MEMORY  CHECKS"), "{wide}");
        assert!(wide.contains("4  12.3 %  84.0 MB  health 200, port unknown"), "{wide}");
        let narrow = status(&view, Look { colour: false, width: 60 });
        assert!(narrow.contains("UPTIME") && !narrow.contains("MEMORY"), "{narrow}");
    }

    #[test]
    fn failures_that_count_are_a_warning_at_any_width() {
        let mut view = view();
        let [health, port] = &mut view.services[0].checks[..] else { panic!("two checks") };
        (port.state, port.detail) = (CheckState::Passing, Some("own".into()));
        (health.failures, health.detail) = (1, Some("503".into()));
        let is_well = view.services[0].is_well();
        assert!(is_well, "the exit code is as before");
        let wide = status(&view, Look { colour: true, width: 120 });
        assert!(wide.contains("\x1b[33mhealth 1 of 3 failed: 503\x1b[0m, port own"), "{wide:?}");
        let narrow = status(&view, Look { colour: true, width: 66 });
        assert!(narrow.contains("\x1b[33mhealth 1 of 3 failed\x1b[0m"), "{narrow:?}");
        for width in 20..200 {
            assert!(!status(&view, Look { colour: false, width }).contains("passing"), "{width} columns");
        }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let mut view = view();
        view.services[0].name = "n".repeat(64);
        view.services[1].reason = Some("because ".repeat(30));
        view.services[0].checks[0].detail = Some("a detail that goes on and on".repeat(5));
        for width in 20..200 {
            for line in status(&view, Look { colour: false, width }).lines() {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn colour_changes_nothing_but_colour() {
        let painted = status(&view(), Look { colour: true, width: 80 });
        assert!(painted.contains("\x1b[32mrunning\x1b[0m"), "{painted:?}");
        let mut stripped = String::new();
        let mut rest = painted.as_str();
        while let Some((before, after)) = rest.split_once('\x1b') {
            stripped.push_str(before);
            rest = after.split_once('m').expect("an escape ends").1;
        }
        stripped.push_str(rest);
        assert_eq!(stripped, plain(80));
    }
}
