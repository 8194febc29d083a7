//! Looks at the processes of a run at the moment it is judged: what each thread does, and what they hold.
//!
//! | file | what it does |
//! |---|---|
//! | here | finds the processes, and reads their states twice |
//! | `dir` | a folder of `/proc` that cannot become another process's |
//! | `parse` | pure: what the files below `/proc` say |
//! | `sockets` | descriptors and sockets |
//!
//! Only processes of the run are read: the leader, whose start time is known, its descendants, and what is in the run's
//! cgroup. A service decides how many processes, threads and descriptors there are: each has a limit, and the time has
//! one. Nothing is read that takes the lock of a process's memory (`cmdline`, `environ`), which a process that hangs in
//! the kernel may hold for ever.

mod dir;
mod parse;
mod sockets;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::cgroup::Cgroup;
use super::proc::{self, Stat};
use crate::lifecycle::BootInstant;
use crate::os::examination::{
    Examination, MOST_PROCESSES, MOST_THREADS, ProcessFacts, RunState, ThreadFacts,
};
use crate::os::{Identity, now, pipe, signal};
use dir::Dir;

/// The time between the two looks at CPU times.
const BETWEEN: Duration = Duration::from_millis(100);

/// Bytes of a small file that are read.
const SMALL: u64 = 4096;

/// Threads of the leader whose stacks in the kernel are read.
const STACKS: usize = 16;

struct Walk<'a> {
    leader: Identity,
    cgroup: Option<&'a Cgroup>,
    until: BootInstant,
    known: BTreeSet<u32>,
    found: Vec<(Dir, ProcessFacts)>,
    threads: usize,
    left_out: BTreeSet<&'static str>,
}

/// Looks at the run that `leader` leads, until this time at the latest.
pub fn examine(leader: Identity, cgroup: Option<&Cgroup>, until: BootInstant) -> Examination {
    let began = now();
    let mut walk = Walk {
        leader,
        cgroup,
        until,
        known: BTreeSet::new(),
        found: Vec::new(),
        threads: 0,
        left_out: BTreeSet::new(),
    };
    walk.find();
    let mut examination = Examination::default();
    sockets::look(&mut walk, &mut examination);
    walk.stacks();
    let can_move = |process: &ProcessFacts| {
        !matches!(process.state, RunState::Stopped | RunState::Traced | RunState::Dead)
    };
    if walk.found.iter().any(|(_, process)| can_move(process)) && !walk.is_late() {
        let rest = BETWEEN.saturating_sub(now().since(began)).min(until.since(now()));
        pipe::pause(rest);
        examination.between = walk.look_again(began);
    } else {
        let threads = walk.found.iter_mut().flat_map(|(_, process)| &mut process.threads);
        threads.for_each(|thread| thread.used = None);
    }
    examination.left_out = walk.left_out.into_iter().collect();
    examination.processes = walk.found.into_iter().map(|(_, process)| process).collect();
    examination
}

