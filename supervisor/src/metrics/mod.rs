//! The page that Prometheus reads: made on request, from the view that `status` shows and what is measured for it.
//!
//! | file | what it holds |
//! |---|---|
//! | `families` | every metric: name, kind, help text |
//! | `page` | renders the page |
//! | `text` | the format: HELP, TYPE, escaped labels |

mod families;
mod page;
mod text;

use std::path::PathBuf;
use std::time::SystemTime;

use sereno_auth::{TlsFiles, expiry};
use sereno_config::SupervisorTable;
use sereno_serve::page::Sheet;

use crate::api::ApiContext;
use crate::manager::Handle;
use crate::manager::command::Command;
use crate::os;

/// The path of the page, and its format.
pub(crate) const SHEET: Sheet =
    Sheet { path: "/metrics", content_type: "text/plain; version=0.0.4; charset=utf-8" };

/// What is shown of `[supervisor]`.
#[derive(Debug, Clone)]
pub(crate) struct Tables {
    tls: Option<TlsFiles>,
    https: Vec<String>,
}

impl Tables {
    pub(crate) fn of(table: &SupervisorTable) -> Self {
        let https = table.listen.iter().map(ToString::to_string).filter(|uri| uri.starts_with("https:"));
        Self { tls: table.tls.clone(), https: https.collect() }
    }

    /// Returns file, endpoint, and when the first certificate in the file expires. Unreadable files are left to
    /// `doctor`.
    fn certificates(&self) -> Vec<page::Certificate> {
        let files: Vec<&PathBuf> = self.tls.iter().flat_map(|tls| [&tls.cert, &tls.ca]).collect();
        let mut found = Vec::new();
        for file in files {
            if let Ok(Some(ends)) = expiry::of_file(file) {
                let of = |endpoint: &String| page::Certificate {
                    file: file.display().to_string(),
                    endpoint: endpoint.clone(),
                    ends,
                };
                found.extend(self.https.iter().map(of));
            }
        }
        found
    }
}

/// Returns the current page; `None` if the supervisor is ending.
pub(crate) async fn write(manager: Handle, eyes: ApiContext, tables: Tables) -> Option<String> {
    let view = manager.ask(Command::View).await.ok()?;
    let read = move || {
        let picture = page::Picture {
            totals: eyes.sampler.totals(&view),
            own: os::usage_of(&[std::process::id()]),
            config_newer: view.about.is_older_than_its_source(),
            unbound: eyes.access.unbound().len(),
            certificates: tables.certificates(),
            now: SystemTime::now(),
            view,
        };
        page::render(&picture)
    };
    tokio::task::spawn_blocking(read).await.ok()
}
