//! Pure: requests to the kernel's `sock_diag` and its answers. Numbers are in native byte order, except
//! ports and addresses.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::Listener;

/// IPv4 and IPv6.
pub(super) const FAMILIES: [u8; 2] = [INET, INET6];
/// Multicast groups for closed TCP sockets of both families, as a mask.
pub(super) const CLOSED_TCP: u32 = 1 | 1 << 2;
/// Offset of the peer's port in such a message.
pub(super) const PEER_PORT_AT: u32 = 22;

const INET: u8 = 2;
const INET6: u8 = 10;
const TCP: u8 = 6;
const LISTENING: u32 = 1 << 10;

/// Length of a netlink header: length, type, flags, sequence, port id.
const HEADER: usize = 16;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const BY_FAMILY: u16 = 20;
const ASK_FOR_ALL: u16 = 0x301;

/// Length of a socket message: family, state, …, ports at 4 and 6, address at 8, queue at 56, user and
/// inode at the end.
const SOCKET: usize = 72;

/// Whether the answer is complete.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Yes,
    NotYet,
}

/// Builds a request for every listener of a family.
pub(super) fn question(family: u8) -> [u8; HEADER + 56] {
    let mut bytes = [0; HEADER + 56];
    let length = u32::try_from(bytes.len()).expect("some bytes");
    bytes[..4].copy_from_slice(&length.to_ne_bytes());
    bytes[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
    bytes[6..8].copy_from_slice(&ASK_FOR_ALL.to_ne_bytes());
    bytes[HEADER] = family;
    bytes[HEADER + 1] = TCP;
    bytes[HEADER + 4..HEADER + 8].copy_from_slice(&LISTENING.to_ne_bytes());
    bytes
}

/// Parses one datagram. A kernel error or a malformed message is an error.
pub(super) fn read(mut bytes: &[u8], found: &mut Vec<Listener>) -> io::Result<Ended> {
    while !bytes.is_empty() {
        let length = u32_at(bytes, 0).and_then(|length| usize::try_from(length).ok());
        let message = length.and_then(|length| bytes.get(..length)).filter(|message| message.len() >= HEADER);
        let message = message.ok_or(io::ErrorKind::InvalidData)?;
        match u16::from_ne_bytes([message[4], message[5]]) {
            DONE => return Ok(Ended::Yes),
            ERROR => {
                let code = u32_at(message, HEADER).unwrap_or(0).cast_signed();
                return Err(io::Error::from_raw_os_error(code.saturating_neg()));
            }
            BY_FAMILY => found.extend(socket(&message[HEADER..])),
            _ => {}
        }
        // Each message begins at a multiple of four bytes.
        bytes = bytes.get(message.len().next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(Ended::NotYet)
}

fn socket(bytes: &[u8]) -> Option<Listener> {
    let bytes = bytes.get(..SOCKET)?;
    let ip = match bytes[0] {
        INET => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(&bytes[8..12]).ok()?)),
        INET6 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(&bytes[8..24]).ok()?)),
        _ => return None,
    };
    Some(Listener {
        local: SocketAddr::new(ip, u16::from_be_bytes([bytes[4], bytes[5]])),
        waiting: u32_at(bytes, 56)?,
        user: u32_at(bytes, 64)?,
        inode: u32_at(bytes, 68)?.into(),
    })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER + body.len()).expect("short");
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.resize(HEADER, 0);
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn listener() -> Vec<u8> {
        let mut body = vec![0; SOCKET];
        body[0] = INET;
        body[4..6].copy_from_slice(&8000_u16.to_be_bytes());
        body[8..12].copy_from_slice(&[127, 0, 0, 1]);
        body[56..60].copy_from_slice(&3_u32.to_ne_bytes());
        body[68..72].copy_from_slice(&4711_u32.to_ne_bytes());
        message(BY_FAMILY, &body)
    }

    #[test]
    fn listeners_are_read_until_the_end() {
        let mut found = Vec::new();
        let two = [listener(), listener()].concat();
        assert_eq!(read(&two, &mut found).expect("well"), Ended::NotYet);
        assert_eq!(read(&message(DONE, &[0; 4]), &mut found).expect("well"), Ended::Yes);
        assert_eq!(found.len(), 2);
        let local = "127.0.0.1:8000".parse().expect("an address");
        assert_eq!(found[0], Listener { local, waiting: 3, user: 0, inode: 4711 });
    }

    #[test]
    fn a_refusal_and_anything_else_is_an_error() {
        let refused = read(&message(ERROR, &(-1_i32).to_ne_bytes()), &mut Vec::new());
        assert_eq!(refused.expect_err("refused").kind(), io::ErrorKind::PermissionDenied);
        let whole = listener();
        for cut in 1..whole.len() {
            assert!(read(&whole[..cut], &mut Vec::new()).is_err(), "{cut}");
        }
        let mut dice = fastrand::Rng::with_seed(1);
        for _ in 0..100_000 {
            let mut broken = [whole.clone(), message(DONE, &[])].concat();
            for _ in 0..dice.usize(1..8) {
                let at = dice.usize(..broken.len());
                broken[at] = dice.u8(..);
            }
            let _ = read(&broken, &mut Vec::new());
        }
    }
}
