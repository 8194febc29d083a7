//! `supervisor --guard`: the guard as a separate process, which a supervisor runs where no built-in monitor guards it.
//! It has a thread of its own, and another that waits for the supervisor's end; the only request that it sends checks
//! whether the supervisor hangs.

use std::path::Path;

use sereno_config::GUARD;
use sereno_config::Home;
use sereno_guard::Guard;
use sereno_runtime::{SdNotify, Shutdown, logging};

use crate::os;
use crate::serving;
use crate::start::{StartError, step};

/// Guards the supervisor until told to end.
pub(crate) fn run(home: &Path) -> Result<(), StartError> {
    // A second guard would take the first guard's place and hold no files.
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
        // The supervisor connects to the fd store once this process reports readiness.
        if let Some(init) = SdNotify::of(&std::env::vars_os().collect()) {
            init.report(shutdown.clone());
        }
        os::trim_heap();
        shutdown.triggered().await;
        Ok(())
    });
    // Starting a supervisor must not delay the exit.
    runtime.shutdown_background();
    ran
}
