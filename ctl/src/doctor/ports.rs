//! Finds the process that holds a port that a service needs. Only `/proc` tells the process; on other
//! systems only the fact is reported.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use proto::v1::ServiceState;
use sereno_config::{CheckSpec, Config};

use super::{Finding, well, wrong};
use crate::view::View;

/// Reports ports that answer although their service does not run.
pub(crate) fn look(config: &Config, view: &View, found: &mut Vec<Finding>) {
    let mut wanted = 0;
    let before = found.len();
    for (name, service) in &config.services {
        let running = view.services.iter().find(|known| known.name == name.as_str());
        let addresses = service.checks.values().filter_map(|check| match &check.spec {
            CheckSpec::Tcp { addresses, .. } => Some(addresses),
            _ => None,
        });
        for address in addresses.flatten().filter_map(|address| address.parse::<SocketAddr>().ok()) {
            if !address.ip().is_loopback() {
                continue;
            }
            wanted += 1;
            let foreign = running.iter().flat_map(|service| &service.checks).find(|check| check.foreign);
            if let Some(check) = foreign {
                found.push(taken(
                    name.as_str(),
                    address,
                    check.detail.as_deref().unwrap_or("another program").trim_start_matches("foreign "),
                ));
                break;
            }
            let down = running.is_none_or(|service| {
                matches!(service.state, ServiceState::Stopped | ServiceState::Failed | ServiceState::Backoff)
            });
            if down && TcpStream::connect_timeout(&address, Duration::from_millis(300)).is_ok() {
                let holder = holder(address.port()).unwrap_or_else(|| "another program".into());
                found.push(taken(name.as_str(), address, &holder));
                break;
            }
        }
    }
    if wanted > 0 && found.len() == before {
        found.push(well("ports", "no port of a service is held by another program"));
    }
}

fn taken(service: &str, address: SocketAddr, holder: &str) -> Finding {
    wrong(
        "ports",
        format!("port {} of {service} is held by {holder}", address.port()),
        format!("end that program, or give {service} another port"),
    )
}

/// Returns `pid N command` of the process that listens on a port, as far as this user may see it.
fn holder(port: u16) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let inodes: Vec<String> = tables
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| listening(&table).remove(&port).unwrap_or_default())
        .collect();
    let wanted: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let descriptors = std::fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten();
        let mut links = descriptors.filter_map(|descriptor| std::fs::read_link(descriptor.path()).ok());
        if links.any(|link| wanted.iter().any(|wanted| link.as_os_str() == wanted.as_str())) {
            let command = in_time(entry.path().join("cmdline"));
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            return Some(format!("pid {pid} {}", command.trim().chars().take(60).collect::<String>()));
        }
    }
    None
}

/// Reads the command of a process. Its threads can hold up such a read as long as they like: then it is empty.
fn in_time(path: PathBuf) -> Vec<u8> {
    const PATIENCE: Duration = Duration::from_millis(250);
    let (tell, said) = std::sync::mpsc::channel();
    std::thread::spawn(move || drop(tell.send(std::fs::read(path).unwrap_or_default())));
    said.recv_timeout(PATIENCE).unwrap_or_default()
}

/// Returns the inodes of listening sockets by port.
fn listening(table: &str) -> BTreeMap<u16, Vec<String>> {
    const LISTEN: &str = "0A";
    let mut found: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for line in table.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, local, _, state, _, _, _, _, _, inode, ..] = &*words else { continue };
        let port = local.rsplit_once(':').and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
        if let Some(port) = port.filter(|_| *state == LISTEN) {
            found.entry(port).or_default().push((*inode).to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_sockets_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 1\n\
             1: 0100007F:1F41 0100007F:1 01 00000000:00000000 00:00000000 00000000 0 0 4712 1\n";
        let found = listening(table);
        assert_eq!(found.len(), 1);
        assert_eq!(found[&8000], ["4711"]);
    }
}
