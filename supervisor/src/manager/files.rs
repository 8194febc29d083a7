//! Restarts a service when a file that it is watched for has changed, as if a person had asked for the restart.

use std::collections::BTreeMap;

use proto::Name;

use super::{Happened, Manager};
use crate::journal::Kind;
use crate::lifecycle::{Answer, BootInstant, Request};
use crate::service::Service;
use crate::service::plan::file_ids;
use crate::watch::News;
use crate::watch::debouncer::Changed;
use crate::watch::rules::Wanted;

impl Manager {
    /// Watches the files of every service that is configured for it, and of no other.
    pub(super) fn watch_files(&mut self) {
        let users = self.services.values().filter(|service| service.is_users() && !service.is_second());
        let wanted: BTreeMap<Name, Wanted> = users
            .filter_map(|service| {
                // Without its user the service cannot be started either.
                let ids = file_ids(&service.spec).ok()?;
                Some((service.name.clone(), Wanted::of(&service.spec, self.own_paths(), ids)?))
            })
            .collect();
        for service in self.services.values_mut().filter(|service| service.spec.watch.is_none()) {
            service.unwatched = None;
        }
        let tell = self.tell.clone();
        // Fails only if the manager has ended.
        let told = self.watches.want(wanted, move |news| drop(tell.send(Happened::Files(news))));
        if let Err(error) = told {
            tracing::error!(%error, "watching files failed");
            let wanting = |service: &&mut Service| service.spec.watch.is_some();
            for service in self.services.values_mut().filter(wanting) {
                service.unwatched = Some(format!("no thread for it: {error}"));
            }
        }
    }

    /// Returns where the supervisor itself writes: a change there is not a change of a program.
    fn own_paths(&self) -> Vec<std::path::PathBuf> {
        let logs =
            self.services.values().flat_map(|service| [&service.spec.log.stdout, &service.spec.log.stderr]);
        logs.flatten().cloned().chain([self.world.home.root().to_path_buf()]).collect()
    }

    pub(super) fn files_changed(&mut self, news: News, now: BootInstant) {
        match news {
            News::Changed(name, changed) => self.restart_for_files(&name, &changed, now),
            News::Trouble(name, trouble) => {
                let Some(service) = self.services.get_mut(&name) else { return };
                if service.unwatched == trouble {
                    return;
                }
                let words = trouble
                    .as_ref()
                    .map_or("watch: all is watched now".into(), |what| format!("watch: {what}"));
                service.unwatched = trouble;
                self.world.tell(service, Kind::Change, 0, words);
                self.changes.grow();
            }
        }
    }

    fn restart_for_files(&mut self, name: &Name, changed: &Changed, now: BootInstant) {
        let Some(service) = self.services.get(name) else { return };
        // The service was stopped by a person, or is no longer watched: the event came a moment too late.
        let to_stop = !service.unit.is_wanted() || self.stop_queue.contains(name) || self.going.is_some();
        if to_stop || service.spec.watch.is_none() {
            return;
        }
        if service.is_paused() {
            self.world.tell(service, Kind::Change, 0, format!("{changed}; not restarted: paused"));
            return;
        }
        self.end_reload(name, "its files have changed", now);
        let Some(service) = self.services.get_mut(name) else { return };
        let seq = self.world.tell(service, Kind::Change, 0, changed.to_string());
        if service.unit.request(now, Request::Restart) == Answer::Accepted {
            service.cause = seq;
            service.held = None;
        }
        self.targets.grow();
    }
}
