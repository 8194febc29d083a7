//! Which process listens on which port, by the system's tables: read off the hot path, when a service starts.

use std::collections::BTreeSet;
use std::mem::offset_of;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::windows::io::AsRawHandle;
use std::ptr;
use std::time::Duration;

use windows_sys::Win32::Foundation::{ERROR_INSUFFICIENT_BUFFER, FILETIME, NO_ERROR};
use windows_sys::Win32::NetworkManagement::IpHelper::{
    GetExtendedTcpTable, MIB_TCP6ROW_OWNER_PID, MIB_TCP6TABLE_OWNER_PID, MIB_TCPROW_OWNER_PID,
    MIB_TCPTABLE_OWNER_PID, TCP_TABLE_OWNER_PID_LISTENER,
};
use windows_sys::Win32::Networking::WinSock::{AF_INET, AF_INET6};
use windows_sys::Win32::System::SystemInformation::GetSystemTimeAsFileTime;
use windows_sys::Win32::System::Threading::{
    PROCESS_NAME_WIN32, PROCESS_QUERY_LIMITED_INFORMATION, QueryFullProcessImageNameW,
};

use super::job::Job;
use super::process::{open_pid, start_time};
use super::usage::descendants;
use crate::os::Stranger;

/// A table that has grown this often while it was read is given up.
const TRIES: usize = 8;
/// The longest path on Windows.
const LONGEST_PATH: usize = 32 * 1024;

/// Returns a process that listens on one of these addresses and does not belong to the service that was just started.
pub fn stranger_on(
    addresses: &[SocketAddr],
    leader: u32,
    instance: &str,
    service: &str,
) -> Option<(u16, Stranger)> {
    let listeners = listeners();
    let taken = addresses.iter().find_map(|address| {
        let here = listeners.iter().filter(|(local, _)| gets(*local, *address));
        let here: BTreeSet<u32> = here.map(|(_, pid)| *pid).collect();
        (!here.is_empty()).then_some((address.port(), here))
    });
    let (port, holders) = taken?;
    let mut own: BTreeSet<u32> = descendants(leader).into_iter().chain([std::process::id()]).collect();
    own.extend(Job::find(instance, service).map(|job| job.pids()).unwrap_or_default());
    if !own.is_disjoint(&holders) {
        return None;
    }
    let pid = holders.first().copied()?;
    let command = command(pid);
    let stranger =
        Stranger { pid, command, user: 0, service: Job::owner(instance, pid), age: age(pid), folder: None };
    Some((port, stranger))
}

/// Returns every listener of this host.
fn listeners() -> Vec<(SocketAddr, u32)> {
    let port = |number: u32| u16::from_be(u16::try_from(number & 0xFFFF).unwrap_or(0));
    let v4 = |row: &MIB_TCPROW_OWNER_PID| {
        let ip = Ipv4Addr::from(u32::from_be(row.dwLocalAddr));
        (SocketAddr::new(ip.into(), port(row.dwLocalPort)), row.dwOwningPid)
    };
    let v6 = |row: &MIB_TCP6ROW_OWNER_PID| {
        let ip = Ipv6Addr::from(row.ucLocalAddr);
        (SocketAddr::new(ip.into(), port(row.dwLocalPort)), row.dwOwningPid)
    };
    // SAFETY: each family's table has rows of the named type, after a head of this length.
    unsafe {
        let four = rows(AF_INET, offset_of!(MIB_TCPTABLE_OWNER_PID, table));
        let six = rows(AF_INET6, offset_of!(MIB_TCP6TABLE_OWNER_PID, table));
        // Pid 0 means unknown (wine never tells).
        four.iter().map(v4).chain(six.iter().map(v6)).filter(|(_, pid)| *pid != 0).collect()
    }
}

