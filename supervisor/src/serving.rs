//! The API's thread: bound before anything is adopted, serving once there is a manager.

use std::io;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use sereno_auth::tokens;
use sereno_config::Home;
use sereno_config::SupervisorTable;
use sereno_runtime::Shutdown;
use sereno_serve::{Access, BindPolicy, Page, bind_all, serve};

use crate::api::{self, Folders};
use crate::manager::Handle;
use crate::manager::command::Command;
use crate::metrics;
use crate::start::{StartError, step};

/// How long to wait until clients have received the end of their streams.
const GRACE: Duration = Duration::from_millis(500);

/// Returns the runtime: a single thread, and up to sixteen for blocking work.
pub(crate) fn runtime() -> io::Result<tokio::runtime::Runtime> {
    sereno_runtime::runtime(16)
}

/// The API's thread.
pub(crate) struct Api {
    thread: thread::JoinHandle<()>,
    go: mpsc::Sender<(Handle, Folders)>,
}

impl Api {
    /// Binds the supervisor's own socket, and the endpoints that the file names.
    pub(crate) fn bind(
        home: &Home,
        table: &SupervisorTable,
        policy: BindPolicy,
        shutdown: Shutdown,
    ) -> Result<Self, StartError> {
        let (go, going) = mpsc::channel::<(Handle, Folders)>();
        let (bound, is_bound) = mpsc::channel();
        let mut endpoints = vec![home.endpoint("supervisor")];
        endpoints.extend(table.listen.iter().cloned());
        let access = Access::new(Some(tokens::path(&home.state())), table.tls.clone());
        let (at, tables) = (table.metrics, metrics::Tables::of(table));
        let body = move || {
            let runtime = match runtime() {
                Ok(runtime) => runtime,
                Err(error) => {
                    return drop(bound.send(Err(StartError::Io("starting the runtime".into(), error))));
                }
            };
            runtime.block_on(async {
                let listener = match bind_all(&endpoints, access, policy) {
                    Ok(listener) => listener,
                    Err(error) => return drop(bound.send(Err(error.into()))),
                };
                let access = listener.access();
                let page = match at.map(|at| Page::bind(at, &access, policy)).transpose() {
                    Ok(page) => page,
                    Err(error) => return drop(bound.send(Err(error.into()))),
                };
                drop(bound.send(Ok(())));
                // Ends silently only if the supervisor could not be built.
                let Ok((manager, folders)) = going.recv() else { return };
                let ears = manager.clone();
                // If the manager's queue is full, the log still has the line.
                access.report(move |line| ears.try_tell(Command::Refused(line)));
                let eyes = api::ApiContext { sampler: Arc::default(), access };
                if let Some(page) = page {
                    let (manager, eyes) = (manager.clone(), eyes.clone());
                    let write = move || metrics::write(manager.clone(), eyes.clone(), tables.clone());
                    tokio::spawn(page.serve(metrics::SHEET, write, shutdown.clone()));
                }
                let routes = api::routes(&manager, folders, &shutdown, eyes);
                if let Err(error) = serve::serve(listener, routes, &api::SERVICES, shutdown, GRACE).await {
                    tracing::error!(%error, "serving failed");
                }
            });
        };
        let thread = step("starting a thread", thread::Builder::new().name("api".into()).spawn(body))?;
        match is_bound.recv() {
            Ok(Ok(())) => Ok(Self { thread, go }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(StartError::Io("binding the endpoint".into(), io::ErrorKind::Other.into())),
        }
    }

    /// Begins to answer requests.
    pub(crate) fn serve(&self, manager: Handle, folders: Folders) {
        // Fails only if its thread has panicked; supervision continues without it.
        if self.go.send((manager, folders)).is_err() {
            tracing::error!("the thread of the API is gone");
        }
    }

    /// Waits until clients have received the end, or the time for that is over.
    pub(crate) fn end(self) {
        if self.thread.join().is_err() {
            tracing::error!("the thread of the API had panicked");
        }
    }
}
