//! Runs the manager and the API, from the first turn to the last.

use sereno_runtime::{SdNotify, Shutdown};
use sereno_serve::BindPolicy;

use super::anew::{HomeError, Remembered};
use super::{StartError, step};
use crate::api::Folders;
use crate::manager::command::Command;
use crate::manager::{Manager, Over, Start, Wanted};
use crate::os::{self, Lock};
use crate::serving::{self, Api};

/// Runs the manager on this thread and the API on another, until the end. Also returns why home could not be made
/// again, if that was the cause.
pub(super) fn supervise(
    start: Start,
    under_init: bool,
    locks: &mut Vec<Lock>,
) -> Result<(Over, Option<HomeError>), StartError> {
    os::spare_from_oom();
    let runtime = step("starting the runtime", serving::runtime())?;
    let _entered = runtime.enter();
    let home = start.home.clone();
    let remembered = Remembered::of(&home, &start.instance);
    let table = start.config.supervisor.clone();
    let mut shutdown = Shutdown::new();
    // After a restart the services must not wait for the network, so binding is retried; `up` reports a failure at
    // once, unless a supervisor that cannot end may still hold the addresses.
    let before = locks.iter().find_map(Lock::taken_over_from);
    let policy =
        if start.wanted == Wanted::Up && before.is_none() { BindPolicy::FailFast } else { BindPolicy::Retry };
    if let Some(pid) = before {
        tracing::warn!(
            pid,
            "the lock was taken over: its holder was killed and cannot end, as it waits in the kernel"
        );
    }
    let mut api = Some(Api::bind(&home, &table, policy, shutdown.clone())?);
    let mut children = step("watching children", os::Children::watch())?;
    let signals = Shutdown::new();
    step("watching signals", signals.on_signals())?;
    let (mut manager, handle) = step("taking up the state", Manager::build(start))?;
    let logs = manager.logs();
    let (told, gone) = (handle.clone(), signals.clone());
    runtime.spawn(async move {
        signals.triggered().await;
        let who = "a signal to the supervisor".into();
        // Under an init system a signal restarts only the supervisor, so the services stay.
        let _ = told.ask(|reply| Command::Shutdown { keep: under_init, who, reply }).await;
    });
    if let Some(api) = &api {
        api.serve(handle.clone(), Folders::of(&home));
    }
    if let Some(init) = SdNotify::of(&std::env::vars_os().collect()) {
        // Reported from the loop that decides, so that a hanging loop goes silent.
        init.report(gone);
    }
    manager.begin();
    let mut lost = None;
    let over = loop {
        let over = runtime.block_on(manager.run(&mut children));
        if over != Over::HomeGone {
            break over;
        }
        // The sockets in home have lost their paths as well.
        shutdown.trigger();
        if let Some(api) = api.take() {
            runtime.block_on(manager.refuse_while(|| api.end()));
        }
        match remembered.make(&home, locks, &mut manager) {
            Ok(()) => {}
            Err(why) if why.may_pass() => {
                manager.try_home_later(&why);
                continue;
            }
            Err(why) => {
                manager.give_up_without_home(&why);
                lost = Some(why);
                continue;
            }
        }
        shutdown = Shutdown::new();
        match Api::bind(&home, &table, BindPolicy::Retry, shutdown.clone()) {
            Ok(bound) => {
                bound.serve(handle.clone(), Folders::of(&home));
                api = Some(bound);
                manager.home_is_anew();
                if !locks.last().is_some_and(|lock| lock.is_at(&home.lock())) {
                    manager.try_home_later(&"it was deleted again meanwhile");
                }
            }
            Err(why) => manager.try_home_later(&why),
        }
    };
    // Dropping the manager ends all requests that still wait for an answer.
    drop(manager);
    shutdown.trigger();
    if let Some(api) = api {
        api.end();
    }
    // What services write that go on waits in their pipes: a service that holds its pipe up can not delay this.
    logs.end(over == Over::Down);
    Ok((over, lost))
}
