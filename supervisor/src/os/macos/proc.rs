//! Reads the table of processes, by `libproc` and `sysctl`. No function here returns an error: a process that cannot be
//! read (another user's, or one that ended meanwhile) counts as missing.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_int, c_void};
use std::mem::MaybeUninit;
use std::path::PathBuf;
use std::ptr;

use libc::{proc_bsdinfo, proc_listpids, proc_pidinfo};

/// The kinds of pid lists: `sys/proc_info.h`.
const ALL: u32 = 1;
const OF_GROUP: u32 = 2;
const OF_PARENT: u32 = 6;

/// The facts about a process that are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) parent: u32,
    pub(super) group: u32,
    pub(super) user: u32,
    /// When it started, in microseconds since 1970.
    pub(super) start: u64,
    pub(super) is_zombie: bool,
    pub(super) is_stopped: bool,
    /// The status that `wait` will return once it has ended.
    pub(super) status: i32,
    pub(super) name: String,
}

/// Returns the facts about a process that lives or has not been reaped.
pub(super) fn facts(pid: u32) -> Option<Facts> {
    // The argument 1 includes processes that have ended and wait to be reaped.
    let info: proc_bsdinfo = info(pid, libc::PROC_PIDTBSDINFO, 1)?;
    let name = |bytes: &[libc::c_char]| {
        let bytes: Vec<u8> =
            bytes.iter().take_while(|byte| **byte != 0).map(|byte| byte.cast_unsigned()).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let long = name(&info.pbi_name);
    Some(Facts {
        parent: info.pbi_ppid,
        group: info.pbi_pgid,
        user: info.pbi_uid,
        start: info.pbi_start_tvsec * 1_000_000 + info.pbi_start_tvusec,
        is_zombie: info.pbi_status == libc::SZOMB,
        is_stopped: info.pbi_status == libc::SSTOP,
        status: info.pbi_xstatus.cast_signed(),
        name: if long.is_empty() { name(&info.pbi_comm) } else { long },
    })
}

/// Returns when a process started.
pub(in crate::os) fn start_time(pid: u32) -> Option<u64> {
    Some(facts(pid)?.start)
}

/// Returns the parent of a process.
pub(in crate::os) fn parent(pid: u32) -> Option<u32> {
    Some(facts(pid)?.parent)
}

/// Returns whether it lives; a process that waits to be reaped does not.
pub(super) fn is_alive(pid: u32) -> bool {
    facts(pid).is_some_and(|facts| !facts.is_zombie)
}

/// Reads a structure that `proc_pidinfo` fills; all of them consist of numbers.
fn info<T>(pid: u32, flavor: c_int, argument: u64) -> Option<T> {
    let (pid, size) = (c_int::try_from(pid).ok()?, c_int::try_from(size_of::<T>()).ok()?);
    let mut info = MaybeUninit::<T>::zeroed();
    // SAFETY: the call is given the structure's length, and the structure is only used if it was filled completely.
    unsafe {
        let filled = proc_pidinfo(pid, flavor, argument, info.as_mut_ptr().cast(), size);
        (filled == size).then(|| info.assume_init())
    }
}

/// Returns every process of this host, including those that wait to be reaped.
pub(super) fn all() -> Vec<u32> {
    list(ALL, 0)
}

/// Returns the processes of a group.
pub(super) fn group(group: u32) -> Vec<u32> {
    list(OF_GROUP, group)
}

/// Returns the children of a process.
pub(in crate::os) fn children(pid: u32) -> Vec<u32> {
    list(OF_PARENT, pid)
}

fn list(which: u32, of: u32) -> Vec<u32> {
    let mut pids: Vec<u32> = Vec::new();
    loop {
        // SAFETY: without a buffer the call only returns the length that it needs.
        let wanted = unsafe { proc_listpids(which, of, ptr::null_mut(), 0) };
        let Ok(wanted) = usize::try_from(wanted) else { return Vec::new() };
        // Room for processes that start meanwhile: a full list may be incomplete.
        pids.resize(wanted / size_of::<u32>() + 32, 0);
        let room = c_int::try_from(size_of_val(pids.as_slice())).unwrap_or(c_int::MAX);
        // SAFETY: the call is given the length of the buffer.
        let filled = unsafe { proc_listpids(which, of, pids.as_mut_ptr().cast(), room) };
        let filled = usize::try_from(filled).unwrap_or(0) / size_of::<u32>();
        if filled < pids.len() {
            pids.truncate(filled);
            pids.retain(|pid| *pid != 0);
            return pids;
        }
    }
}

/// Returns the processes that a run may have left behind: launchd's children, because orphans go to launchd without a
/// subreaper, and this process's children that lead no run.
pub fn orphans(is_leader: impl Fn(u32) -> bool) -> Vec<u32> {
    const LAUNCHD: u32 = 1;
    let own = std::process::id();
    let both = children(LAUNCHD).into_iter().chain(children(own));
    both.filter(|pid| *pid != own && !is_leader(*pid)).collect()
}

/// Returns a process and all its descendants, itself first, without zombies among the descendants.
pub fn descendants(root: u32) -> Vec<u32> {
    let (mut all, mut next) = (vec![root], 0);
    while let Some(pid) = all.get(next).copied() {
        next += 1;
        let new: Vec<u32> =
            children(pid).into_iter().filter(|child| !all.contains(child) && is_alive(*child)).collect();
        all.extend(new);
    }
    all
}

/// Returns a kernel value by its numbers.
pub(super) fn sysctl(numbers: &[c_int]) -> Option<Vec<u8>> {
    let mut numbers = numbers.to_vec();
    let count = u32::try_from(numbers.len()).ok()?;
    let mut read = |room: *mut c_void, length: &mut usize| {
        // SAFETY: the call is given the count of numbers and the length of the buffer.
        unsafe { libc::sysctl(numbers.as_mut_ptr(), count, room, length, ptr::null_mut(), 0) == 0 }
    };
    let mut length = 0;
    if !read(ptr::null_mut(), &mut length) {
        return None;
    }
    let mut bytes = vec![0; length];
    if !read(bytes.as_mut_ptr().cast(), &mut length) {
        return None;
    }
    bytes.truncate(length);
    Some(bytes)
}

/// Returns a kernel text by its name.
pub(super) fn sysctl_text(name: &CStr) -> Option<String> {
    let mut bytes = [0_u8; 256];
    let mut length = bytes.len();
    // SAFETY: a NUL-terminated name, and a buffer with the length that the call is given.
    let read = unsafe {
        libc::sysctlbyname(name.as_ptr(), bytes.as_mut_ptr().cast(), &raw mut length, ptr::null_mut(), 0)
    };
    let text = CStr::from_bytes_until_nul(bytes.get(..length)?).ok()?;
    (read == 0).then(|| text.to_string_lossy().into_owned())
}

/// The arguments and environment that a process was started with.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Started {
    pub(super) arguments: Vec<Vec<u8>>,
    pub(super) environment: Vec<Vec<u8>>,
}

