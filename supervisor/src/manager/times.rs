//! What happens at wall-clock times: jobs, and scheduled restarts.

use std::time::{Duration, SystemTime};

use proto::Name;
use sereno_config::Overlap;

use super::Manager;
use crate::journal::Kind;
use crate::lifecycle::arbiter::words;
use crate::lifecycle::{Answer, BootInstant, Request};
use crate::service::Service;
use crate::service::timer::{LATE, Timer};

impl Manager {
    /// Runs services when their time has come and ends runs that take too long. Then sets the alarm for the next time.
    pub(super) fn look_at_times(&mut self, now: BootInstant) {
        let timed = |service: &&Service| service.timer.is_some() || service.is_overdue(now);
        let names: Vec<Name> =
            self.services.values().filter(timed).map(|service| service.name.clone()).collect();
        if names.is_empty() {
            return self.alarm.set(None);
        }
        let wall = SystemTime::now();
        for name in &names {
            if let Some(late) = self.services.get_mut(name).and_then(|service| service.its_time(wall)) {
                self.time_has_come(name, late, now);
            }
            self.run_what_is_queued(name, now);
            self.end_the_overdue(name, now);
        }
        // Includes stopped services: a time that passes while a service is stopped is over, and not made up for later.
        let timers = self.services.values().filter_map(|service| service.timer.as_ref());
        self.alarm.set(timers.filter_map(Timer::next).min());
    }

    fn time_has_come(&mut self, name: &Name, late: Duration, now: BootInstant) {
        let to_stop = self.going.is_some() || self.stop_queue.contains(name);
        let service = self.services.get_mut(name).expect("it was just looked at");
        if !service.unit.is_wanted() || to_stop {
            return;
        }
        let is_job = service.spec.schedule.is_some();
        let what = if is_job { "run" } else { "restart" };
        let made_up_for = service.spec.schedule.as_ref().is_some_and(|schedule| schedule.missed);
        if service.is_paused() {
            if !service.is_first_passed_over() {
                return;
            }
            self.world.tell(service, Kind::Schedule, 0, format!("no {what} at its time: paused"));
        } else if late > LATE && !made_up_for {
            let message = format!("no {what}: its time was missed by {}", words(whole(late)));
            self.world.tell(service, Kind::Schedule, 0, message);
        } else if is_job {
            self.run_job(name, late, now);
        } else {
            let message = format!("restart at its time ({})", line(service));
            self.renew(name, &message, now);
        }
    }

    fn run_job(&mut self, name: &Name, late: Duration, now: BootInstant) {
        let service = self.services.get_mut(name).expect("it was just looked at");
        let overlap = service.spec.schedule.as_ref().map_or(Overlap::Skip, |schedule| schedule.overlap);
        let message = match (service.unit.is_down(), overlap) {
            (true, _) if late > LATE => {
                let message = format!("run, {} late: nobody was there at its time", words(whole(late)));
                return self.renew(name, &message, now);
            }
            (true, _) => {
                let message = format!("run at its time ({})", line(service));
                return self.renew(name, &message, now);
            }
            (false, Overlap::Kill) => {
                return self.renew(name, "run at its time: the last run is ended for it", now);
            }
            // Reported once: a job that takes hours would report it every minute.
            (false, Overlap::Skip) if !service.is_first_passed_over() => return,
            (false, Overlap::Skip) => "no run at its time: the last one still goes".to_owned(),
            (false, Overlap::Queue) if service.queue() => return,
            (false, Overlap::Queue) => "its time has come: it runs after the last one".into(),
        };
        self.world.tell(service, Kind::Schedule, 0, message);
    }

    /// Starts a run that waited for the previous run to end.
    fn run_what_is_queued(&mut self, name: &Name, now: BootInstant) {
        let Some(service) = self.services.get_mut(name) else { return };
        // A person stopped the service while the run waited: a later start does not bring it back.
        if !service.unit.is_wanted() {
            return service.unqueue();
        }
        if !service.is_queued() || !service.unit.is_down() || service.is_paused() || self.going.is_some() {
            return;
        }
        service.unqueue();
        self.renew(name, "run: its time came while the last one went", now);
    }

    fn end_the_overdue(&mut self, name: &Name, now: BootInstant) {
        let Some(service) = self.services.get_mut(name).filter(|service| service.is_overdue(now)) else {
            return;
        };
        let longest = service.longest_run().unwrap_or_default();
        let message = format!("not done after {}: ended", words(longest));
        let seq = self.world.tell(service, Kind::Schedule, service.story.began, message);
        service.request(Request::Overdue, seq, now);
    }

    fn renew(&mut self, name: &Name, message: &str, now: BootInstant) {
        self.end_reload(name, message, now);
        let service = self.services.get_mut(name).expect("it was just looked at");
        let seq = self.world.tell(service, Kind::Schedule, 0, message.into());
        if service.request(Request::Restart, seq, now) == Answer::Accepted {
            service.health.release();
        }
    }
}

/// Cuts a duration to whole seconds, for messages.
fn whole(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs())
}

fn line(service: &Service) -> String {
    service.cron().map_or_else(String::new, |cron| format!("{cron:?}"))
}
