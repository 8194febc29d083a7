//! `token`: tokens for access over `http://`. Only hashes are stored; running daemons notice a change by themselves.

use std::path::Path;
use std::time::SystemTime;

use proto::Role;
use serde::Serialize;
use sereno_auth::{Identity, Token, Tokens, secret, tokens};

use crate::args::access::{May, NewToken, TokenCommand};
use crate::failure::{Done, Failure};
use crate::out::Out;
use crate::place::Place;
use crate::render::time::rfc3339;

#[derive(Serialize)]
struct TokenJson<'a> {
    name: &'a str,
    role: &'static str,
    services: Option<Vec<&'a str>>,
    created: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
}

/// Creates, lists or revokes a token.
pub(super) fn run(command: &TokenCommand, place: &Place, out: &mut Out) -> Result<Done, Failure> {
    let state = place.located.home.state();
    let path = tokens::path(&state);
    let (mut all, bad) = Tokens::load(&path).map_err(|error| Failure::Refused(error.to_string()))?;
    for error in bad {
        crate::failure::note(&format!("{}: {error}; it lets nobody in", path.display()));
    }
    match command {
        TokenCommand::New(new) => {
            let (text, token) = make(new)?;
            if all.0.iter().any(|known| known.identity.name == new.name) {
                let name = &new.name;
                let why = format!("{name} has a token: \"ctl token revoke {name}\" first, or another name");
                return Err(Failure::Usage(why));
            }
            if let Some(file) = &new.output {
                write(file, &format!("{text}\n"))?;
            }
            all.0.push(token.clone());
            save(&path, &all)?;
            shown(&text, &token, new, out)?;
        }
        TokenCommand::Revoke { name } => {
            let before = all.0.len();
            all.0.retain(|token| token.identity.name != *name);
            if all.0.len() == before {
                return Err(Failure::Refused(format!("nobody called {name} has a token")));
            }
            save(&path, &all)?;
            if out.json {
                return list(&all, out);
            }
            out.line(&format!("the token of {name} is taken no more"))?;
        }
        TokenCommand::List => return list(&all, out),
    }
    Ok(Done::Well)
}

fn make(new: &NewToken) -> Result<(String, Token), Failure> {
    let identity = identity(&new.name, &new.may)?;
    let text =
        tokens::generate().ok_or_else(|| Failure::Refused("the system has no random numbers".into()))?;
    let created = rfc3339(SystemTime::now()).unwrap_or_else(|| "-".into());
    Ok((text.clone(), Token { identity, hash: tokens::hash(&text), created }))
}

/// Builds the identity of a new token.
pub(super) fn identity(name: &proto::Name, may: &May) -> Result<Identity, Failure> {
    if may.role != Role::Monitor && !may.services.is_empty() {
        return Err(Failure::Usage(format!("--services is for the role monitor: a {} is for all", may.role)));
    }
    let services = (!may.services.is_empty()).then(|| may.services.clone().into());
    Ok(Identity { name: name.clone(), role: may.role, services })
}

fn shown(text: &str, token: &Token, new: &NewToken, out: &mut Out) -> Result<(), Failure> {
    if out.json {
        let json = TokenJson { token: new.output.is_none().then_some(text), ..row(token) };
        return out.document(&json);
    }
    if let Some(file) = &new.output {
        return out.line(&format!("token of {} ({}) in {}", new.name, new.may.role, file.display()));
    }
    out.line(text)?;
    out.flush()?;
    crate::failure::note("it is not shown again; keep it in a file that only its owner can read");
    Ok(())
}

fn row(token: &Token) -> TokenJson<'_> {
    let Identity { name, role, services } = &token.identity;
    let services = services.as_ref().map(|names| names.iter().map(proto::Name::as_str).collect());
    TokenJson { name: name.as_str(), role: role.word(), services, created: &token.created, token: None }
}

fn list(all: &Tokens, out: &mut Out) -> Result<Done, Failure> {
    if out.json {
        out.document(&all.0.iter().map(row).collect::<Vec<_>>())?;
        return Ok(Done::Well);
    }
    if all.0.is_empty() {
        out.line("there are none; \"ctl token new NAME --role viewer\" makes one")?;
    }
    let width = all.0.iter().map(|token| token.identity.name.as_str().len()).max().unwrap_or(0);
    for token in &all.0 {
        let TokenJson { name, role, services, created, .. } = row(token);
        let services = services.map_or_else(|| "all services".into(), |names| names.join(", "));
        out.line(&format!("{name:<width$}  {role:<8}  {created}  {services}"))?;
    }
    Ok(Done::Well)
}

fn save(path: &Path, all: &Tokens) -> Result<(), Failure> {
    if let Some(folder) = path.parent() {
        secret::folder(folder)
            .map_err(|error| Failure::Refused(format!("make {}: {error}", folder.display())))?;
    }
    write(path, &all.to_text())
}

/// Writes a secret, unless another `ctl` is writing it at the same time.
pub(super) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    secret::write(path, text).map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                format!(": another ctl writes it, or {}.new is left from one that was killed", path.display())
            }
            _ => String::new(),
        };
        Failure::Refused(format!("write {}: {error}{hint}", path.display()))
    })
}
