//! Reads a home that nobody supervises, for `ctl`: serves what is on the disk, until whoever asked is gone.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sereno_config::Home;
use sereno_runtime::Shutdown;
use sereno_serve::{Access, BindPolicy, bind_all, serve};

use super::{StartError, instance_of, resume, step};
use crate::api;
use crate::disk::added::Added;
use crate::manager::{Over, Reader};
use crate::serving;

/// Serves the `Supervisor` service from the files of `home` in the folder `at`, until stdin ends.
pub(super) fn read(home: &Path, at: &Path) -> Result<Over, StartError> {
    let (mut config, applied) = resume(home)?;
    let home = Home::at(home);
    // What cannot be joined is not shown: the supervisor said why when it left it out.
    drop(Added::load(&home.state()).join(&mut config));
    let instance = step("reading the name of this home", instance_of(&home))?;
    let (reader, handle) = Reader::open(&home, &instance, &config, applied.about);
    let runtime = step("starting the runtime", serving::runtime())?;
    let shutdown = Shutdown::new();
    let gone = shutdown.clone();
    let wait = move || {
        let mut rest = Vec::new();
        drop(std::io::stdin().read_to_end(&mut rest));
        gone.trigger();
    };
    step("waiting for its caller", std::thread::Builder::new().name("caller".into()).spawn(wait))?;
    let served: Result<(), StartError> = runtime.block_on(async {
        let endpoint = Home::at(at).endpoint("supervisor");
        let listener = bind_all(&[endpoint], Access::default(), BindPolicy::FailFast)?;
        let context = api::ApiContext { sampler: Arc::default(), access: listener.access() };
        let routes = api::routes(&handle, api::Folders::of(&home), &shutdown, context);
        drop(handle);
        tokio::spawn(reader.answer());
        let served = serve::serve(listener, routes, &api::SERVICES, shutdown, Duration::ZERO).await;
        step("serving", served.map_err(std::io::Error::other))
    });
    served.map(|()| Over::Kept)
}
