//! Handles key presses.

use proto::v1::{ServiceState, Wanted};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::model::{Act, Mode, Model, Wish};

/// Number of rows of a page.
const PAGE: isize = 10;

impl Model {
    pub(super) fn key(&mut self, key: KeyEvent) -> Vec<Wish> {
        if key.kind == KeyEventKind::Release {
            return Vec::new();
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return vec![Wish::Quit];
        }
        match self.mode.clone() {
            Mode::Look => self.look(key.code),
            Mode::Filter => {
                self.write_filter(key.code);
                Vec::new()
            }
            Mode::Help => {
                self.mode = Mode::Look;
                Vec::new()
            }
            Mode::Confirm(act, name) => {
                self.mode = Mode::Look;
                if let KeyCode::Char('y' | 'Y') = key.code {
                    return vec![Wish::Act(act, name)];
                }
                self.say(true, "nothing was done".into());
                Vec::new()
            }
        }
    }

    fn look(&mut self, key: KeyCode) -> Vec<Wish> {
        match key {
            KeyCode::Char('q') => return vec![Wish::Quit],
            KeyCode::Up | KeyCode::Char('k') => self.go(-1),
            KeyCode::Down | KeyCode::Char('j') => self.go(1),
            KeyCode::PageUp => self.go(-PAGE),
            KeyCode::PageDown => self.go(PAGE),
            KeyCode::Home | KeyCode::Char('g') => self.go(isize::MIN + 1),
            KeyCode::End | KeyCode::Char('G') => self.go(isize::MAX),
            KeyCode::Char('/') => self.mode = Mode::Filter,
            KeyCode::Char('o') => self.sort = self.sort.next(),
            KeyCode::Char('?' | 'h') => self.mode = Mode::Help,
            KeyCode::Enter => self.large = !self.large,
            KeyCode::Esc => {
                self.large = false;
                self.filter.clear();
            }
            KeyCode::Char('s') => self.ask(Act::Start),
            KeyCode::Char('x') => self.ask(Act::Stop),
            KeyCode::Char('r') => self.ask(Act::Restart),
            KeyCode::Char('e') => self.ask(Act::Reset),
            KeyCode::Char('p') => {
                let paused = self.current().is_some_and(|service| service.paused);
                self.ask(if paused { Act::Resume } else { Act::Pause });
            }
            _ => {}
        }
        Vec::new()
    }

    fn write_filter(&mut self, key: KeyCode) {
        match key {
            KeyCode::Enter => self.mode = Mode::Look,
            KeyCode::Esc => {
                self.filter.clear();
                self.mode = Mode::Look;
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Up => self.go(-1),
            KeyCode::Down => self.go(1),
            KeyCode::Char(letter) => self.filter.push(letter),
            _ => {}
        }
    }

    /// Asks for confirmation before an action on a service.
    fn ask(&mut self, act: Act) {
        let Some(service) = self.current() else { return };
        let name = service.name.clone();
        let needless = match act {
            Act::Stop => service.wanted != Wanted::Up && service.state == ServiceState::Stopped,
            Act::Start => service.state == ServiceState::Running,
            _ => false,
        };
        if needless {
            let text = format!("{name} is {} already", service.state);
            self.say(true, text);
        } else {
            self.mode = Mode::Confirm(act, name);
        }
    }
}