impl Walk<'_> {
    /// Returns whether the time is over, which is noted.
    fn is_late(&mut self) -> bool {
        let late = now() >= self.until;
        if late {
            self.left_out.insert("the time was over before everything was looked at");
        }
        late
    }

    fn find(&mut self) {
        let mut next = VecDeque::from([self.leader.pid]);
        let mut rest = self.cgroup.map(Cgroup::pids).unwrap_or_default().into_iter();
        while let Some(pid) = next.pop_front().or_else(|| rest.next()) {
            if self.known.contains(&pid) {
                continue;
            }
            if self.found.len() == MOST_PROCESSES {
                self.left_out.insert("there are more processes than are looked at");
                return;
            }
            if self.is_late() {
                return;
            }
            if let Some((dir, process, children)) = self.process(pid) {
                self.known.insert(pid);
                self.found.push((dir, process));
                next.extend(children);
            }
        }
    }

    /// Looks at a process, if it belongs to the run; also returns its children.
    fn process(&mut self, pid: u32) -> Option<(Dir, ProcessFacts, Vec<u32>)> {
        let dir = Dir::of(pid).ok()?;
        let (stat, name) = stat(&dir, "stat")?;
        if !self.is_of_the_run(pid, &dir, &stat) {
            return None;
        }
        let state = parse::state(stat.state());
        let stopped = matches!(state, RunState::Stopped);
        let mut process = ProcessFacts {
            pid,
            parent: stat.parent,
            name,
            state,
            thread_count: stat.threads,
            stopped_by: if stopped { stop_signal(pid, &stat) } else { None },
            cpu: ticks(stat.ticks()),
            memory: stat.memory(),
            ..ProcessFacts::default()
        };
        let children = self.threads(&dir, &mut process);
        Some((dir, process, children))
    }

    /// Whether a process belongs to the run. It is held open, so that the answer stays true.
    fn is_of_the_run(&self, pid: u32, dir: &Dir, stat: &Stat) -> bool {
        if pid == self.leader.pid {
            return stat.start == self.leader.start;
        }
        // Read again after the question: then the pid was this process's all the time.
        self.known.contains(&stat.parent)
            || self.cgroup.is_some_and(|cgroup| cgroup.has(pid)) && self::stat(dir, "stat").is_some()
    }

    /// Looks at the threads of a process. Returns the children that they have started.
    fn threads(&mut self, dir: &Dir, process: &mut ProcessFacts) -> Vec<u32> {
        let mut children = Vec::new();
        let Ok(tasks) = dir.below("task") else { return children };
        let Ok(ids) = tasks.numbers() else { return children };
        for id in ids {
            if self.threads == MOST_THREADS {
                self.left_out.insert("there are more threads than are looked at");
                break;
            }
            if self.is_late() {
                break;
            }
            let read = |what: &str| tasks.read(&format!("{id}/{what}"), SMALL).unwrap_or_default();
            let Some((stat, name)) = stat(&tasks, &format!("{id}/stat")) else { continue };
            self.threads += 1;
            let text = read("children");
            let text = String::from_utf8_lossy(&text);
            children.extend(text.split_ascii_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            process.threads.push(ThreadFacts {
                id,
                name,
                state: parse::state(stat.state()),
                call: parse::call(&read("syscall")),
                place: parse::place(&read("wchan")),
                stack: Vec::new(),
                // Set to the time between by the second look.
                used: Some(ticks(stat.ticks())),
            });
        }
        children
    }

    fn stacks(&mut self) {
        if self.is_late() {
            return;
        }
        if let Some((dir, leader)) = self.found.first_mut() {
            for thread in leader.threads.iter_mut().take(STACKS) {
                let text = dir.read(&format!("task/{}/stack", thread.id), SMALL);
                thread.stack = parse::stack(&text.unwrap_or_default());
            }
        }
    }

    /// Looks again at the CPU times. Returns the time between the looks.
    fn look_again(&mut self, began: BootInstant) -> Duration {
        let between = now().since(began);
        for (dir, process) in &mut self.found {
            let before = process.cpu;
            process.used = stat(dir, "stat").map(|(stat, _)| ticks(stat.ticks()).saturating_sub(before));
            for thread in &mut process.threads {
                let late = now() >= self.until;
                let again = if late { None } else { stat(dir, &format!("task/{}/stat", thread.id)) };
                let before = thread.used.unwrap_or_default();
                thread.used = again.map(|(stat, _)| ticks(stat.ticks()).saturating_sub(before));
            }
        }
        between
    }
}

fn stat(dir: &Dir, path: &str) -> Option<(Stat, String)> {
    let text = dir.read(path, SMALL).ok()?;
    Some((proc::parse_stat(&text)?, parse::name(&text)))
}

fn ticks(ticks: u64) -> Duration {
    let a_second = rustix::param::clock_ticks_per_second();
    Duration::from_millis(ticks.saturating_mul(1000) / a_second.max(1))
}

/// Returns the signal that has stopped a process: as its parent learns it, or as the kernel shows it since Linux 5.18.
fn stop_signal(pid: u32, stat: &Stat) -> Option<String> {
    let number = waited(pid).or(stat.status).filter(|number| (1..=64).contains(number))?;
    Some(signal::name(number))
}