/// Returns the arguments and environment that a process was started with. macOS hides the environment of its own
/// programs.
pub(super) fn started(pid: u32) -> Option<Started> {
    split(&sysctl(&[libc::CTL_KERN, libc::KERN_PROCARGS2, c_int::try_from(pid).ok()?])?)
}

/// Splits the kernel's format: the number of arguments, the program, some zeros, then arguments and environment, each
/// with a zero at its end.
fn split(bytes: &[u8]) -> Option<Started> {
    let (count, rest) = bytes.split_first_chunk::<4>()?;
    let count = usize::try_from(i32::from_ne_bytes(*count)).ok()?;
    let program = rest.iter().position(|byte| *byte == 0)?;
    let rest = &rest[program..];
    let begin = rest.iter().position(|byte| *byte != 0)?;
    let mut texts = rest[begin..].split(|byte| *byte == 0).map(<[u8]>::to_vec);
    let arguments = texts.by_ref().take(count).collect();
    Some(Started { arguments, environment: texts.take_while(|text| !text.is_empty()).collect() })
}

/// Returns the program that a process runs.
pub(super) fn program(pid: u32) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    let mut bytes = vec![0_u8; usize::try_from(libc::PROC_PIDPATHINFO_MAXSIZE).unwrap_or(4096)];
    let room = u32::try_from(bytes.len()).ok()?;
    // SAFETY: the call is given the length of the buffer.
    let length = unsafe { libc::proc_pidpath(c_int::try_from(pid).ok()?, bytes.as_mut_ptr().cast(), room) };
    bytes.truncate(usize::try_from(length).ok().filter(|length| *length > 0)?);
    Some(std::ffi::OsString::from_vec(bytes).into())
}

