//! Pure: parses macOS's table of TCP sockets (`net.inet.tcp.pcblist_n`, which `netstat` reads). Each socket
//! has several consecutive records, each with its length and kind, aligned to eight bytes. Numbers are in
//! native byte order, except ports and addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Listener;

/// Length of the table's header: length, count, generations.
const HEADER: usize = 24;
/// Length of a record's header: length and kind.
const RECORD: usize = 8;

/// Record kinds: `struct xsocket_n`, `struct xinpcb_n`, and the last record of a socket, `struct xtcpcb_n`.
const SOCKET: u32 = 0x01;
const ADDRESSES: u32 = 0x10;
const TCP: u32 = 0x20;

/// The flag `SO_ACCEPTCONN`: it listens.
const LISTENS: u32 = 0x02;
/// The flags `INP_IPV4` and `INP_IPV6`.
const IPV4: u8 = 1;
const IPV6: u8 = 2;

/// A listener and the processes that used it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) listener: Listener,
    /// The process that used it last, and the process for which it did so; 0 if none.
    pub(super) pids: [u32; 2],
}

/// Records of one socket read so far.
#[derive(Default)]
struct Parts {
    local: Option<SocketAddr>,
    socket: Option<Socket>,
}

struct Socket {
    number: u64,
    waiting: u16,
    user: u32,
    pids: [u32; 2],
}

/// Returns every listener in the table. Stops at the first malformed record.
pub(super) fn read(bytes: &[u8]) -> Vec<Row> {
    let mut found = Vec::new();
    let mut parts = Parts::default();
    let mut rest = bytes.get(HEADER..).unwrap_or_default();
    while let (Some(length), Some(kind)) = (u32_at(rest, 0), u32_at(rest, 4)) {
        let length = usize::try_from(length).unwrap_or(0);
        let Some(record) = rest.get(..length).filter(|_| length > RECORD) else { break };
        match kind {
            SOCKET => parts.socket = socket(record),
            ADDRESSES => parts.local = local(record),
            TCP => {
                let Parts { local, socket } = std::mem::take(&mut parts);
                found.extend(local.zip(socket).map(|(local, socket)| socket.at(local)));
            }
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(8)..).unwrap_or_default();
    }
    found
}

impl Socket {
    fn at(self, local: SocketAddr) -> Row {
        let Self { number, waiting, user, pids } = self;
        Row { listener: Listener { local, waiting: waiting.into(), user, inode: number }, pids }
    }
}

/// Parses a listening socket: its number (unique per socket, not a kernel address), queue, user and processes.
fn socket(record: &[u8]) -> Option<Socket> {
    if u32_at(record, 20)? & LISTENS == 0 {
        return None;
    }
    Some(Socket {
        number: u64::from_ne_bytes(record.get(8..16)?.try_into().ok()?),
        waiting: u16::from_ne_bytes(record.get(44..46)?.try_into().ok()?),
        user: u32_at(record, 64)?,
        pids: [u32_at(record, 68)?, u32_at(record, 72)?],
    })
}

fn local(record: &[u8]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes(record.get(18..20)?.try_into().ok()?);
    let address: [u8; 16] = record.get(64..80)?.try_into().ok()?;
    // A socket that accepts both families is bound as IPv6.
    let ip: IpAddr = match record.get(44)? {
        families if families & IPV6 != 0 => Ipv6Addr::from(address).into(),
        families if families & IPV4 != 0 => {
            Ipv4Addr::new(address[12], address[13], address[14], address[15]).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u32, length: usize, fill: &[(usize, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; length.next_multiple_of(8)];
        bytes[..4].copy_from_slice(&u32::try_from(length).expect("short").to_ne_bytes());
        bytes[4..8].copy_from_slice(&kind.to_ne_bytes());
        for (at, text) in fill {
            bytes[*at..at + text.len()].copy_from_slice(text);
        }
        bytes
    }

    /// Builds the records of one socket, with the lengths that macOS uses.
    fn entry(options: u32, families: u8, address: &[u8], port: u16) -> Vec<u8> {
        let (options, port) = (options.to_ne_bytes(), port.to_be_bytes());
        let socket: [(usize, &[u8]); 6] = [
            (8, &4711_u64.to_ne_bytes()),
            (20, &options),
            (44, &3_u16.to_ne_bytes()),
            (64, &501_u32.to_ne_bytes()),
            (68, &812_u32.to_ne_bytes()),
            (72, &813_u32.to_ne_bytes()),
        ];
        [
            record(ADDRESSES, 104, &[(18, &port), (44, &[families]), (80 - address.len(), address)]),
            record(SOCKET, 76, &socket),
            record(0x02, 36, &[]),
            record(0x04, 36, &[]),
            record(0x08, 100, &[]),
            record(TCP, 204, &[]),
        ]
        .concat()
    }

    fn table(entries: &[Vec<u8>]) -> Vec<u8> {
        let frame = record(0, HEADER, &[]);
        [frame.clone(), entries.concat(), frame].concat()
    }

    #[test]
    fn listeners_are_read_and_connections_are_not() {
        let bytes = table(&[
            entry(LISTENS, IPV4, &[127, 0, 0, 1], 8000),
            entry(0, IPV4, &[127, 0, 0, 1], 8000),
            entry(LISTENS | 4, IPV4 | IPV6, &[0; 16], 5189),
            entry(LISTENS, 0, &[0; 16], 1),
        ]);
        let row = |local: &str| Row {
            listener: Listener {
                local: local.parse().expect("an address"),
                waiting: 3,
                user: 501,
                inode: 4711,
            },
            pids: [812, 813],
        };
        assert_eq!(read(&bytes), [row("127.0.0.1:8000"), row("[::]:5189")]);
    }

    #[test]
    fn anything_else_is_survived() {
        let whole = table(&[entry(LISTENS, IPV6, &[1; 16], 80), entry(LISTENS, IPV4, &[1; 4], 81)]);
        for cut in 0..whole.len() {
            assert!(read(&whole[..cut]).len() <= 2, "{cut}");
        }
        let mut dice = fastrand::Rng::with_seed(1);
        for _ in 0..100_000 {
            let mut broken = whole.clone();
            for _ in 0..dice.usize(1..8) {
                let at = dice.usize(..broken.len());
                broken[at] = dice.u8(..);
            }
            let _ = read(&broken);
        }
    }
}
