//! Injects real faults: every service is broken in every way in turn, two at a time, and each fault must
//! cause exactly one restart.

use std::collections::VecDeque;
use std::io::{Read as _, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use deploy::service::Break;

use super::{LOOK_AGAIN, READY_WITHIN, Stress, TELL_EVERY, is_well, restarts};
use crate::Failure;
use crate::ctl::now;

/// Number of simultaneous faults: more within the brake's window would count as a fault of the host.
const AT_ONCE: usize = 2;
/// Time limit for the answer of a service; it is not asked again after that.
const TALK: Duration = Duration::from_secs(20);

/// A fault that has been injected and is not healed yet.
struct Fault {
    service: usize,
    how: Break,
    at: Instant,
    /// Number of restarts of the service before the fault.
    before: u64,
}

/// Injects `count` faults; returns what went wrong.
pub(super) fn inject(stress: &Stress, count: u32, out: &mut dyn Write) -> Result<Vec<String>, Failure> {
    let ways = Break::offered();
    let mut left: VecDeque<(usize, Break)> = (0..count as usize)
        .map(|number| (number % stress.services.len(), ways[number / stress.services.len() % ways.len()]))
        .collect();
    let (mut open, mut took, mut wrong) = (Vec::<Fault>::new(), Vec::new(), Vec::new());
    let mut expected = vec![0_u64; stress.services.len()];
    let mut told = now();
    while !(left.is_empty() && open.is_empty()) {
        let status = stress.status()?;
        let name = |service: usize| &stress.services[service].name;
        open.retain(|fault| {
            let seen = &status[fault.service];
            let times = restarts(seen).saturating_sub(fault.before);
            if times == 1 && is_well(seen) {
                took.push(now().duration_since(fault.at));
                return false;
            }
            let late = now().duration_since(fault.at) > READY_WITHIN;
            if times > 1 || late {
                let (how, name) = (fault.how.name(), name(fault.service));
                wrong.push(format!("{name} was broken by {how}, and restarted {times} times: {seen}"));
            }
            times <= 1 && !late
        });
        while open.len() < AT_ONCE {
            let next = left.front().copied().filter(|(service, _)| {
                is_well(&status[*service]) && open.iter().all(|fault| fault.service != *service)
            });
            let Some((service, how)) = next else { break };
            left.pop_front();
            open.push(Fault { service, how, at: now(), before: restarts(&status[service]) });
            expected[service] += 1;
            if let Err(error) = tell(stress.services[service].port, how) {
                wrong.push(format!("{} could not be told to {}: {error}", name(service), how.name()));
            }
        }
        if now().duration_since(told) > TELL_EVERY {
            told = now();
            writeln!(out, "  {} of {count} faults healed, {} wrong", took.len(), wrong.len())?;
            out.flush()?;
        }
        std::thread::park_timeout(LOOK_AGAIN);
    }
    for (index, seen) in stress.status()?.iter().enumerate() {
        let (had, should) = (restarts(seen), expected[index]);
        if had != should {
            wrong.push(format!("{} had {should} faults and {had} restarts", seen["name"]));
        }
    }
    took.sort_unstable();
    let at =
        |share: usize| took.get(took.len() * share / 100).or(took.last()).map_or(0.0, Duration::as_secs_f64);
    writeln!(
        out,
        "  {} of {count} faults healed; from fault to all checks passing: median {:.1} s, 95 % {:.1} s, longest {:.1} s",
        took.len(),
        at(50),
        at(95),
        at(100)
    )?;
    Ok(wrong)
}

fn tell(port: u16, how: Break) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), TALK)?;
    stream.set_read_timeout(Some(TALK))?;
    write!(stream, "GET /break/{} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", how.name())?;
    stream.read(&mut [0; 256]).map(drop)
}
