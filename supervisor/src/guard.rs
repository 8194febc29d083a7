//! `supervisor --guard`: the guard as a process of its own, which a supervisor runs where no built-in monitor guards it.
//! It has one thread, and one more that waits for the supervisor's end; it asks nothing but whether the supervisor hangs.

use std::path::Path;

use sereno_config::GUARD;
use sereno_config::Home;
use sereno_guard::Guard;
use sereno_runtime::{SdNotify, Shutdown, logging};

use crate::os;
use crate::serving;
use crate::start::{StartError, step};

/// Guards until it is told to end.
pub(crate) fn run(home: &Path) -> Result<(), StartError> {
    // A second one would take the place of the first, and hold nothing.
    if std::env::var_os(os::MARK).is_none() {
        return Err(StartError::Guard(home.into()));
    }
    os::one_heap();
    let home = Home::at(home);
    let _log = logging::init(GUARD, "info", Some(&home.log()))?;
    let runtime = step("starting the runtime", serving::runtime())?;
    let ran = runtime.block_on(async {
        let shutdown = Shutdown::new();
        step("watching signals", shutdown.on_signals())?;
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            "guards the supervisor of {}",
            home.root().display()
        );
        Guard::new(home, GUARD).spawn(shutdown.clone());
        // The supervisor connects to the fd store as soon as it hears that this process is ready.
        if let Some(init) = SdNotify::of(&std::env::vars_os().collect()) {
            init.report(shutdown.clone());
        }
        os::trim_heap();
        shutdown.triggered().await;
        Ok(())
    });
    // A supervisor that is just being started must not hold the exit.
    runtime.shutdown_background();
    ran
}
