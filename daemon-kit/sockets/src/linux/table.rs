//! Reads listeners from `/proc/net`. Nothing here fails: unreadable entries are skipped.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::Listener;

const LISTEN: u8 = 0x0A;
const SYN_RECV: u8 = 0x03;

/// Returns every listener of this host. The tables list them first and are not read further.
pub(super) fn listeners() -> Vec<Listener> {
    let mut found = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let Ok(file) = File::open(table) else { continue };
        for line in BufReader::new(file).lines().skip(1).map_while(Result::ok) {
            match row(&line) {
                Some((LISTEN, listener)) => found.push(listener),
                Some((SYN_RECV, _)) | None => {}
                Some(_) => break,
            }
        }
    }
    found
}

/// Parses one line of the table: `sl local remote state tx:rx tr:when retransmits uid timeout inode …`.
fn row(line: &str) -> Option<(u8, Listener)> {
    let fields: Vec<_> = line.split_ascii_whitespace().take(10).collect();
    let [_, local, _, state, queues, _, _, user, _, inode] = fields[..] else { return None };
    let (ip, port) = local.split_once(':')?;
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(ip)?)),
        32 => {
            let mut bytes = [0; 16];
            for (place, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(ip.get(place * 8..place * 8 + 8)?)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    let (_, waiting) = queues.split_once(':')?;
    let listener = Listener {
        local: SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?),
        waiting: u32::from_str_radix(waiting, 16).ok()?,
        user: user.parse().ok()?,
        inode: inode.parse().ok()?,
    };
    Some((u8::from_str_radix(state, 16).ok()?, listener))
}

/// Parses four bytes of an address, which the table prints as a number in native byte order.
fn word(hex: &str) -> Option<[u8; 4]> {
    Some(u32::from_str_radix(hex, 16).ok()?.to_ne_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn reads_the_table_and_survives_anything_else() {
        let v4 = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000003 00:00000000 00000000  1000        0 4711 1 0 100 0";
        let at = |local: &str| {
            let local = local.parse().expect("an address");
            Listener { local, waiting: 3, user: 1000, inode: 4711 }
        };
        assert_eq!(row(v4), Some((LISTEN, at("127.0.0.1:8080"))));
        let v6 = "1: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000003 00:0 0 1000 0 4711";
        assert_eq!(row(v6), Some((LISTEN, at("[::1]:8080"))));
        for garbage in [
            "",
            "sl local",
            "0: 1:2 3 0A 4:5 6 7 8 9 10",
            "0: é:1F90 0:0 0A 0:0 0:0 0 0 0 1",
            &v4.replace("1F90", "1F901"),
            &v6.replace("0A", "éé"),
        ] {
            assert_eq!(row(garbage), None, "{garbage}");
        }
    }
}
