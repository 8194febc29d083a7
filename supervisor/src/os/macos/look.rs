//! What a process uses, and whether it is stuck.

use std::sync::OnceLock;
use std::time::Duration;

use super::proc;
use crate::os::examination::{ProcessFacts, RunState};

/// Returns CPU time in nanoseconds, and memory in bytes as the Activity Monitor counts it: what would be free without
/// the process.
pub(in crate::os) fn used(pid: u32) -> Option<(u64, u64)> {
    let number = i32::try_from(pid).ok()?;
    // SAFETY: plain numbers, filled by the call according to this version of the structure.
    let info = unsafe {
        let mut info: libc::rusage_info_v0 = std::mem::zeroed();
        let room: *mut libc::rusage_info_t = (&raw mut info).cast();
        if libc::proc_pid_rusage(number, libc::RUSAGE_INFO_V0, room) != 0 {
            return None;
        }
        info
    };
    Some((nanoseconds(info.ri_user_time + info.ri_system_time), info.ri_phys_footprint))
}

unsafe extern "C" {
    // libc has it too, but marks it as deprecated in favour of another crate.
    fn mach_timebase_info(numerator_and_denominator: *mut u32) -> libc::c_int;
}

/// Converts from the kernel's unit of time: 1 ns on Intel, 125/3 ns on Apple's own processors.
fn nanoseconds(time: u64) -> u64 {
    static UNIT: OnceLock<(u64, u64)> = OnceLock::new();
    let (of, by) = *UNIT.get_or_init(|| {
        let mut unit = [0_u32; 2];
        // SAFETY: two numbers, filled by the call.
        unsafe { mach_timebase_info(unit.as_mut_ptr()) };
        let [of, by] = unit.map(|number| u64::from(number.max(1)));
        (of, by)
    });
    u64::try_from(u128::from(time) * u128::from(of) / u128::from(by)).unwrap_or(u64::MAX)
}

/// Returns CPU time in seconds and memory in bytes of a set of processes.
pub fn usage_of(pids: &[u32]) -> (f64, u64) {
    #[expect(clippy::cast_precision_loss, reason = "the CPU time of a process is far below 2^52 nanoseconds")]
    let seconds = |time: u64| time as f64 / 1e9;
    pids.iter()
        .filter_map(|pid| used(*pid))
        .fold((0.0, 0), |(cpu, memory), (time, bytes)| (cpu + seconds(time), memory + bytes))
}

/// Returns when a process started, and what is known of it.
pub(in crate::os) fn facts_of(pid: u32) -> Option<(u64, ProcessFacts)> {
    let facts = proc::facts(pid)?;
    let (cpu, memory) = used(pid).unwrap_or_default();
    let state = match (facts.is_zombie, facts.is_stopped) {
        (true, _) => RunState::Dead,
        (_, true) => RunState::Stopped,
        _ => RunState::Unknown,
    };
    let (parent, name, cpu) = (facts.parent, facts.name, Duration::from_nanos(cpu));
    Some((facts.start, ProcessFacts { pid, parent, name, state, cpu, memory, ..ProcessFacts::default() }))
}

/// Returns the name of a stuck process, and its state in words.
pub(in crate::os) fn stuck_in(pid: u32) -> Option<(String, &'static str)> {
    let facts = proc::facts(pid)?;
    let meaning = match (facts.is_zombie, facts.is_stopped) {
        (true, _) => "Z (dead, waited for by nobody)",
        (_, true) => "T (stopped)",
        _ => return None,
    };
    Some((facts.name, meaning))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::look;

    #[test]
    fn sees_what_moves_and_what_is_held() {
        let me = std::process::id();
        assert!(usage_of(&[me]).1 > 0);
        let before = look(me, None, false);
        assert!(before.memory > 0 && before.stuck.is_empty());
        // CPU time changes `used` sooner or later.
        assert!((0..10_000_000_u64).any(|_| look(me, None, false).used != before.used));
    }
}
