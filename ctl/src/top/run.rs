//! The loop: inputs to the model, wishes to the world, the model to the screen.

use std::time::Duration;

use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, sleep_until};

use super::model::{Input, Model, Wish};
use super::screen::Screen;
use super::{draw, feeds};
use crate::client::Supervisor;
use crate::failure::{Done, Failure};
use crate::out::Out;
use crate::place::Place;

/// A log that floods is drawn no faster than an eye follows.
const FRAME: Duration = Duration::from_millis(100);
/// Inputs that wait; whoever is ahead of that waits too.
const WAITING: usize = 64;

/// Shows it until somebody has seen enough.
pub(crate) async fn run(place: &Place, out: &mut Out) -> Result<Done, Failure> {
    if out.json || !out.terminal {
        return Err(Failure::Usage("top needs a terminal; \"ctl status\" prints the same once".into()));
    }
    // Whoever has no supervisor is told so, instead of being shown an empty screen.
    drop(Supervisor::connect(&place.located.supervisor).await?);
    let (quit, ended) = mpsc::channel(1);
    let on_signal = move || {
        // One that waits already ends it too.
        let _ = quit.try_send(());
    };
    ctrlc::set_handler(on_signal).map_err(|error| Failure::Start(std::io::Error::other(error)))?;
    let (to_model, inputs) = mpsc::channel(WAITING);
    let (to_keys, keys) = mpsc::channel(WAITING);
    let screen = Screen::take()?;
    feeds::keys(to_keys)?;
    tokio::select! {
        end = feeds::statuses(place, &to_model) => end.map(|()| Done::Well),
        end = Loop::new(place, screen, to_model.clone()).run(inputs, keys, ended) => end.map(|()| Done::Well),
    }
}

struct Loop<'a> {
    place: &'a Place,
    screen: Screen,
    model: Model,
    to_model: Sender<Input>,
    /// The log that is followed.
    log: Option<AbortHandle>,
}

impl<'a> Loop<'a> {
    fn new(place: &'a Place, screen: Screen, to_model: Sender<Input>) -> Self {
        Self { place, screen, model: Model::default(), to_model, log: None }
    }

    async fn run(
        mut self,
        mut inputs: Receiver<Input>,
        mut keys: Receiver<Input>,
        mut ended: Receiver<()>,
    ) -> Result<(), Failure> {
        let mut drawn = Instant::now();
        self.draw()?;
        let mut changed = false;
        loop {
            let input = tokio::select! {
                biased;
                _ = ended.recv() => return Ok(()),
                key = keys.recv() => match key {
                    Some(input) => Some(input),
                    None => return Ok(()),
                },
                () = sleep_until(drawn + FRAME), if changed => None,
                input = inputs.recv() => input,
            };
            let Some(input) = input else {
                self.draw()?;
                (drawn, changed) = (Instant::now(), false);
                continue;
            };
            let at_once = matches!(input, Input::Key(_) | Input::Resized);
            for wish in self.model.update(input) {
                if wish == Wish::Quit {
                    return Ok(());
                }
                self.grant(wish);
            }
            changed = true;
            if at_once {
                self.draw()?;
                (drawn, changed) = (Instant::now(), false);
            }
        }
    }

    fn draw(&mut self) -> Result<(), Failure> {
        let model = &self.model;
        self.screen.draw(|frame| draw::screen(frame, model))
    }

    fn grant(&mut self, wish: Wish) {
        let (endpoint, to) = (self.place.located.supervisor.clone(), self.to_model.clone());
        match wish {
            Wish::Follow(service) => {
                let task: JoinHandle<()> = tokio::spawn(feeds::log(endpoint, service, to));
                if let Some(before) = self.log.replace(task.abort_handle()) {
                    before.abort();
                }
            }
            Wish::AskWhy(service) => drop(tokio::spawn(feeds::why(endpoint, service, to))),
            Wish::Act(act, service) => drop(tokio::spawn(feeds::act(endpoint, act, service, to))),
            Wish::Quit => {}
        }
    }
}
