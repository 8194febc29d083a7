//! Pure: what files below `/proc/PID` say. A service chooses some of these bytes: nothing in them is believed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::os::examination::RunState;

/// A TCP socket as `/proc/PID/net/tcp` lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tcp {
    pub(super) inode: u64,
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
    pub(super) kind: &'static str,
}

/// Returns the name in a `stat`: it stands in parentheses and may contain some.
pub(super) fn name(stat: &[u8]) -> String {
    let begin = stat.iter().position(|byte| *byte == b'(').map_or(0, |at| at + 1);
    let end = stat.iter().rposition(|byte| *byte == b')').unwrap_or(begin);
    String::from_utf8_lossy(stat.get(begin..end).unwrap_or_default()).into_owned()
}

pub(super) fn state(letter: u8) -> RunState {
    match letter {
        b'R' => RunState::Running,
        b'S' | b'I' => RunState::Sleeping,
        b'D' => RunState::Blocked,
        b'T' => RunState::Stopped,
        b't' => RunState::Traced,
        b'Z' | b'X' => RunState::Dead,
        _ => RunState::Unknown,
    }
}

/// Returns the name of the system call in a `syscall`: its number, or `running`.
pub(super) fn call(text: &[u8]) -> Option<&'static str> {
    let text = std::str::from_utf8(text).ok()?;
    let number: libc::c_long = text.split_ascii_whitespace().next()?.parse().ok()?;
    CALLS.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
}

/// System calls in which threads wait.
const CALLS: &[(libc::c_long, &str)] = &[
    (libc::SYS_futex, "futex"),
    (libc::SYS_read, "read"),
    (libc::SYS_write, "write"),
    (libc::SYS_readv, "readv"),
    (libc::SYS_writev, "writev"),
    (libc::SYS_recvfrom, "recvfrom"),
    (libc::SYS_recvmsg, "recvmsg"),
    (libc::SYS_sendto, "sendto"),
    (libc::SYS_sendmsg, "sendmsg"),
    (libc::SYS_accept, "accept"),
    (libc::SYS_accept4, "accept"),
    (libc::SYS_connect, "connect"),
    (libc::SYS_ppoll, "poll"),
    (libc::SYS_pselect6, "select"),
    (libc::SYS_epoll_pwait, "epoll"),
    (libc::SYS_epoll_pwait2, "epoll"),
    (libc::SYS_nanosleep, "sleep"),
    (libc::SYS_clock_nanosleep, "sleep"),
    (libc::SYS_wait4, "waitpid"),
    (libc::SYS_waitid, "waitpid"),
    (libc::SYS_flock, "flock"),
    (libc::SYS_fcntl, "fcntl"),
    (libc::SYS_fsync, "fsync"),
    (libc::SYS_fdatasync, "fsync"),
    (libc::SYS_openat, "open"),
    (libc::SYS_rt_sigsuspend, "sigsuspend"),
    (libc::SYS_rt_sigtimedwait, "sigwait"),
    (libc::SYS_io_uring_enter, "io_uring"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_poll, "poll"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_select, "select"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_epoll_wait, "epoll"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_pause, "pause"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, "open"),
];

/// Returns the place in a `wchan`; `0` means that it does not wait, or that nobody may know.
pub(super) fn place(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    Some(text.trim()).filter(|text| !text.is_empty() && *text != "0").map(Into::into)
}

/// Returns the functions in a `stack`: `[<0>] futex_wait+0x17/0x30`.
pub(super) fn stack(text: &[u8]) -> Vec<String> {
    const DEEPEST: usize = 24;
    let text = String::from_utf8_lossy(text);
    let function = |line: &str| line.rsplit(' ').next().map(ToString::to_string);
    text.lines().filter_map(function).filter(|line| !line.is_empty()).take(DEEPEST).collect()
}

/// Returns how many files may be open, from `limits`; `None` for no limit, or if the text does not say.
pub(super) fn most_files(text: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(text);
    let rest = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

/// Returns the inode in a link such as `socket:[4711]`.
pub(super) fn socket(link: &[u8]) -> Option<u64> {
    let number = std::str::from_utf8(link).ok()?.strip_prefix("socket:[")?;
    number.strip_suffix(']')?.parse().ok()
}

/// Parses a line of `net/tcp` or `net/tcp6`.
pub(super) fn tcp(line: &str) -> Option<Tcp> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, peer) = (address(fields.next()?)?, address(fields.next()?)?);
    let kind = match fields.next()? {
        "01" => "tcp",
        "02" => "tcp, connecting",
        "08" => "tcp, closed by its peer",
        "0A" => "tcp, listening",
        _ => "tcp, closing",
    };
    Some(Tcp { inode: fields.nth(5)?.parse().ok()?, local, peer, kind })
}

