//! Waits until services have settled, and prints one line for each.

use std::time::Duration;

use proto::Endpoint;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use crate::client::StatusFeed;
use crate::failure::Failure;
use crate::out::Out;
use crate::render::{BAD, one_line, state_style};
use crate::wait::{Verdict, Waiting};

/// Outcome of one service, for `--json`.
#[derive(Serialize)]
pub(super) struct Settled {
    pub(super) service: String,
    pub(super) ok: bool,
    pub(super) state: Option<&'static str>,
    pub(super) pid: Option<u32>,
    pub(super) incarnation: Option<u64>,
    pub(super) message: String,
}

impl From<Verdict> for Settled {
    fn from(verdict: Verdict) -> Self {
        let known = verdict.incarnation != 0 || verdict.pid.is_some();
        Self {
            service: verdict.service,
            ok: verdict.ok,
            state: Some(verdict.state.word()),
            pid: verdict.pid,
            incarnation: known.then_some(verdict.incarnation),
            message: verdict.text,
        }
    }
}

/// Waits for all services, at most for `limit`. Prints each as it settles, unless JSON is wanted.
pub(super) async fn wait(
    mut waiting: Waiting,
    endpoint: &Endpoint,
    limit: Duration,
    width: usize,
    out: &mut Out,
) -> Result<Vec<Settled>, Failure> {
    let deadline = Instant::now() + limit;
    let mut feed = StatusFeed::new(endpoint);
    let mut last = None;
    let mut settled = Vec::new();
    while !waiting.is_over() {
        let verdicts = match timeout_at(deadline, feed.next()).await {
            Ok(status) => {
                let status = last.insert(status?);
                waiting.look(status)
            }
            Err(_) => std::mem::replace(&mut waiting, Waiting::nobody()).give_up(last.as_ref()),
        };
        for verdict in verdicts {
            say(&verdict, width, out)?;
            settled.push(Settled::from(verdict));
        }
        out.flush()?;
    }
    Ok(settled)
}

/// `web  running  pid 812 (incarnation 5), ready after 0.5 s`.
fn say(verdict: &Verdict, width: usize, out: &mut Out) -> Result<(), Failure> {
    if out.json {
        return Ok(());
    }
    let state = verdict.state;
    let style = if verdict.ok { state_style(state) } else { BAD };
    let state = out.look.paint(style, state.word());
    out.line(&format!("{:<width$}  {state}  {}", one_line(&verdict.service), one_line(&verdict.text)))
}
