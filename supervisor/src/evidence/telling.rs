//! Pure: the one line that tells most of what was seen.

use std::time::Duration;

use crate::lifecycle::arbiter::took;
use crate::os::examination::{Descriptors, Examination, ProcessFacts, RunState, ThreadFacts};

/// What is known besides the processes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known {
    /// Whether the run is ended because of its memory.
    pub for_memory: bool,
    /// For how long it has used no CPU time.
    pub idle: Option<Duration>,
}

/// Returns the line that tells most. What explains everything comes first: a process that is stopped or dead does
/// nothing, one without free descriptors accepts nobody, and only then it matters what the main thread waits for.
pub fn telling(seen: &Examination, known: Known) -> String {
    let Some(leader) = seen.processes.first() else { return "nothing of it could be looked at".into() };
    if leader.state == RunState::Dead && leader.thread_count <= 1 {
        return format!("pid {} has ended, and waits to be reaped", leader.pid);
    }
    let lines = [
        halted(seen),
        full(&seen.processes),
        known.for_memory.then(|| memory(&seen.processes)),
        blocked(&seen.processes),
    ];
    let line = lines.into_iter().flatten().next();
    let mut line = line.unwrap_or_else(|| format!("{}{}", main_thread(leader), cpu(seen, known)));
    if let Some(queue) =
        seen.queues.iter().max_by_key(|queue| queue.waiting).filter(|queue| queue.waiting > 0)
    {
        let waiting = match queue.waiting {
            1 => "1 connection waits".into(),
            count => format!("{} connections wait", thousands(count.into())),
        };
        line = format!("{line}, {waiting} on {}", queue.address);
    }
    line
}

/// Says that the leader, or all processes, are stopped by a signal or a debugger.
fn halted(seen: &Examination) -> Option<String> {
    let leader = seen.processes.first()?;
    let by = match leader.state {
        RunState::Stopped => format!("stopped by {}", leader.stopped_by.as_deref().unwrap_or("a signal")),
        RunState::Traced => "stopped by a debugger".into(),
        _ => return None,
    };
    let living = || seen.processes.iter().filter(|process| process.state != RunState::Dead);
    let all = living().all(|process| process.state == leader.state);
    let threads = |process: &ProcessFacts| process.thread_count.max(1);
    let count: u64 = if all { living().map(threads).sum() } else { threads(leader) };
    let whose = if all { String::new() } else { format!(" of pid {}", leader.pid) };
    let said = match count {
        1 => format!("its only thread{whose} {by}"),
        count => format!("all {} threads{whose} {by}", thousands(count)),
    };
    Some(said)
}

/// Says that a process has opened as many files as it may.
fn full(processes: &[ProcessFacts]) -> Option<String> {
    let is_full = |files: &Descriptors| {
        files.limit.is_some_and(|limit| files.open.saturating_mul(100) >= limit.saturating_mul(99))
    };
    let (at, process, files) = processes.iter().enumerate().find_map(|(at, process)| {
        let files = process.descriptors.filter(is_full)?;
        Some((at, process, files))
    })?;
    let whose = if at == 0 { String::new() } else { format!(" in pid {}", process.pid) };
    let most = thousands(files.limit.unwrap_or_default());
    Some(format!("{} of {most} descriptors open{whose}", thousands(files.open)))
}

/// Says which process has the memory.
fn memory(processes: &[ProcessFacts]) -> String {
    let all: u64 = processes.iter().map(|process| process.memory).sum();
    let Some(largest) = processes.iter().max_by_key(|process| process.memory) else { return size(all) };
    match processes.len() {
        1 => format!("{} of memory", size(all)),
        count => format!(
            "{} of memory in {count} processes, {} of it in pid {} ({})",
            size(all),
            size(largest.memory),
            largest.pid,
            super::text::clean_name(&largest.name)
        ),
    }
}

