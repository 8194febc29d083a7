//! What a child gives up before it becomes another program, in the order that the kernel requires:
//!
//! 1. [`leave_keyring`]: the session keyring of whoever started the supervisor, while the new one counts for root;
//! 2. [`bound`]: the bounding set, while it may still be changed;
//! 3. [`keep_over_ids`], then groups and ids, which only root may set;
//! 4. [`have`]: exactly these capabilities, also over the exec of a program that is not root's (the ambient set);
//! 5. [`no_new_privileges`], after which nothing can be regained.
//!
//! All of it runs in the child of `spawn`: only system calls on its own credentials, no allocation, no lock.

/// `struct __user_cap_header_struct` of the kernel.
#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

/// `struct __user_cap_data_struct` of the kernel.
#[repr(C)]
#[derive(Clone, Copy)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const VERSION_3: u32 = 0x2008_0522;
/// The number of bits in a set.
const MOST: u32 = 64;

unsafe fn prctl(option: i32, one: u64, two: u64) -> libc::c_long {
    // SAFETY: only options that take numbers and read none of this process's memory.
    unsafe { libc::syscall(libc::SYS_prctl, option, one, two, 0_u64, 0_u64) }
}

/// Joins a new, empty session keyring. Before the change of ids: a user may have 200 keys, and one who has used them up
/// must not get the keyring of another instead. Kernels and containers without keyrings refuse it, and need none.
pub(super) unsafe fn leave_keyring() -> libc::c_long {
    const JOIN_SESSION_KEYRING: libc::c_long = 1;
    let no_name: *const libc::c_char = std::ptr::null();
    // SAFETY: a call without memory; the child's thread has an `errno`.
    unsafe {
        let done = libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, no_name);
        let is_absent = [libc::ENOSYS, libc::EPERM].contains(&*libc::__errno_location());
        if done < 0 && is_absent { 0 } else { done }
    }
}

/// Removes all other capabilities from the bounding set.
pub(super) unsafe fn bound(kept: u64) -> libc::c_long {
    for number in (0..MOST).filter(|number| kept & (1 << number) == 0) {
        // SAFETY: as above.
        let done = unsafe { prctl(libc::PR_CAPBSET_DROP, number.into(), 0) };
        // SAFETY: the child's thread has an `errno`.
        if done < 0 && unsafe { *libc::__errno_location() } == libc::EINVAL {
            // This kernel has no more capabilities.
            break;
        }
        if done < 0 {
            return done;
        }
    }
    0
}

/// Lets a change of ids keep the capabilities until [`have`].
pub(super) unsafe fn keep_over_ids() -> libc::c_long {
    // SAFETY: as above.
    unsafe { prctl(libc::PR_SET_KEEPCAPS, 1, 0) }
}

/// Sets exactly these capabilities.
pub(super) unsafe fn have(kept: u64) -> libc::c_long {
    let half = |shift: u32| u32::try_from((kept >> shift) & u64::from(u32::MAX)).unwrap_or(0);
    let [low, high] = [half(0), half(32)];
    let data = [low, high].map(|set| Data { effective: set, permitted: set, inheritable: set });
    let header = Header { version: VERSION_3, pid: 0 };
    // SAFETY: both have the kernel's layout and live during the call.
    let done = unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) };
    if done < 0 {
        return done;
    }
    for number in (0..MOST).filter(|number| kept & (1 << number) != 0) {
        let raise = u64::try_from(libc::PR_CAP_AMBIENT_RAISE).unwrap_or(0);
        // SAFETY: as above.
        let done = unsafe { prctl(libc::PR_CAP_AMBIENT, raise, number.into()) };
        if done < 0 {
            return done;
        }
    }
    0
}

/// Prevents any program that it runs from giving it more privileges.
pub(super) unsafe fn no_new_privileges() -> libc::c_long {
    // SAFETY: as above.
    unsafe { prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0) }
}
