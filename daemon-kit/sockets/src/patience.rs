//! Looks at other processes that may never answer.
//!
//! A read of `/proc/PID/environ` or `cmdline` waits for locks that the threads of that process can hold without a break,
//! and a look at its open files for the file system that they are on. So such looks are taken by other threads: one for
//! each user whose processes are looked at, so that a user delays only looks at its own. What does not answer in time is
//! left alone, and a process that still holds a thread up is not looked at again: stuck threads do not add up.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// How often it is seen whether a thread has answered.
const TICK: Duration = Duration::from_millis(5);
/// Silence of a user's processes in all, in multiples of the patience with one of them.
const IN_ALL: u32 = 5;
/// Threads that a user may hold up by one call, and in all.
const EACH: usize = 2;
const EACH_IN_ALL: usize = 4;

/// The threads that are held up: the process that does so, and its user.
static STUCK: Mutex<BTreeMap<u64, (u32, Option<u32>)>> = Mutex::new(BTreeMap::new());

/// What a look at several processes has found.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen<T> {
    /// The results, in no order.
    pub found: Vec<T>,
    /// The processes that did not answer.
    pub silent: Vec<u32>,
}

/// The processes that a thread still has to look at.
#[derive(Debug, Default)]
struct Work {
    left: VecDeque<u32>,
    current: Option<u32>,
    /// The number of this thread among those that are held up.
    abandoned: Option<u64>,
}

/// Looks at a process. `None` if it does not answer in time.
pub fn within<T: Send + 'static>(
    pid: u32,
    patience: Duration,
    look: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let look = Mutex::new(Some(look));
    let once = move |_| locked(&look).take().map(|look| look());
    each_within([pid], patience, once).found.into_iter().flatten().next()
}

/// Looks at several processes. Each may be silent for this long; those of one user for five times as long in all.
pub fn each_within<T: Send + 'static>(
    pids: impl IntoIterator<Item = u32>,
    patience: Duration,
    look: impl Fn(u32) -> T + Send + Sync + 'static,
) -> Seen<T> {
    let mut users: BTreeMap<Option<u32>, Vec<u32>> = BTreeMap::new();
    for pid in pids {
        users.entry(user(pid)).or_default().push(pid);
    }
    let look = Arc::new(look);
    let look_at = |(user, pids): (Option<u32>, Vec<u32>)| look_at(user, pids, patience, &look);
    let mut users = users.into_iter();
    // The last user's processes need no further thread that waits.
    let last = users.next_back();
    let all: Vec<Seen<T>> = thread::scope(|scope| {
        let others: Vec<_> = users.map(|user| scope.spawn(|| look_at(user))).collect();
        let last = last.map(look_at);
        others.into_iter().filter_map(|other| other.join().ok()).chain(last).collect()
    });
    let mut seen = Seen { found: Vec::new(), silent: Vec::new() };
    for of_user in all {
        seen.found.extend(of_user.found);
        seen.silent.extend(of_user.silent);
    }
    seen
}

/// Looks at the processes of one user, which may hold up a few threads.
fn look_at<T: Send + 'static>(
    user: Option<u32>,
    pids: Vec<u32>,
    patience: Duration,
    look: &Arc<impl Fn(u32) -> T + Send + Sync + 'static>,
) -> Seen<T> {
    let mut seen = Seen { found: Vec::new(), silent: Vec::new() };
    let (stuck, mut left): (Vec<u32>, VecDeque<u32>) = {
        let held_up = locked(&STUCK);
        if held_up.values().filter(|(_, of)| *of == user).count() >= EACH_IN_ALL {
            return Seen { found: Vec::new(), silent: pids };
        }
        let is_stuck = |pid: &u32| held_up.values().any(|(by, _)| by == pid);
        let (stuck, left): (Vec<u32>, Vec<u32>) = pids.into_iter().partition(is_stuck);
        (stuck, left.into())
    };
    seen.silent.extend(stuck);
    let mut in_all = patience * IN_ALL;
    for _ in 0..EACH {
        if left.is_empty() || in_all.is_zero() {
            break;
        }
        let work = Arc::new(Mutex::new(Work { left: std::mem::take(&mut left), ..Work::default() }));
        let (tell, answers) = channel();
        let (its, look) = (Arc::clone(&work), Arc::clone(look));
        let run = move || {
            while let Some(pid) = next(&its) {
                // Fails only if nobody waits any more; then there is nothing left to do either.
                let _ = tell.send(look(pid));
            }
        };
        if thread::Builder::new().name("look".into()).spawn(run).is_err() {
            // Without a thread to spare nothing can be looked at.
            left = std::mem::take(&mut locked(&work).left);
            break;
        }
        wait(&answers, patience, &mut in_all, &mut seen.found);
        left = abandon(&work, user, &mut seen.silent);
    }
    seen.silent.extend(left);
    seen
}