/// Returns the rows of a table of listeners.
///
/// # Safety
/// The table of that family has rows of this type, after a head of that length that begins with their number.
unsafe fn rows<Row: Copy>(family: u16, head: usize) -> Vec<Row> {
    let mut size = 0_u32;
    for _ in 0..TRIES {
        let room = usize::try_from(size).unwrap_or(0);
        let mut buffer = vec![0_u32; room.div_ceil(size_of::<u32>()).max(1)];
        // SAFETY: the call fills at most the length it is given, or returns the length that it needs.
        let asked = unsafe {
            let (place, class) = (buffer.as_mut_ptr().cast(), TCP_TABLE_OWNER_PID_LISTENER);
            GetExtendedTcpTable(place, &raw mut size, 0, family.into(), class, 0)
        };
        match asked {
            NO_ERROR => {
                let fits = (room.saturating_sub(head)) / size_of::<Row>();
                let count = usize::try_from(buffer[0]).unwrap_or(0).min(fits);
                // SAFETY: the caller guarantees that this many rows exist.
                let row = |at: usize| unsafe {
                    buffer.as_ptr().byte_add(head + at * size_of::<Row>()).cast::<Row>().read_unaligned()
                };
                return (0..count).map(row).collect();
            }
            ERROR_INSUFFICIENT_BUFFER => {}
            _ => break,
        }
    }
    Vec::new()
}

/// Returns whether a listener blocks the address: it listens on it, or on all addresses of its family.
fn gets(local: SocketAddr, address: SocketAddr) -> bool {
    let (ip, wanted) = (local.ip().to_canonical(), address.ip().to_canonical());
    let every = ip.is_unspecified() && ip.is_ipv4() == wanted.is_ipv4();
    local.port() == address.port() && (ip == wanted || every)
}

/// Returns the program's path: other processes' command lines are not visible here.
fn command(pid: u32) -> String {
    const UNSEEN: &str = "of another user";
    let Some(process) = open_pid(pid, PROCESS_QUERY_LIMITED_INFORMATION) else { return UNSEEN.into() };
    let mut path = vec![0_u16; LONGEST_PATH];
    let mut length = u32::try_from(LONGEST_PATH).expect("small");
    // SAFETY: the handle is open, and the call fills at most the length it is given.
    let read = unsafe {
        let place = path.as_mut_ptr();
        QueryFullProcessImageNameW(process.as_raw_handle(), PROCESS_NAME_WIN32, place, &raw mut length)
    };
    let path = path.get(..usize::try_from(length).unwrap_or(0)).filter(|_| read != 0);
    path.map_or_else(|| UNSEEN.into(), String::from_utf16_lossy)
}

fn age(pid: u32) -> Option<Duration> {
    let began = start_time(&open_pid(pid, PROCESS_QUERY_LIMITED_INFORMATION)?)?;
    let mut now = FILETIME::default();
    // SAFETY: the call fills one time.
    unsafe { GetSystemTimeAsFileTime(ptr::from_mut(&mut now)) };
    let now = u64::from(now.dwHighDateTime) << 32 | u64::from(now.dwLowDateTime);
    Some(Duration::from_micros(now.checked_sub(began)? / 10))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_listener_keeps_others_from_its_address_or_from_all_of_its_family() {
        let at = |address: &str| address.parse().expect("an address");
        for (local, address, expected) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("[::]:80", "[::1]:80", true),
            ("[::1]:80", "127.0.0.1:80", false),
        ] {
            assert_eq!(gets(at(local), at(address)), expected, "{local} {address}");
        }
    }

    #[test]
    fn who_listens_is_named_unless_it_is_one_of_us() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let me = std::process::id();
        let under_wine = std::path::Path::new(r"C:\windows\system32\winecfg.exe").exists();
        assert_eq!(listeners().contains(&(address, me)), !under_wine, "wine does not say who");
        assert_eq!(stranger_on(&[address], me, "home", "web"), None, "our own");
        let name = command(me);
        assert!(name.contains("supervisor"), "{name}");
        assert!(age(me).is_some_and(|age| age < Duration::from_secs(3600)));
        drop(listener);
        assert_eq!(stranger_on(&[address], me, "home", "web"), None, "nobody any more");
    }
}
