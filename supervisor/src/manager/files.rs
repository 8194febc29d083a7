//! Restarts a service when a file that it is watched for has changed, as if a person had asked for the restart.

use std::collections::BTreeMap;

use proto::Name;

use super::{Happened, Manager};
use crate::journal::Kind;
use crate::lifecycle::{Answer, BootInstant, Request};
use crate::service::plan::file_ids;
use crate::watch::News;
use crate::watch::debouncer::Changed;
use crate::watch::rules::Wanted;

impl Manager {
    /// Watches the files of every service that is configured for it, and of no other.
    pub(super) fn watch_files(&mut self) {
        let own = self.own_paths();
        let mut wanted = BTreeMap::new();
        for service in self.services.values_mut().filter(|service| service.is_users()) {
            if service.spec.watch.is_none() {
                service.unwatched = None;
                continue;
            }
            match service.account().map(file_ids) {
                Ok(ids) => {
                    let of_service = Wanted::of(&service.spec, own.clone(), ids);
                    wanted.extend(of_service.map(|of_service| (service.name.clone(), of_service)));
                }
                Err(why) => service.unwatched = Some(format!("{why}; watched from the next \"ctl apply\"")),
            }
        }
        let tell = self.tell.clone();
        // Fails only if the manager has ended.
        let failed = self.watches.want(wanted, move |news| drop(tell.send(Happened::Files(news))));
        for (name, error) in failed {
            tracing::error!(service = %name, %error, "watching files failed");
            if let Some(service) = self.services.get_mut(&name) {
                service.unwatched =
                    Some(format!("no thread for it: {error}; watched from the next \"ctl apply\""));
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
                let trouble = trouble.map(|trouble| trouble.to_string());
                if service.unwatched == trouble {
                    return;
                }
                let words = trouble
                    .as_ref()
                    .map_or("watch: all is watched now".into(), |what| format!("watch: {what}"));
                service.unwatched = trouble;
                self.world.tell(service, Kind::Change, 0, words);
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
        if service.request(Request::Restart, seq, now) == Answer::Accepted {
            service.health.release();
        }
    }
}