/// Takes the next process of a thread. Ends the thread if it was abandoned.
fn next(work: &Mutex<Work>) -> Option<u32> {
    let mut work = locked(work);
    if let Some(number) = work.abandoned {
        locked(&STUCK).remove(&number);
        return None;
    }
    work.current = work.left.pop_front();
    work.current
}

/// Collects answers until there are no more, or none comes.
fn wait<T>(answers: &Receiver<T>, patience: Duration, in_all: &mut Duration, found: &mut Vec<T>) {
    let mut silence = Duration::ZERO;
    while silence < patience && !in_all.is_zero() {
        match answers.recv_timeout(TICK) {
            Ok(answer) => {
                found.push(answer);
                silence = Duration::ZERO;
            }
            Err(RecvTimeoutError::Timeout) => {
                silence += TICK;
                *in_all = in_all.saturating_sub(TICK);
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Leaves a thread alone that has not answered. Returns what it was still to look at.
fn abandon(work: &Mutex<Work>, user: Option<u32>, silent: &mut Vec<u32>) -> VecDeque<u32> {
    let mut work = locked(work);
    if let Some(pid) = work.current.take() {
        let mut stuck = locked(&STUCK);
        let number = stuck.last_key_value().map_or(0, |(last, _)| last + 1);
        stuck.insert(number, (pid, user));
        work.abandoned = Some(number);
        silent.push(pid);
    }
    std::mem::take(&mut work.left)
}

/// Returns the user that started a process. Its folder in `/proc` may belong to root in any case.
#[cfg(target_os = "linux")]
fn user(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    users.split_whitespace().next()?.parse().ok()
}

#[cfg(not(target_os = "linux"))]
fn user(_: u32) -> Option<u32> {
    None
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(50);

    /// Pids that no process has: they belong to nobody.
    const NOBODY: u32 = 1 << 30;

    #[test]
    fn what_never_answers_is_left_alone_and_threads_do_not_add_up() {
        let me = std::process::id();
        let (held, released) = channel::<()>();
        let released = Arc::new(Mutex::new(released));
        let look = move |pid: u32| {
            if (NOBODY..NOBODY + 9).contains(&pid) {
                let _ = locked(&released).recv();
            }
            pid
        };
        let look = Arc::new(look);
        let each = |pids: Vec<u32>| {
            let look = Arc::clone(&look);
            let mut seen = each_within(pids, PATIENCE, move |pid| look(pid));
            seen.found.sort_unstable();
            seen
        };
        let seen = each(vec![NOBODY + 10, NOBODY, NOBODY + 11, me]);
        assert_eq!((seen.found, seen.silent), (vec![me, NOBODY + 10, NOBODY + 11], vec![NOBODY]));
        // It is not looked at a second time, and the others are.
        let seen = each(vec![NOBODY, NOBODY + 11]);
        assert_eq!((seen.found, seen.silent), (vec![NOBODY + 11], vec![NOBODY]));
        for pid in 1..9 {
            assert_eq!(each(vec![NOBODY + pid]).found, [0; 0]);
        }
        assert_eq!(locked(&STUCK).len(), EACH_IN_ALL);
        assert_eq!(each(vec![NOBODY + 11, me]).found, [me], "nobody's wait, and others do not");
        assert_eq!(within(me, PATIENCE, || 7), Some(7));
        drop(held);
        while !locked(&STUCK).is_empty() {
            thread::yield_now();
        }
        assert_eq!(each(vec![NOBODY, NOBODY + 1]).found, [NOBODY, NOBODY + 1], "they answer again");
    }
}
