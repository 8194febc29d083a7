//! Takes over the terminal, and restores it however the program ends.

use ratatui::DefaultTerminal;

use crate::failure::Failure;

/// The terminal while it is taken over.
pub(super) struct Screen(DefaultTerminal);

impl Screen {
    /// Switches to the alternate screen and to raw key input. A panic restores the terminal before its
    /// message is printed.
    pub(super) fn take() -> Result<Self, Failure> {
        ratatui::try_init().map(Self).map_err(|error| {
            ratatui::restore();
            Failure::Output(error)
        })
    }

    /// Draws the changed cells; all of them after a resize.
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
