//! Pure: the whole evidence as text for people. What a service can choose (names, paths, output) has no characters in it
//! that control a terminal.

use std::fmt::Write as _;

use super::Subject;
use super::telling::{size, thousands};
use crate::lifecycle::arbiter::took;
use crate::os::examination::{Examination, ProcessFacts, RunState, ThreadFacts};

/// The longest name, and the longest line, in characters.
const LONGEST_NAME: usize = 64;
const LONGEST_LINE: usize = 512;

/// Returns the lines that say what the evidence is about.
pub fn head(subject: &Subject, telling: &str) -> String {
    format!("{} (incarnation {}): {telling}\n", subject.service, subject.incarnation)
}

/// Returns the rest: processes, sockets, the end of its outputs.
pub fn body(seen: &Examination, outputs: &[(&str, Vec<u8>)]) -> String {
    let mut text = String::new();
    for process in &seen.processes {
        let _ = write!(text, "\n{}", of_process(process, seen));
    }
    if seen.socket_count > 0 {
        let shown = seen.sockets.len();
        let _ = writeln!(text, "\n{} sockets, the oldest {shown}:", thousands(seen.socket_count as u64));
        for socket in &seen.sockets {
            let _ = write!(text, "  {} of pid {}: {}", socket.descriptor, socket.pid, socket.kind);
            for (word, address) in [("", &socket.local), ("to ", &socket.peer)] {
                if !address.is_empty() {
                    let _ = write!(text, " {word}{}", clean_line(address));
                }
            }
            text.push('\n');
        }
    }
    for queue in &seen.queues {
        let _ = writeln!(text, "listens on {}: {} wait to be accepted", queue.address, queue.waiting);
    }
    for left_out in &seen.left_out {
        let _ = writeln!(text, "\nnot all of it: {left_out}");
    }
    for (name, bytes) in outputs {
        text.push_str(&section(&format!("end of {name}"), bytes));
    }
    text
}

fn of_process(process: &ProcessFacts, seen: &Examination) -> String {
    let name = clean_name(&process.name);
    let mut text = format!("pid {} ({name}), child of pid {}: ", process.pid, process.parent);
    let threads = match process.thread_count {
        0 => String::new(),
        1 => "1 thread, ".into(),
        count => format!("{} threads, ", thousands(count)),
    };
    let state = match (process.state, &process.stopped_by) {
        (RunState::Stopped, Some(signal)) => format!("stopped by {signal}, "),
        (RunState::Unknown, _) => String::new(),
        (state, _) => format!("{}, ", word(state)),
    };
    let _ = write!(text, "{threads}{state}{}, {} CPU", size(process.memory), took(process.cpu));
    if let Some(used) = process.used {
        let _ = write!(text, ", {} ms of it in the last {} ms", used.as_millis(), seen.between.as_millis());
    }
    if let Some(files) = process.descriptors {
        let more = if files.more { "more than " } else { "" };
        let limit = files.limit.map_or("any number".into(), thousands);
        let _ = write!(text, ", {more}{} of {limit} descriptors", thousands(files.open));
    }
    text.push('\n');
    for thread in &process.threads {
        text.push_str(&of_thread(thread));
    }
    text
}

fn of_thread(thread: &ThreadFacts) -> String {
    let mut text = format!("  thread {} ({}): {}", thread.id, clean_name(&thread.name), word(thread.state));
    if let Some(call) = thread.call {
        let _ = write!(text, " in {call}");
    }
    if let Some(place) = &thread.place {
        let _ = write!(text, " at {}", clean_name(place));
    }
    if let Some(used) = thread.used.filter(|used| !used.is_zero()) {
        let _ = write!(text, ", {} ms CPU", used.as_millis());
    }
    text.push('\n');
    for function in &thread.stack {
        let _ = writeln!(text, "    {}", clean_line(function));
    }
    text
}

fn word(state: RunState) -> &'static str {
    match state {
        RunState::Running => "running",
        RunState::Sleeping => "sleeping",
        RunState::Blocked => "waiting inside the kernel (D)",
        RunState::Stopped => "stopped by a signal",
        RunState::Traced => "stopped by a debugger",
        RunState::Dead => "dead, not reaped",
        RunState::Unknown => "alive",
    }
}