fn waited(pid: u32) -> Option<i32> {
    // SAFETY: the kernel fills the structure; both fields are valid for what `waitid` returns. The state stays as it is.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let options = libc::WSTOPPED | libc::WNOHANG | libc::WNOWAIT;
        let done = libc::waitid(libc::P_PID, pid, &raw mut info, options) == 0 && info.si_pid() != 0;
        done.then(|| info.si_status())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::{Identity, now};

    #[expect(clippy::disallowed_methods, reason = "a process that nobody supervises is looked at")]
    fn sleeper() -> std::process::Child {
        use std::os::unix::process::CommandExt as _;
        let mut command = std::process::Command::new("sh");
        // A group of its own: SIGTSTP stops nothing in one that is orphaned, as the test's own may be.
        command.args(["-c", "sleep 100 & sleep 100"]).process_group(0).spawn().expect("it starts")
    }

    fn look(pid: u32, start: u64) -> Examination {
        examine(Identity { pid, start }, None, now() + Duration::from_millis(250))
    }

    #[test]
    fn what_a_tree_does_is_seen_and_another_process_with_its_pid_is_not_looked_at() {
        let mut child = sleeper();
        let pid = child.id();
        let start = proc::start_time(pid).expect("it runs");
        let family = (0..10_000).map(|_| look(pid, start)).find(|seen| {
            let asleep = |process: &ProcessFacts| process.name == "sleep";
            seen.processes[0].state == RunState::Sleeping
                && seen.processes.iter().filter(|process| asleep(process)).count() == 2
        });
        let family = family.expect("its children are found");
        let leader = &family.processes[0];
        assert_eq!((leader.pid, leader.name.as_str(), leader.thread_count), (pid, "sh", 1));
        assert_eq!((leader.state, leader.threads.len()), (RunState::Sleeping, 1));
        assert_eq!((leader.used, family.between >= BETWEEN), (Some(Duration::ZERO), true));
        assert!(leader.descriptors.is_some_and(|files| files.open >= 3 && !files.more), "{leader:?}");
        assert!(family.processes[1..].iter().all(|process| process.parent == pid));
        assert_eq!(look(pid, start + 1).processes, [], "another process");
        child.kill().expect("it is ours");
        let dead =
            (0..10_000).map(|_| look(pid, start)).find(|seen| seen.processes[0].state == RunState::Dead);
        assert!(dead.is_some_and(|dead| dead.between.is_zero()), "nothing of it can move");
        child.wait().expect("it is ours");
        for process in &family.processes[1..] {
            crate::os::unix::tree::kill(process.pid);
        }
    }

    #[test]
    fn a_stopped_process_says_by_which_signal() {
        let mut child = sleeper();
        let pid = child.id();
        let start = proc::start_time(pid).expect("it runs");
        let id = crate::os::unix::pid(pid).expect("a pid");
        rustix::process::kill_process(id, rustix::process::Signal::TSTP).expect("it is ours");
        let seen = (0..10_000)
            .map(|_| look(pid, start))
            .find(|seen| seen.processes.first().is_some_and(|process| process.state == RunState::Stopped));
        let leader = &seen.expect("it stops").processes[0];
        assert_eq!(leader.stopped_by.as_deref(), Some("SIGTSTP"));
        assert_eq!(leader.threads[0].state, RunState::Stopped);
        for process in proc::descendants(pid) {
            crate::os::unix::tree::kill(process);
        }
        child.wait().expect("it is ours");
    }

    #[test]
    fn however_much_there_is_the_time_and_the_number_are_bounded() {
        let me = std::process::id();
        let start = proc::start_time(me).expect("we run");
        let (stop, wait) = (std::sync::Arc::new(std::sync::Mutex::new(())), 700);
        let held = stop.lock().expect("free");
        let threads: Vec<_> = (0..wait)
            .map(|_| {
                let stop = std::sync::Arc::clone(&stop);
                std::thread::spawn(move || drop(stop.lock()))
            })
            .collect();
        let began = now();
        let seen = examine(Identity { pid: me, start }, None, now() + Duration::from_secs(9));
        assert!(now().since(began) < Duration::from_secs(5));
        assert_eq!(seen.processes[0].threads.len(), MOST_THREADS);
        assert!(seen.processes[0].thread_count > MOST_THREADS as u64);
        assert!(seen.left_out.contains(&"there are more threads than are looked at"), "{:?}", seen.left_out);
        let waits = |thread: &&ThreadFacts| thread.call == Some("futex");
        assert!(seen.processes[0].threads.iter().filter(waits).count() > 100);
        let late = examine(Identity { pid: me, start }, None, now());
        assert_eq!((late.processes.len(), late.left_out.len()), (0, 1));
        drop(held);
        for thread in threads {
            thread.join().expect("it ends");
        }
    }
}
