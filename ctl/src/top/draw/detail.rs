//! Draws the selected service: why it is in its state, why it was last restarted, and its log.

use jiff::tz::TimeZone;
use proto::time::unstamp;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Stylize as _};
use ratatui::text::{Line, Span};

use super::super::model::Model;
use crate::render::time::clock;
use crate::render::{cut, explain, one_line, wrap};
use crate::view::ServiceView;

pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, area: Rect, zone: &TimeZone) {
    let Some(service) = model.current().filter(|_| area.height > 1) else { return };
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let mut lines = vec![rule(&title(service), width)];
    let words = [explain::service(service), explain::counting(service)].concat();
    for text in words.iter().flat_map(|text| wrap(&one_line(text), width, 1, 3)).take(height / 3) {
        lines.push(Line::from(text).yellow());
    }
    let chain = causes(model, zone, width);
    // The newest causes matter most, and the log gets at least half of the space.
    let room = (height / 2).saturating_sub(lines.len());
    lines.extend(chain.iter().skip(chain.len().saturating_sub(room)).cloned());
    lines.push(rule("log", width));
    let room = height.saturating_sub(lines.len());
    if model.log.is_empty() && room > 0 {
        lines.push(Line::from(" it has written nothing yet").dim());
    }
    let begin = model.log.len().saturating_sub(room);
    for line in model.log.iter().skip(begin) {
        let mark =
            if line.is_error { Span::styled("▎", Color::Red) } else { Span::styled("▎", Modifier::DIM) };
        lines.push(Line::from(vec![mark, Span::raw(cut(&line.text, width.saturating_sub(1)))]));
    }
    for (line, row) in lines.into_iter().zip(area.rows()) {
        frame.render_widget(line, row);
    }
}

fn title(service: &ServiceView) -> String {
    let pid = service.pid.map_or_else(String::new, |pid| format!(", pid {pid}"));
    let run = match service.incarnation {
        0 => String::new(),
        number => format!(", incarnation {number}"),
    };
    let text = service.status_text.as_ref().map(|text| format!(": {}", one_line(text)));
    let state = service.state;
    format!("{} {state}{pid}{run}{}", one_line(&service.name), text.unwrap_or_default())
}

fn causes(model: &Model, zone: &TimeZone, width: usize) -> Vec<Line<'static>> {
    let link = |event: &proto::v1::Event| {
        let head = format!(" {}  {:<14}  ", clock(unstamp(event.time), zone), one_line(&event.source));
        let room = width.saturating_sub(head.chars().count());
        Line::from(vec![Span::from(head).dim(), Span::raw(cut(&one_line(&event.message), room))])
    };
    model.why.iter().map(link).collect()
}

fn rule(title: &str, width: usize) -> Line<'static> {
    let title = cut(&format!("── {title} "), width);
    let rest = width.saturating_sub(title.chars().count());
    Line::from(format!("{title}{}", "─".repeat(rest))).cyan()
}