/// Says that threads wait inside the kernel, where no signal reaches them.
fn blocked(processes: &[ProcessFacts]) -> Option<String> {
    let threads = || processes.iter().flat_map(|process| &process.threads);
    let count = threads().filter(|thread| thread.state == RunState::Blocked).count();
    let first = threads().find(|thread| thread.state == RunState::Blocked)?;
    let place = place(first).map(|place| format!(" in {place}")).unwrap_or_default();
    let all = processes.iter().map(|process| process.thread_count).sum::<u64>();
    let wait = if count == 1 { "waits" } else { "wait" };
    Some(format!("{count} of {} threads {wait} inside the kernel{place} (state D)", thousands(all)))
}

/// Says what the leader's first thread does; where it has ended alone, what the others do.
fn main_thread(leader: &ProcessFacts) -> String {
    let main = leader.threads.iter().find(|thread| thread.id == leader.pid);
    let busy = leader.threads.iter().filter(|thread| thread.state == RunState::Running).count();
    match (main, main.map_or(leader.state, |main| main.state)) {
        (_, RunState::Running) => "main thread runs".into(),
        (Some(main), RunState::Sleeping) => {
            let waits = place(main).map_or("sleeps".into(), |place| format!("waits in {place}"));
            let others = if busy > 0 {
                format!(" while {busy} of {} run", leader.thread_count)
            } else {
                String::new()
            };
            format!("main thread {waits}{others}")
        }
        (_, RunState::Dead) => {
            format!("main thread has ended, {} others live", leader.thread_count.saturating_sub(1))
        }
        (_, RunState::Sleeping) => "main thread sleeps".into(),
        _ => format!("pid {} lives", leader.pid),
    }
}

/// Returns where a thread waits: the system call that people know, else the place in the kernel.
fn place(thread: &ThreadFacts) -> Option<String> {
    thread.call.map(ToString::to_string).or_else(|| thread.place.as_deref().map(super::text::clean_name))
}

/// Says how much CPU time all processes used, and in which time; nothing if that is not known.
fn cpu(seen: &Examination, known: Known) -> String {
    let used = seen.processes.iter().filter_map(|process| process.used);
    let used: Duration = used.sum();
    match known.idle {
        Some(idle) if used.is_zero() => format!(", 0 ms CPU in {}", took(idle + seen.between)),
        _ if seen.between.is_zero() => String::new(),
        _ => format!(", {} ms CPU in {} ms", used.as_millis(), seen.between.as_millis()),
    }
}

