//! Connects to all addresses in parallel; the first success is enough.

use std::io;
use std::net::{IpAddr, SocketAddr};

use sereno_monitor::{TargetError, Verdict, dial};
use tokio::net::lookup_host;
use tokio::task::JoinSet;

use crate::sockets::has_address;

/// Maximum number of addresses of one check.
const MAX_ADDRESSES: usize = 16;

/// Validates the addresses of a target.
pub(crate) fn addresses(given: &[String]) -> Result<Vec<String>, TargetError> {
    let error = |problem: String| Err(TargetError::new("tcp.addresses", problem));
    if given.is_empty() || given.len() > MAX_ADDRESSES {
        return error(format!("are {}, not 1 to {MAX_ADDRESSES}", given.len()));
    }
    for address in given {
        let port = address
            .rsplit_once(':')
            .filter(|(host, _)| !host.is_empty())
            .and_then(|(_, port)| port.parse().ok());
        if port.is_none_or(|port: u16| port == 0) {
            return error(format!("{address:?} is no host:port"));
        }
    }
    Ok(given.to_vec())
}

/// Connects to the address that answers first. Dropping the future cancels all attempts.
pub(crate) async fn any(addresses: &[String]) -> Result<SocketAddr, Verdict> {
    let mut trying = JoinSet::new();
    for (place, address) in addresses.iter().cloned().enumerate() {
        trying.spawn(async move { (place, one(&address).await) });
    }
    let mut failures: Vec<(usize, io::Error)> = Vec::new();
    while let Some(tried) = trying.join_next().await {
        match tried {
            Ok((_, Ok(reached))) => return Ok(reached),
            Ok((place, Err(error))) => failures.push((place, error)),
            Err(error) => failures.push((usize::MAX, io::Error::other(error))),
        }
    }
    // Reports the failure of the address named first, so that the same failure is reported each time.
    // One that could not be tried at all comes before: nothing is known of it.
    failures.sort_by_key(|(place, error)| (!says_nothing(error), *place));
    Err(failures
        .first()
        .map_or_else(|| Verdict::failing("no address"), |(_, error)| Verdict::of_error(error)))
}

/// A name may have several addresses, which are also tried in parallel.
async fn one(address: &str) -> io::Result<SocketAddr> {
    if let Ok(literal) = address.parse::<SocketAddr>() {
        return reach(literal).await;
    }
    let mut trying = JoinSet::new();
    for found in lookup_host(address).await? {
        trying.spawn(reach(found));
    }
    let mut last = io::Error::new(io::ErrorKind::NotFound, format!("{address} has no address"));
    while let Some(tried) = trying.join_next().await {
        match tried.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(reached) => return Ok(reached),
            Err(_) if says_nothing(&last) => {}
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Whether the fault is this host's, so that nothing is known of an address.
fn says_nothing(error: &io::Error) -> bool {
    let verdict = Verdict::of_error(error);
    verdict.hindered.is_some() || verdict.own_trouble.is_some()
}

async fn reach(address: SocketAddr) -> io::Result<SocketAddr> {
    dial(address).await.map(|_| address)
}

/// Whether an address belongs to this machine: only then does the socket table tell anything about the port.
pub(crate) fn is_local(ip: IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified() || has_address(ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        let check = |address: &str| addresses(&[address.into()]);
        for good in ["127.0.0.1:8000", "[::1]:8000", "localhost:1", "db.internal:65535"] {
            assert_eq!(check(good).expect(good), [good]);
        }
        for bad in ["", "8000", ":8000", "localhost:", "localhost:0", "localhost:65536", "localhost:http"] {
            assert!(check(bad).expect_err(bad).to_string().starts_with("tcp.addresses: "), "{bad}");
        }
        assert!(addresses(&[]).is_err());
        assert!(addresses(&vec!["x:1".into(); 17]).is_err());
    }

    #[test]
    fn local_is_what_this_machine_has() {
        assert!(is_local("127.0.0.1".parse().expect("an address")));
        assert!(is_local("::1".parse().expect("an address")));
        // This range is reserved for documentation.
        assert!(!is_local("192.0.2.1".parse().expect("an address")));
    }
}
