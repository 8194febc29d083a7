//! The main loop: passes inputs to the model, performs its wishes, and draws it.

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

/// Minimum time between two frames, so that a fast log is drawn no faster than the eye can follow.
const FRAME: Duration = Duration::from_millis(100);
/// Maximum number of queued inputs; a sender waits while the queue is full.
const WAITING: usize = 64;

/// Shows the screen until the user quits.
pub(crate) async fn run(place: &Place, out: &mut Out) -> Result<Done, Failure> {
    if out.json || !out.terminal {
        return Err(Failure::Usage("top needs a terminal; \"ctl status\" prints the same once".into()));
    }
    // Without a supervisor this fails with a message, instead of showing an empty screen.
    drop(Supervisor::connect(&place.located.supervisor).await?);
    let (quit, ended) = mpsc::channel(1);
    let on_signal = move || {
        // A full channel already holds the request to quit.
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
    /// Task that follows the current log.
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
