//! Where the outputs of services and the daemons' own logs are.

use proto::Name;
use sereno_config::{Home, Unmatched};

use super::command::{LogFile, Selection};
use super::select::select;
use super::services::Services;
use crate::logs::{Limits, Which};
use crate::service::world::rotation;

/// Returns the files of the selected services; of all of them if nothing is selected.
pub(super) fn log_files(
    services: &Services,
    home: &Home,
    selection: &Selection,
) -> Result<Vec<LogFile>, Unmatched> {
    let mut selection = selection.clone();
    let count = selection.selectors.len();
    selection.selectors.retain(|selector| selector != "supervisor");
    let mut files = Vec::new();
    if selection.selectors.len() < count {
        let service = Name::new("supervisor").expect("it is a name");
        files.push(own_log(home, service));
    } else if selection.selectors.is_empty() {
        selection.all = true;
    }
    let (names, unmatched) = select(services, &selection);
    if let Some(selector) = unmatched.first() {
        return Err(Unmatched((*selector).into()));
    }
    for name in names {
        let service = &services[&name];
        files.extend(Which::BOTH.map(|which| {
            let keep = rotation(home, service, which);
            let (limits, shared) = (keep.limits(), Some(service.output(which)));
            LogFile { service: name.clone(), which, path: keep.path, limits, shared }
        }));
        if !service.is_users() {
            // A daemon writes its own log file.
            files.push(own_log(home, name));
        }
    }
    Ok(files)
}

/// Returns a daemon's own log file, in a folder that only Sereno can write to.
fn own_log(home: &Home, daemon: Name) -> LogFile {
    let path = home.log().join(format!("{daemon}.log"));
    LogFile { service: daemon, which: Which::Out, path, limits: Limits::NONE, shared: None }
}
