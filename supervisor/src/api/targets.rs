//! Converts the targets of monitors to wire types.

use proto::time::to_wire;
use proto::v1;
use sereno_config::{Check, CheckSpec, HttpCheck, OnFailure};

use crate::manager::command::{Target, TargetSet};
use crate::os::Ids;
use crate::service::Restricted;
use crate::service::plan::PlanError;

/// Converts a set of targets.
pub(super) fn targets(set: TargetSet) -> v1::WatchTargetsResponse {
    v1::WatchTargetsResponse {
        instance: set.instance,
        generation: set.generation,
        targets: set.targets.into_iter().map(target).collect(),
        report_every: set.report_every.map(to_wire),
    }
}

fn target(target: Target) -> v1::Target {
    let Check {
        interval,
        timeout,
        retry_interval,
        start_period,
        failures,
        window,
        successes,
        on_failure,
        ..
    } = target.check;
    v1::Target {
        service: target.service.to_string(),
        incarnation: target.incarnation,
        pid: target.pid,
        check: target.id.to_string(),
        starting: target.starting,
        report_only: on_failure == OnFailure::Report,
        interval: Some(to_wire(interval)),
        timeout: Some(to_wire(timeout)),
        retry_interval: Some(to_wire(retry_interval)),
        start_period: Some(to_wire(start_period)),
        failures,
        window,
        successes,
        spec: Some(match (target.check.spec, target.restricted) {
            (CheckSpec::Exec { argv, cwd, env }, Some(restricted)) => {
                let command = v1::RestrictedExec {
                    argv,
                    cwd: cwd.display().to_string(),
                    env: env.into_iter().collect(),
                    ..Default::default()
                };
                let restricted = Some(restricted_exec(command, restricted));
                v1::target::Spec::Exec(v1::ExecCheck { restricted, ..Default::default() })
            }
            (other, _) => spec(other),
        }),
    }
}

fn spec(spec: CheckSpec) -> v1::target::Spec {
    match spec {
        CheckSpec::Http(http) => v1::target::Spec::Http(http_check(http)),
        CheckSpec::Tcp { addresses, owner } => v1::target::Spec::Tcp(v1::TcpCheck { addresses, owner }),
        CheckSpec::Exec { argv, cwd, env } => v1::target::Spec::Exec(v1::ExecCheck {
            argv,
            cwd: cwd.display().to_string(),
            env: env.into_iter().collect(),
            restricted: None,
        }),
        CheckSpec::Options(values) => {
            v1::target::Spec::Options(v1::Options { values: values.into_iter().collect() })
        }
    }
}

/// Combines a command with the rights and the environment of its service; the command's own variables win.
fn restricted_exec(
    command: v1::RestrictedExec,
    restricted: Result<Restricted, PlanError>,
) -> v1::RestrictedExec {
    let restricted = match restricted {
        Ok(restricted) => restricted,
        Err(refused) => {
            return v1::RestrictedExec { refused: refused.to_string(), ..Default::default() };
        }
    };
    let mut env = restricted.env;
    env.extend(command.env);
    let limit = |(name, value)| v1::ResourceLimit { name, value };
    v1::RestrictedExec {
        env: env.into_iter().collect(),
        ids: restricted.ids.map(|Ids { uid, gid, groups }| v1::ProcessIds { uid, gid, groups }),
        capabilities: restricted.confine.capabilities,
        no_new_privileges: restricted.confine.no_new_privileges,
        umask: restricted.umask,
        nice: restricted.nice,
        limits: restricted.limits.into_iter().map(limit).collect(),
        ..command
    }
}

fn http_check(http: HttpCheck) -> v1::HttpCheck {
    let range = |(from, to): (u16, u16)| v1::StatusRange { from: from.into(), to: to.into() };
    v1::HttpCheck {
        url: http.url,
        method: http.method,
        headers: http.headers.into_iter().collect(),
        expect_status: http.expect_status.into_iter().map(range).collect(),
        expect_body: http.expect_body.unwrap_or_default(),
        expect_json: http.expect_json.into_iter().collect(),
        redirects: http.redirects,
        ca_file: http.ca_file.map_or_else(String::new, |path| path.display().to_string()),
        insecure: http.insecure,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proto::Name;

    use super::*;
    use crate::os::Confine;

    fn wire(restricted: Option<Result<Restricted, PlanError>>) -> v1::ExecCheck {
        let env = BTreeMap::from([("A".to_string(), "check".to_string())]);
        let exec = CheckSpec::Exec { argv: vec!["./alive".into()], cwd: "/srv".into(), env };
        let text = "[services.web]\ncommand = \"web\"\nchecks.a = { kind = \"exec\", command = \"x\" }\n";
        let config = sereno_config::load("/srv/sereno.toml".as_ref(), text, &sereno_config::Env::new())
            .expect("a good file");
        let mut check =
            config.services.values().next().expect("one").checks.values().next().expect("one").clone();
        check.spec = exec;
        let name = |text: &str| Name::new(text).expect("a name");
        let (service, id) = (name("web"), name("a"));
        let target = Target { service, incarnation: 1, pid: 1, id, starting: false, check, restricted };
        match super::target(target).spec {
            Some(v1::target::Spec::Exec(exec)) => exec,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn who_does_not_know_of_rights_is_told_no_command() {
        let free = wire(None);
        assert_eq!((free.argv.len(), free.restricted), (1, None));
        let refused = wire(Some(Err(PlanError::NotRunning)));
        assert_eq!(refused.argv, [""; 0]);
        let refused = refused.restricted.expect("told");
        assert_eq!((refused.argv.len(), refused.env.len()), (0, 0), "nothing is told of what is not run");
        assert_eq!(refused.refused, "the service does not run");
    }

    #[test]
    fn a_restricted_command_has_what_its_service_has() {
        let env = BTreeMap::from([("A".to_string(), "service".to_string()), ("B".into(), "2".into())]);
        let ids = Some(Ids { uid: 7, gid: 8, groups: vec![8, 9] });
        let confine = Confine { capabilities: Some(0), no_new_privileges: true };
        let limits = BTreeMap::from([("core".to_string(), Some(0)), ("nofile".into(), None)]);
        let restricted = Restricted { env, ids, confine, umask: Some(0o77), nice: None, limits };
        let wire = wire(Some(Ok(restricted)));
        assert_eq!((wire.argv.len(), wire.env.len()), (0, 0));
        let wire = wire.restricted.expect("told");
        assert_eq!((wire.argv, wire.cwd.as_str()), (vec!["./alive".to_string()], "/srv"));
        assert_eq!((wire.env["A"].as_str(), wire.env["B"].as_str()), ("check", "2"), "its own counts more");
        assert_eq!(wire.ids, Some(v1::ProcessIds { uid: 7, gid: 8, groups: vec![8, 9] }));
        assert_eq!((wire.capabilities, wire.no_new_privileges, wire.umask), (Some(0), true, Some(0o77)));
        assert_eq!(wire.limits.iter().map(|limit| limit.value).collect::<Vec<_>>(), [Some(0), None]);
    }
}