/// Returns the working folder of a process.
pub(in crate::os) fn folder(pid: u32) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    let info: libc::proc_vnodepathinfo = info(pid, libc::PROC_PIDVNODEPATHINFO, 0)?;
    let bytes: Vec<u8> =
        info.pvi_cdir.vip_path.as_flattened().iter().map(|byte| byte.cast_unsigned()).collect();
    let end = bytes.iter().position(|byte| *byte == 0).filter(|end| *end > 0)?;
    Some(std::ffi::OsString::from_vec(bytes[..end].to_vec()).into())
}

/// Returns the entry of a file or FIFO that a process holds, by device and inode; `None` if it holds none of them.
pub(super) fn holds<T>(pid: u32, files: &BTreeMap<(u64, u64), T>) -> Option<&T> {
    /// `PROC_PIDFDVNODEINFO`, and the structure that it fills: `struct vnode_fdinfo`, of which the first part is
    /// ignored.
    const VNODE: c_int = 1;
    #[repr(C)]
    struct Vnode {
        file: [u64; 3],
        vnode: libc::vnode_info,
    }
    if files.is_empty() {
        return None;
    }
    let number = c_int::try_from(pid).ok()?;
    let size = c_int::try_from(size_of::<Vnode>()).ok()?;
    let is_file = |open: &libc::proc_fdinfo| open.proc_fdtype == libc::PROX_FDTYPE_VNODE.cast_unsigned();
    descriptors(number).into_iter().filter(is_file).find_map(|open| {
        let mut info = MaybeUninit::<Vnode>::zeroed();
        // SAFETY: the call is given the structure's length, and the structure is only used if it was filled completely.
        let info = unsafe {
            let filled = libc::proc_pidfdinfo(number, open.proc_fd, VNODE, info.as_mut_ptr().cast(), size);
            if filled != size {
                return None;
            }
            info.assume_init()
        };
        files.get(&(u64::from(info.vnode.vi_stat.vst_dev), info.vnode.vi_stat.vst_ino))
    })
}

/// Returns every open descriptor of a process.
fn descriptors(pid: c_int) -> Vec<libc::proc_fdinfo> {
    const EMPTY: libc::proc_fdinfo = libc::proc_fdinfo { proc_fd: 0, proc_fdtype: 0 };
    // SAFETY: without a buffer the call only returns the length that it needs.
    let wanted = unsafe { proc_pidinfo(pid, libc::PROC_PIDLISTFDS, 0, ptr::null_mut(), 0) };
    let mut open = vec![EMPTY; usize::try_from(wanted).unwrap_or(0) / size_of::<libc::proc_fdinfo>()];
    let room = c_int::try_from(size_of_val(open.as_slice())).unwrap_or(0);
    // SAFETY: the call is given the length of the buffer.
    let filled = unsafe { proc_pidinfo(pid, libc::PROC_PIDLISTFDS, 0, open.as_mut_ptr().cast(), room) };
    open.truncate(usize::try_from(filled).unwrap_or(0) / size_of::<libc::proc_fdinfo>());
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_itself() {
        let me = std::process::id();
        let own = facts(me).expect("we run");
        assert!(!own.is_zombie && own.start > 0 && own.parent > 0 && own.group > 0);
        assert_eq!(parent(me), Some(own.parent));
        assert_eq!(descendants(me)[0], me);
        assert!(all().contains(&me) && children(own.parent).contains(&me) && group(own.group).contains(&me));
        assert_eq!(program(me), std::env::current_exe().ok());
        assert_eq!(folder(me), std::env::current_dir().ok());
        let Started { arguments, environment } = started(me).expect("we run");
        assert_eq!(arguments.len(), std::env::args_os().len());
        assert!(environment.iter().any(|entry| entry.starts_with(b"PATH=")));
    }

    #[test]
    fn what_the_kernel_says_of_arguments_is_split() {
        let bytes = [&2_i32.to_ne_bytes()[..], b"/bin/x\0\0\0x\0-v\0A=1\0B=\0\0junk"].concat();
        let Started { arguments, environment } = split(&bytes).expect("whole");
        assert_eq!(arguments, [b"x".to_vec(), b"-v".to_vec()]);
        assert_eq!(environment, [b"A=1".to_vec(), b"B=".to_vec()]);
        for cut in 0..8 {
            assert!(split(&bytes[..cut]).is_none(), "{cut}");
        }
    }
}