/// Returns text of others below a title; empty if there is none.
pub fn section(title: &str, bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<String> = text.lines().map(clean_line).collect();
    if lines.iter().all(|line| line.trim().is_empty()) {
        return String::new();
    }
    lines
        .iter()
        .fold(format!("\n{}:\n", clean_line(title)), |text, line| text + "  " + line.trim_end() + "\n")
}

/// Returns a name that a process gave itself, in one word of bounded length.
pub fn clean_name(name: &str) -> String {
    name.trim().chars().map(proto::text::printable).take(LONGEST_NAME).collect()
}

fn clean_line(line: &str) -> String {
    line.chars().map(proto::text::printable).take(LONGEST_LINE).collect()
}

#[cfg(test)]
pub(super) mod testing {
    use std::time::Duration;

    use super::*;

    /// A thread that waits in `futex`.
    pub(in crate::evidence) fn thread(id: u32) -> ThreadFacts {
        ThreadFacts {
            id,
            name: "python3".into(),
            state: RunState::Sleeping,
            call: Some("futex"),
            place: Some("futex_wait_queue".into()),
            stack: Vec::new(),
            used: Some(Duration::ZERO),
        }
    }

    /// A process with that thread.
    pub(in crate::evidence) fn process(pid: u32) -> ProcessFacts {
        ProcessFacts {
            pid,
            parent: 1,
            name: "python3".into(),
            state: RunState::Sleeping,
            thread_count: 1,
            threads: vec![thread(pid)],
            cpu: Duration::from_millis(1_234),
            used: Some(Duration::ZERO),
            memory: 1_500_000,
            ..ProcessFacts::default()
        }
    }

    pub(in crate::evidence) fn run<const N: usize>(processes: [ProcessFacts; N]) -> Examination {
        Examination {
            processes: processes.into(),
            between: Duration::from_millis(100),
            ..Examination::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{process, run};
    use super::*;
    use crate::os::examination::{Descriptors, QueueFacts, SocketFacts};

    #[test]
    fn all_that_was_seen_is_there() {
        let mut seen = run([process(812)]);
        seen.processes[0].descriptors = Some(Descriptors { open: 12, more: false, limit: Some(20_000) });
        seen.processes[0].threads[0].stack = vec!["futex_wait+0x17/0x30".into()];
        seen.socket_count = 12;
        seen.sockets = vec![SocketFacts {
            pid: 812,
            descriptor: 7,
            kind: "tcp",
            local: "127.0.0.1:8000".into(),
            peer: "127.0.0.1:5432".into(),
        }];
        seen.queues = vec![QueueFacts { address: "127.0.0.1:8000".into(), waiting: 3 }];
        seen.left_out = vec!["there are more threads than are looked at"];
        let outputs = [("stdout", b"ready\nserving\n".to_vec()), ("stderr", b"\n".to_vec())];
        assert_eq!(
            body(&seen, &outputs),
            "
pid 812 (python3), child of pid 1: 1 thread, sleeping, 1 MB, 1.2 s CPU, 0 ms of it in the last 100 ms, 12 of 20,000 descriptors
  thread 812 (python3): sleeping in futex at futex_wait_queue
    futex_wait+0x17/0x30

12 sockets, the oldest 1:
  7 of pid 812: tcp 127.0.0.1:8000 to 127.0.0.1:5432
listens on 127.0.0.1:8000: 3 wait to be accepted

not all of it: there are more threads than are looked at

end of stdout:
  ready
  serving
"
        );
    }

    #[test]
    fn nothing_that_a_service_chose_moves_a_terminal_or_is_long() {
        let mut hostile = process(812);
        hostile.name = format!("\x1b[2J{}", "x".repeat(10_000));
        hostile.threads[0].name = "a\nb\u{202e}".into();
        let text =
            body(&run([hostile]), &[("stderr", [b"\x1b]0;hi\x07".as_slice(), &[b'y'; 9_000]].concat())]);
        assert!(text.chars().all(|c| c == '\n' || proto::text::printable(c) == c), "{text}");
        assert!(text.len() < 1_500, "{}", text.len());
        assert!(text.contains("(a b )"), "{text}");
    }
}