/// Parses an address as the kernel prints it: words of 32 bits in the byte order of the machine, in hexadecimal.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let word = |at: usize| u32::from_str_radix(ip.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip: IpAddr = match ip.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            Ipv6Addr::from(<[u8; 16]>::try_from(words).ok()?).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

/// Parses a line of `net/unix`: the inode, and the path if it has one.
pub(super) fn unix(line: &str) -> Option<(u64, &str)> {
    let mut rest = line;
    let mut field = || {
        let begin = rest.trim_start_matches(' ');
        let (field, after) = begin.split_once(' ').unwrap_or((begin, ""));
        rest = after;
        field
    };
    let inode = (0..7).map(|_| field()).last()?.parse().ok()?;
    Some((inode, rest.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_the_process_says_and_no_more() {
        assert_eq!(name(b"7 (a) (b)\n) S 1 7"), "a) (b)\n");
        assert_eq!(name(b"7 (\xff\x1b[2J) S"), "\u{fffd}\u{1b}[2J");
        assert_eq!((name(b""), name(b")("), name(b"7 S 1")), (String::new(), String::new(), String::new()));
    }

    #[test]
    fn calls_places_and_stacks_are_named() {
        let futex = format!("{} 0x7f 0x80\n", libc::SYS_futex);
        assert_eq!(call(futex.as_bytes()), Some("futex"));
        assert_eq!((call(b"running\n"), call(b"-1 0x1 0x2\n"), call(b"")), (None, None, None));
        assert_eq!((place(b"ep_poll"), place(b"0"), place(b"")), (Some("ep_poll".into()), None, None));
        let text = b"[<0>] futex_wait+0x17/0x30\n[<0>] do_syscall_64+0x71/0x280\n\n";
        assert_eq!(stack(text), ["futex_wait+0x17/0x30", "do_syscall_64+0x71/0x280"]);
    }

    #[test]
    fn limits_and_links_are_read() {
        let limits =
            |soft: &str| format!("Limit  Soft  Hard  Units\nMax open files   {soft}   4096   files \n");
        assert_eq!(most_files(limits("1024").as_bytes()), Some(1024));
        assert_eq!(most_files(limits("unlimited").as_bytes()), None);
        assert_eq!((most_files(b""), most_files(limits("x").as_bytes())), (None, None));
        assert_eq!(
            (socket(b"socket:[4711]"), socket(b"pipe:[1]"), socket(b"socket:[x]")),
            (Some(4711), None, None)
        );
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn sockets_are_read_with_their_peers() {
        let line = " 0: 0100007F:1F40 0200000A:D431 01 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0";
        let found = tcp(line).expect("a line");
        assert_eq!((found.inode, found.kind), (4711, "tcp"));
        assert_eq!(
            (found.local.to_string(), found.peer.to_string()),
            ("127.0.0.1:8000".into(), "10.0.0.2:54321".into())
        );
        let line = "1: 00000000000000000000000001000000:0050 0000000000000000FFFF00000100007F:0001 0A 0:0 0:0 0 0 0 9 1";
        let found = tcp(line).expect("a line");
        assert_eq!(
            (found.local.to_string(), found.peer.to_string()),
            ("[::1]:80".into(), "127.0.0.1:1".into())
        );
        assert_eq!(tcp("  sl  local_address rem_address   st tx_queue"), None);
        assert_eq!(tcp("0: 0:0 0:0 01"), None);
        let line = "ffff0000: 00000003 00000000 00000000 0001 03 24711 /run/a b.sock";
        assert_eq!(unix(line), Some((24711, "/run/a b.sock")));
        assert_eq!(unix("ffff0000: 00000003 00000000 00000000 0001 03 5"), Some((5, "")));
        assert_eq!(unix("Num RefCount Protocol Flags Type St Inode Path"), None);
    }
}
