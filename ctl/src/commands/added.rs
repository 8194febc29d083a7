//! `run` and `remove`: services that are not in the file.

use std::path::Path;

use proto::v1::{AddServiceRequest, RemoveServiceRequest};
use toml::{Table, Value};

use super::act;
use crate::args::{Remove, Run};
use crate::client::Supervisor;
use crate::failure::{Done, Failure};
use crate::out::Out;
use crate::place::{Place, environment};
use crate::wait::Goal;

/// Adds a service and waits until it is ready.
pub(super) async fn run(run: Run, place: &Place, out: &mut Out) -> Result<Done, Failure> {
    let here = crate::place::here()?;
    let request = AddServiceRequest {
        toml: table(&run, &here)?.to_string(),
        folder: here.display().to_string(),
        env: environment().into_iter().collect(),
        name: run.name,
    };
    let supervisor = Supervisor::connect(&place.located.supervisor).await?;
    let outcomes: Vec<_> = supervisor.add_service(request).await?.outcome.into_iter().collect();
    act::wait_for(Goal::Up, &outcomes, run.timeout, place, out).await
}

/// Converts the arguments to the service's table in a file.
fn table(run: &Run, here: &Path) -> Result<Table, Failure> {
    let text = |text: &str| Value::String(text.replace('$', "$$"));
    let mut table = Table::new();
    table.insert("command".into(), run.command.iter().map(|word| text(word)).collect::<Vec<_>>().into());
    if let Some(port) = run.port {
        table.insert("port".into(), i64::from(port).into());
    }
    if let Some(url) = &run.health {
        table.insert("health".into(), text(url));
    }
    if let Some(folder) = &run.cwd {
        let folder = here.join(folder);
        let folder = folder.to_str().ok_or_else(|| Failure::Usage("--cwd: is not UTF-8".into()))?;
        table.insert("cwd".into(), text(folder));
    }
    if !run.vars.is_empty() {
        let vars = run.vars.iter().map(|(name, value)| (name.clone(), text(value)));
        table.insert("env".into(), Value::Table(vars.collect()));
    }
    Ok(table)
}

/// Stops the services and waits until all their processes have ended.
pub(super) async fn remove(remove: Remove, place: &Place, out: &mut Out) -> Result<Done, Failure> {
    let supervisor = Supervisor::connect(&place.located.supervisor).await?;
    let mut outcomes = Vec::new();
    for name in remove.services {
        outcomes.extend(supervisor.remove_service(RemoveServiceRequest { name }).await?.outcome);
    }
    act::wait_for(Goal::Down, &outcomes, remove.timeout, place, out).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_becomes_a_table_that_means_the_same() {
        let run = Run {
            name: "web".into(),
            port: Some(8000),
            health: Some("http://127.0.0.1:8000/".into()),
            cwd: Some("sub".into()),
            vars: vec![("KEY".into(), "a\"b$c".into())],
            timeout: std::time::Duration::ZERO,
            command: vec!["sh".into(), "-c".into(), "echo ${HOME}".into()],
        };
        let text = table(&run, Path::new("/here")).expect("a table").to_string();
        let again: Table = text.parse().expect("TOML");
        assert_eq!(again["command"][2].as_str(), Some("echo $${HOME}"), "a dollar stays one");
        assert_eq!(again["cwd"].as_str(), Some("/here/sub"));
        assert_eq!(again["env"]["KEY"].as_str(), Some("a\"b$$c"));
        assert_eq!(again["port"].as_integer(), Some(8000));
    }
}
