//! The terminal: taken, and given back however this ends.

use ratatui::DefaultTerminal;

use crate::failure::Failure;

/// The terminal while it is ours.
pub(super) struct Screen(DefaultTerminal);

impl Screen {
    /// Another screen, and keys as they are pressed. A panic gives the terminal back before it says anything.
    pub(super) fn take() -> Result<Self, Failure> {
        ratatui::try_init().map(Self).map_err(|error| {
            ratatui::restore();
            Failure::Output(error)
        })
    }

    /// Draws what changed; all of it where the size did.
    pub(super) fn draw(&mut self, render: impl FnOnce(&mut ratatui::Frame<'_>)) -> Result<(), Failure> {
        self.0.draw(render).map(drop).map_err(Failure::Output)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.0.show_cursor();
        ratatui::restore();
    }
}
