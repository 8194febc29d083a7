//! `clone3` with the parent's memory and a separate stack: the child begins in a function, and the parent waits in the
//! kernel until the child has become another program or is gone.
//!
//! glibc has no wrapper that can name a cgroup, and `fork` copies page tables: on a daemon of 15 MB that alone is more
//! than the rest of a start.

use std::io;

/// `struct clone_args` of the kernel, up to `cgroup`.
#[repr(C)]
#[derive(Default)]
pub(super) struct CloneArgs {
    pub(super) flags: u64,
    pub(super) pidfd: u64,
    pub(super) child_tid: u64,
    pub(super) parent_tid: u64,
    pub(super) exit_signal: u64,
    pub(super) stack: u64,
    pub(super) stack_size: u64,
    pub(super) tls: u64,
    pub(super) set_tid: u64,
    pub(super) set_tid_size: u64,
    pub(super) cgroup: u64,
}

pub(super) const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// The function that a child runs; it must not return.
pub(super) type Entry = unsafe extern "C" fn(*mut libc::c_void) -> !;

/// Clones; the child runs `entry(argument)` on the stack that `args` names.
///
/// # Safety
/// `args.stack` is 16-byte aligned memory that lives until the child is gone or has execed, `entry` makes only
/// async-signal-safe calls, and all signals are blocked, as the child shares this memory.
#[cfg(target_arch = "x86_64")]
pub(super) unsafe fn clone3(args: &CloneArgs, entry: Entry, argument: *mut libc::c_void) -> io::Result<i32> {
    let result: i64;
    // SAFETY: the child has nothing of this frame but the registers: it calls `entry` on its own stack.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r9",
            "call r8",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 => result,
            in("rdi") std::ptr::from_ref(args),
            in("rsi") size_of::<CloneArgs>(),
            in("r8") entry,
            in("r9") argument,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    finish(result)
}

/// Clones, as on x86-64.
///
/// # Safety
/// As above.
#[cfg(target_arch = "aarch64")]
pub(super) unsafe fn clone3(args: &CloneArgs, entry: Entry, argument: *mut libc::c_void) -> io::Result<i32> {
    let result: i64;
    // SAFETY: as above.
    unsafe {
        std::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x10",
            "blr x9",
            "brk 1",
            "2:",
            inlateout("x0") std::ptr::from_ref(args) => result,
            in("x1") size_of::<CloneArgs>(),
            in("x8") libc::SYS_clone3,
            in("x9") entry,
            in("x10") argument,
        );
    }
    finish(result)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("clone3 wants its two instructions for this processor: see supervisor/src/os/linux/clone.rs");

fn finish(result: i64) -> io::Result<i32> {
    if result < 0 {
        return Err(io::Error::from_raw_os_error(i32::try_from(-result).unwrap_or(libc::EINVAL)));
    }
    Ok(i32::try_from(result).expect("a pid fits"))
}
