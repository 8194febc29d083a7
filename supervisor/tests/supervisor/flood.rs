//! A writer that floods is not waited for; nothing it or anybody else writes is missed for that. A service that holds up
//! its own pipe holds up no other's.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime};

use supervisor::logs::{Key, Logs, RotationPolicy, Shared, Which};
use supervisor::os;
use supervisor::os::pipe::Output;

const CEILING: Duration = Duration::from_secs(30);
const LINE: &[u8] =
    b"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789";

/// One output that is kept, and its writer's end.
struct Kept {
    key: Key,
    log: PathBuf,
    writer: File,
}

fn keep(logs: &Logs, folder: &Path, name: &str) -> Kept {
    let key = Key { service: name.parse().expect("a name"), which: Which::Out };
    let (fifo, log) = (folder.join(name), folder.join(format!("{name}.out.log")));
    let (output, end) = Output::make(&fifo, None).expect("a FIFO");
    let writer = File::from(end.hand_out().expect("a copy"));
    let keep = RotationPolicy { path: log.clone(), max_size: u64::MAX, keep: 1, compress: false };
    logs.open(key.clone(), output, keep, Arc::new(Shared::default()), true);
    Kept { key, log, writer }
}

impl Kept {
    fn flood(&mut self, lines: usize) {
        for _ in 0..lines {
            self.writer.write_all(LINE).expect("written");
        }
    }

    #[track_caller]
    fn has(&self, bytes: usize) {
        let began = os::now();
        loop {
            let there = fs::metadata(&self.log).map_or(0, |meta| meta.len());
            if there == bytes as u64 {
                return;
            }
            assert!(
                os::now().since(began) < CEILING,
                "{there} of {bytes} bytes are in {}",
                self.log.display()
            );
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    fn settle(&self, logs: &Logs) {
        let (done, settled) = mpsc::channel();
        logs.last_lines(self.key.clone(), SystemTime::now(), move |_| done.send(()).expect("awaited"));
        settled.recv_timeout(CEILING).expect("settled");
    }
}

#[test]
fn what_comes_during_a_flood_and_after_it_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let logs = Logs::start(|_| {}).expect("started");
    let (mut loud, mut calm) = (keep(&logs, folder.path(), "loud"), keep(&logs, folder.path(), "calm"));
    let (mut bytes, mut calm_bytes) = (0, 0);
    for round in 1..=5 {
        loud.flood(20_000);
        bytes += 20_000 * LINE.len();
        calm.flood(1);
        calm_bytes += LINE.len();
        calm.has(calm_bytes);
        // Runs end while it floods: what they said is moved at once, and that is little each time.
        for _ in 0..20 {
            loud.flood(1);
            bytes += LINE.len();
            loud.settle(&logs);
        }
        loud.has(bytes);
        // Long enough for a flood to be over, and not.
        std::thread::park_timeout(Duration::from_millis(round * 5));
        loud.flood(1);
        bytes += LINE.len();
        loud.has(bytes);
    }
    logs.end(true);
}

#[test]
fn a_service_that_holds_up_its_own_pipe_holds_up_no_other() {
    use std::os::unix::net::UnixStream;
    let folder = tempfile::tempdir().expect("a folder");
    let logs = Logs::start(|_| {}).expect("started");
    let (bad, mut good) = (keep(&logs, folder.path(), "bad"), keep(&logs, folder.path(), "good"));
    for round in 1..=2 {
        // While the socket is silent, this call holds the lock of the pipe.
        let (source, mut silent) = UnixStream::pair().expect("a pair");
        let out = bad.writer.try_clone().expect("a copy");
        let splicing = std::thread::spawn(move || {
            rustix::pipe::splice(&source, None, &out, None, LINE.len(), rustix::pipe::SpliceFlags::empty())
        });
        let began = os::now();
        while logs.stuck().is_none() {
            // Asks how much is in the pipe, and for that takes the lock.
            logs.last_lines(bad.key.clone(), SystemTime::now(), |_| ());
            assert!(os::now().since(began) < CEILING, "the thread is not stuck");
            std::thread::park_timeout(Duration::from_millis(10));
        }
        assert_eq!(logs.stuck().as_ref(), Some(&bad.key));
        good.flood(1);
        good.has(round * LINE.len());
        // What is asked meanwhile is done later.
        let (done, settled) = mpsc::channel();
        logs.last_lines(bad.key.clone(), SystemTime::now(), move |_| done.send(()).expect("awaited"));
        assert!(settled.recv_timeout(Duration::from_millis(50)).is_err());
        silent.write_all(LINE).expect("written");
        splicing.join().expect("it ends").expect("spliced");
        settled.recv_timeout(CEILING).expect("settled");
        bad.has(round * LINE.len());
        let began = os::now();
        while logs.stuck().is_some() {
            assert!(os::now().since(began) < CEILING, "the stream is not given back");
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
    logs.end(true);
}