/// Formats a number with a comma between thousands.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Formats a size for people: `612 MB`.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes / 1_000),
        1_000_000..10_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{}.{} GB", bytes / 1_000_000_000, bytes / 100_000_000 % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::testing::{process, run, thread};
    use super::*;
    use crate::os::examination::QueueFacts;

    fn said(seen: &Examination) -> String {
        telling(seen, Known::default())
    }

    fn all_in(state: RunState, threads: u64) -> ProcessFacts {
        ProcessFacts { state, thread_count: threads, ..process(812) }
    }

    #[test]
    fn what_is_stopped_is_said_with_its_signal() {
        let stopped = ProcessFacts { stopped_by: Some("SIGSTOP".into()), ..all_in(RunState::Stopped, 4) };
        assert_eq!(said(&run([stopped.clone()])), "all 4 threads stopped by SIGSTOP");
        let dead = ProcessFacts { state: RunState::Dead, ..process(813) };
        assert_eq!(said(&run([stopped.clone(), dead])), "all 4 threads stopped by SIGSTOP");
        let other = all_in(RunState::Sleeping, 1);
        assert_eq!(said(&run([stopped.clone(), other])), "all 4 threads of pid 812 stopped by SIGSTOP");
        let child = all_in(RunState::Stopped, 1_000);
        assert_eq!(said(&run([stopped, child])), "all 1,004 threads stopped by SIGSTOP");
        assert_eq!(said(&run([all_in(RunState::Stopped, 1)])), "its only thread stopped by a signal");
        assert_eq!(said(&run([all_in(RunState::Traced, 2)])), "all 2 threads stopped by a debugger");
    }

    #[test]
    fn descriptors_that_are_used_up_are_said() {
        let files = |open, limit| Some(Descriptors { open, more: false, limit });
        let full = ProcessFacts { descriptors: files(1024, Some(1024)), ..process(812) };
        assert_eq!(said(&run([full.clone()])), "1,024 of 1,024 descriptors open");
        assert_eq!(said(&run([process(1), full])), "1,024 of 1,024 descriptors open in pid 812");
        for fine in [files(900, Some(1024)), files(900, None), None] {
            let line = said(&run([ProcessFacts { descriptors: fine, ..process(812) }]));
            assert!(!line.contains("descriptors"), "{line}");
        }
    }

    #[test]
    fn else_it_is_said_what_the_main_thread_waits_for_and_what_cpu_is_used() {
        let mut seen = run([process(812)]);
        assert_eq!(said(&seen), "main thread waits in futex, 0 ms CPU in 100 ms");
        let known = Known { idle: Some(Duration::from_millis(8_950)), ..Known::default() };
        assert_eq!(telling(&seen, known), "main thread waits in futex, 0 ms CPU in 9.1 s");
        let once = Examination { between: Duration::ZERO, ..seen.clone() };
        assert_eq!(said(&once), "main thread waits in futex", "it was looked at once");
        seen.processes[0].used = Some(Duration::from_millis(30));
        assert_eq!(telling(&seen, known), "main thread waits in futex, 30 ms CPU in 100 ms", "it has moved");
        seen.processes[0].threads.push(ThreadFacts { state: RunState::Running, ..thread(813) });
        seen.processes[0].thread_count = 2;
        assert_eq!(said(&seen), "main thread waits in futex while 1 of 2 run, 30 ms CPU in 100 ms");
        seen.processes[0].threads[0].call = None;
        seen.processes[0].threads[0].place = Some("odd\x1bplace".into());
        seen.processes[0].threads.truncate(1);
        assert_eq!(said(&seen), "main thread waits in odd place, 30 ms CPU in 100 ms");
        seen.processes[0].threads[0].state = RunState::Running;
        assert_eq!(said(&seen), "main thread runs, 30 ms CPU in 100 ms");
        seen.processes[0].state = RunState::Dead;
        seen.processes[0].thread_count = 3;
        seen.processes[0].threads.clear();
        assert_eq!(said(&seen), "main thread has ended, 2 others live, 30 ms CPU in 100 ms");
    }

    #[test]
    fn threads_in_the_kernel_and_connections_that_wait_are_said() {
        let mut seen = run([process(812)]);
        seen.queues = [("127.0.0.1:80", 0), ("127.0.0.1:8000", 129)]
            .map(|(address, waiting)| QueueFacts { address: address.into(), waiting })
            .to_vec();
        assert_eq!(
            said(&seen),
            "main thread waits in futex, 0 ms CPU in 100 ms, 129 connections wait on 127.0.0.1:8000"
        );
        seen.queues[1].waiting = 1;
        seen.processes[0].threads[0].state = RunState::Blocked;
        seen.processes[0].thread_count = 4;
        assert_eq!(
            said(&seen),
            "1 of 4 threads waits inside the kernel in futex (state D), 1 connection waits on 127.0.0.1:8000"
        );
    }

    #[test]
    fn memory_is_said_where_it_is_the_cause_and_nothing_where_nothing_was_seen() {
        let known = Known { for_memory: true, ..Known::default() };
        let large = ProcessFacts { memory: 612_300_000, name: "py\nthon".into(), ..process(813) };
        assert_eq!(telling(&run([large.clone()]), known), "612 MB of memory");
        let line = telling(&run([process(812), large]), known);
        assert_eq!(line, "613 MB of memory in 2 processes, 612 MB of it in pid 813 (py thon)");
        assert_eq!(said(&Examination::default()), "nothing of it could be looked at");
        let dead = ProcessFacts { state: RunState::Dead, thread_count: 1, ..process(812) };
        assert_eq!(said(&run([dead])), "pid 812 has ended, and waits to be reaped");
        assert_eq!([999, 1_000, 1_234_567].map(thousands), ["999", "1,000", "1,234,567"]);
        assert_eq!([5_000, 1_500_000, 16_250_000_000].map(size), ["5 kB", "1 MB", "16.2 GB"]);
    }
}
