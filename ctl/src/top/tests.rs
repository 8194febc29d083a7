//! Tests of the screen's content after various inputs, drawn without a terminal.

use jiff::tz::TimeZone;
use proto::v1::{CheckState, Event, ServiceState};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::Color;
use sereno_connect::ConnectError;

use super::draw;
use super::model::{Act, Input, LogLine, Mode, Model, Wish};
use crate::view::testing::{answers, service, view};
use crate::view::{MonitorAnswer, View};

fn status(model: &mut Model) -> Vec<Wish> {
    model.update(Input::Status(Box::new(view())))
}

fn press(model: &mut Model, keys: &str) -> Vec<Wish> {
    keys.chars().flat_map(|key| code(model, KeyCode::Char(key))).collect()
}

fn code(model: &mut Model, code: KeyCode) -> Vec<Wish> {
    model.update(Input::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn drawn(model: &Model, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    terminal.draw(|frame| draw::draw(frame, model, &TimeZone::UTC)).expect("drawn");
    let text = terminal.backend().to_string();
    let lines = text.lines().map(|line| line.trim_matches('"').trim_end());
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

fn looked_at() -> Model {
    let mut model = Model::default();
    status(&mut model);
    code(&mut model, KeyCode::Down);
    let line = |is_error, text: &str| LogLine { is_error, text: text.into() };
    let lines = vec![line(false, "listening on 5189"), line(true, "Error: no such module")];
    model.update(Input::Log { service: "frontend".into(), lines });
    let event = Event {
        time: Some(proto::time::stamp(crate::view::testing::noon())),
        source: "supervisor".into(),
        service: "frontend".into(),
        incarnation: 9,
        kind: "exit".into(),
        message: "exit 1 after 0.3 s".into(),
        ..Event::default()
    };
    model.update(Input::Why { service: "frontend".into(), events: vec![event] });
    model
}

#[test]
fn fits_eighty_by_twenty_four() {
    assert_eq!(drawn(&looked_at(), 80, 24), include_str!("../../tests/golden/top-80x24.txt"));
}

#[test]
fn failures_that_count_are_drawn_as_a_warning_and_never_as_passing() {
    let mut view = view();
    for check in &mut view.services[0].checks {
        check.state = CheckState::Passing;
    }
    let health = &mut view.services[0].checks[0];
    (health.failures, health.detail) = (1, Some("503".into()));
    let mut model = Model::default();
    model.update(Input::Status(Box::new(view)));
    let mut terminal = Terminal::new(TestBackend::new(120, 24)).expect("a terminal");
    terminal.draw(|frame| draw::draw(frame, &model, &TimeZone::UTC)).expect("drawn");
    let screen = drawn(&model, 120, 24);
    let (y, row) = screen.lines().enumerate().find(|(_, line)| line.contains(" backend ")).expect("its row");
    assert!(row.ends_with("health 1 of 3 failed: 503"), "{screen}");
    assert!(!screen.contains('✓'), "{screen}");
    let x = row.chars().count() - 1;
    let cell = terminal.backend().buffer().cell((u16::try_from(x).unwrap(), u16::try_from(y).unwrap()));
    assert_eq!(cell.expect("on the screen").fg, Color::Yellow);
    assert!(screen.contains("\n health 1 of 3 failed: 503\n"), "the selected service says it too: {screen}");
}

#[test]
fn any_size_is_drawn_and_the_selected_one_is_always_there() {
    let mut answers = answers();
    if let Ok(status) = &mut answers.supervisor {
        status.services.extend((0..100).map(|n| service(&format!("many-{n:03}"), ServiceState::Running)));
    }
    let mut model = Model::default();
    model.update(Input::Status(Box::new(View::join(answers))));
    code(&mut model, KeyCode::End);
    for (width, height) in [(80, 24), (40, 10), (20, 5), (10, 3), (1, 1), (300, 100)] {
        let text = drawn(&model, width, height);
        if height >= 5 && width >= 40 {
            assert!(text.contains("many-099"), "{width}×{height}\n{text}");
        }
        for mode in [Mode::Help, Mode::Filter, Mode::Confirm(Act::Stop, "web".into())] {
            model.mode = mode;
            drawn(&model, width, height);
        }
        model.mode = Mode::Look;
    }
}

#[test]
fn the_first_is_selected_and_its_log_and_causes_are_asked_for_once() {
    let mut model = Model::default();
    let wishes = status(&mut model);
    assert_eq!(wishes, [Wish::Follow("backend".into()), Wish::AskWhy("backend".into())]);
    assert_eq!(status(&mut model), [], "nothing has changed");
    assert_eq!(
        code(&mut model, KeyCode::Down),
        [Wish::Follow("frontend".into()), Wish::AskWhy("frontend".into())]
    );
    model.update(Input::Log {
        service: "backend".into(),
        lines: vec![LogLine { is_error: false, text: "late".into() }],
    });
    assert!(model.log.is_empty(), "what comes late from the one before is not shown");
}

#[test]
fn a_new_run_asks_anew_why() {
    let mut model = Model::default();
    status(&mut model);
    let mut answers = answers();
    if let Ok(status) = &mut answers.supervisor {
        status.services[0].incarnation += 1;
    }
    let wishes = model.update(Input::Status(Box::new(View::join(answers))));
    assert_eq!(wishes, [Wish::AskWhy("backend".into())], "and goes on with its log");
}

#[test]
fn nothing_is_done_without_a_yes() {
    let mut model = looked_at();
    assert_eq!(press(&mut model, "r"), []);
    assert!(drawn(&model, 80, 24).contains("restart frontend?"));
    assert_eq!(press(&mut model, "n"), []);
    assert!(drawn(&model, 80, 24).contains("nothing was done"));
    assert_eq!(press(&mut model, "xy"), [Wish::Act(Act::Stop, "frontend".into())]);
    model.update(Input::Acted { ok: false, text: "frontend: refused".into() });
    assert!(drawn(&model, 80, 24).contains("frontend: refused"));
    for _ in 0..6 {
        status(&mut model);
    }
    assert!(!drawn(&model, 80, 24).contains("refused"), "a message goes by itself");
}

#[test]
fn what_is_so_already_is_not_asked() {
    let mut model = Model::default();
    status(&mut model);
    press(&mut model, "s");
    assert_eq!(model.mode, Mode::Look);
    assert!(drawn(&model, 80, 24).contains("backend is running already"));
}

#[test]
fn the_filter_shows_some_and_escape_shows_all() {
    let mut model = looked_at();
    press(&mut model, "/COMPL");
    assert_eq!(model.rows().len(), 1, "states count too");
    assert_eq!(model.selected.as_deref(), Some("migrate"));
    code(&mut model, KeyCode::Enter);
    assert!(drawn(&model, 80, 24).contains("only: COMPL"));
    press(&mut model, "/x");
    assert!(drawn(&model, 80, 24).contains("nothing has this"));
    assert_eq!(press(&mut model, "q"), [], "it is a letter like any other while the filter is written");
    code(&mut model, KeyCode::Esc);
    assert_eq!(model.rows().len(), 3);
}

#[test]
fn orders_go_round_and_trouble_comes_first_in_one() {
    let mut model = looked_at();
    let first = |model: &Model| model.rows()[0].name.clone();
    press(&mut model, "o");
    assert_eq!(first(&model), "frontend");
    press(&mut model, "ooo");
    assert_eq!(first(&model), "frontend", "it has most restarts");
    press(&mut model, "o");
    assert_eq!(first(&model), "backend");
    assert_eq!(model.selected.as_deref(), Some("frontend"), "whoever is looked at stays so");
}

#[test]
fn a_supervisor_that_is_gone_leaves_what_was_known() {
    let mut model = looked_at();
    let mut gone = answers();
    gone.supervisor = Err(ConnectError::Nobody("no socket").into());
    gone.monitors = Vec::<MonitorAnswer>::new();
    model.update(Input::Status(Box::new(View::join(gone))));
    let text = drawn(&model, 80, 24);
    assert!(text.contains("the supervisor is gone: not running"), "{text}");
    assert!(text.contains("frontend"), "{text}");
    status(&mut model);
    assert!(!drawn(&model, 80, 24).contains("is gone"));
}

#[test]
fn q_and_control_c_end_it() {
    let mut model = looked_at();
    assert_eq!(press(&mut model, "q"), [Wish::Quit]);
    press(&mut model, "/");
    let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(model.update(Input::Key(key)), [Wish::Quit]);
}
