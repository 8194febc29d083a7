//! The measurements, by what Linux says of processes.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measurement reads the clock, runs commands and prints"
)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const MANY: usize = 100;
const RESTARTS: usize = 200;

/// One of the measurements.
type Part = fn(&Bench);

pub(super) fn main() {
    let bench = Bench::new();
    println!("{:58} {:>10} {:>10} {:>7}", "", "sereno", "bare", "ratio");
    let parts: [(&str, Part); 4] = [
        ("restart", Bench::restart),
        ("many", Bench::many),
        ("storm", Bench::storm),
        ("flood", Bench::flood),
    ];
    let named: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    for (name, part) in parts {
        if named.is_empty() || named.iter().any(|wanted| wanted == name) {
            part(&bench);
        }
    }
}

struct Bench {
    folder: tempfile::TempDir,
    bare: PathBuf,
    binaries: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("sereno-bench-").tempdir_in("/tmp").expect("a folder");
        let bare = folder.path().join("bare");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/bare.c");
        let compiled = Command::new("cc").arg("-O2").arg("-o").arg(&bare).arg(source).status();
        assert!(compiled.is_ok_and(|status| status.success()), "a C compiler is needed");
        let binaries = Path::new(env!("CARGO_BIN_EXE_ctl")).parent().expect("a folder").to_path_buf();
        assert!(
            binaries.join("supervisor").is_file(),
            "build first: cargo build --release --workspace --bins"
        );
        Self { folder, bare, binaries }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn ctl(&self, args: &[&str]) -> Duration {
        let mut command = Command::new(self.binaries.join("ctl"));
        command.args(args).current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::null());
        let began = Instant::now();
        let status = command.stderr(Stdio::null()).status().expect("ctl runs");
        let took = began.elapsed();
        // `status` says by its code whether all is well; a storm is not.
        assert!(status.code() != Some(3), "ctl {args:?} found no supervisor");
        took
    }

    fn run_bare(&self, args: &[&str]) -> String {
        let output = Command::new(&self.bare).args(args).output().expect("bare runs");
        String::from_utf8(output.stdout).expect("text")
    }

    fn write(&self, services: &str) {
        fs::write(self.path("sereno.toml"), services).expect("written");
    }

    /// SIGKILL of a service → its new process in `main`.
    fn restart(&self) {
        let file = self.path("bare.stamps");
        let text = self.run_bare(&["restart", &RESTARTS.to_string(), &file.display().to_string()]);
        let bare: Vec<f64> = text.lines().map(|line| line.parse::<f64>().expect("ns") / 1e6).collect();
        for (name, cgroups) in [("with cgroups", true), ("without", false)] {
            let stamps = self.path(&format!("stamps-{cgroups}"));
            self.write(&format!(
                "[services.one]\ncommand = [\"{}\", \"stamp\", \"{}\"]\nrestart = {{ min_uptime = \"0s\" }}\n",
                self.bare.display(),
                stamps.display()
            ));
            if cgroups {
                self.ctl(&["up", "-d", "--wait"])
            } else {
                self.up_without_cgroups()
            };
            let mut times = Vec::new();
            for round in 0..RESTARTS {
                let (count, pid) = (round + 1, self.pid_of("stamp"));
                let _ = newest(&stamps, count);
                thread::park_timeout(Duration::from_millis(5));
                let began = monotonic();
                kill(pid);
                times.push((newest(&stamps, count + 1) - began) / 1e6);
            }
            self.ctl(&["down"]);
            row(
                &format!("SIGKILL -> new process in main, {name}, ms (median)"),
                median(&mut times),
                median(&mut bare.clone()),
            );
        }
    }

    fn up_without_cgroups(&self) -> Duration {
        let mut command = Command::new(self.binaries.join("ctl"));
        command.args(["up", "-d", "--wait"]).env("SERENO_CGROUP", "off").current_dir(self.folder.path());
        command.stdout(Stdio::null()).status().expect("ctl runs");
        Duration::ZERO
    }

    /// Start, stop, status and size of many services.
    fn many(&self) {
        let bare_file = self.path("bare.many");
        let (mut bare_start, mut bare_stop) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            let _ = fs::remove_file(&bare_file);
            let text = self.run_bare(&["many", &MANY.to_string(), &bare_file.display().to_string()]);
            let mut numbers = text.split_whitespace().map(|number| number.parse::<f64>().expect("ns") / 1e6);
            bare_start.push(numbers.next().expect("two"));
            bare_stop.push(numbers.next().expect("two"));
        }
        for (name, cgroups) in [("with cgroups", true), ("without", false)] {
            let mut file = String::from("[defaults]\nrestart = { min_uptime = \"0s\" }\n");
            for number in 0..MANY {
                let stamps = self.path("many.stamps");
                let _ = writeln!(
                    file,
                    "[services.s{number}]\ncommand = [\"{}\", \"stamp\", \"{}\"]",
                    self.bare.display(),
                    stamps.display()
                );
            }
            self.write(&file);
            if cgroups {
                self.ctl(&["up", "-d", "--wait"])
            } else {
                self.up_without_cgroups()
            };
            let (mut start, mut stop) = (Vec::new(), Vec::new());
            for _ in 0..5 {
                stop.push(self.ctl(&["stop", "--all"]).as_secs_f64() * 1e3);
                start.push(self.ctl(&["start", "--all"]).as_secs_f64() * 1e3);
            }
            row(
                &format!("start of {MANY}, command to all running, {name}, ms"),
                median(&mut start),
                median(&mut bare_start),
            );
            row(
                &format!("stop of {MANY}, verified gone, {name}, ms"),
                median(&mut stop),
                median(&mut bare_stop),
            );
            let mut status: Vec<f64> =
                (0..50).map(|_| self.ctl(&["status", "--json"]).as_secs_f64() * 1e3).collect();
            row(&format!("ctl status --json of {MANY}, {name}, ms"), median(&mut status), f64::NAN);
            if cgroups {
                self.size();
            }
            self.ctl(&["down"]);
        }
    }

    /// Memory, and wake-ups while nothing happens.
    fn size(&self) {
        let daemons: Vec<u32> =
            ["supervisor", "health-monitor", "port-monitor"].map(|name| self.pid_of(name)).into();
        let pss: f64 = daemons.iter().map(|pid| pss(*pid)).sum();
        row("three daemons together, MB of PSS", pss, f64::NAN);
        let before: Vec<_> = daemons.iter().map(|pid| switches(*pid)).collect();
        let seconds = 10.0;
        thread::park_timeout(Duration::from_secs(10));
        for ((name, pid), before) in
            ["supervisor", "health-monitor", "port-monitor"].iter().zip(&daemons).zip(before)
        {
            #[expect(clippy::cast_precision_loss, reason = "a small count")]
            row(
                &format!("wake-ups a second, idle, {name}"),
                switched(*pid, &before) as f64 / seconds,
                f64::NAN,
            );
        }
    }

    /// Many services that exit at once, for ever.
    fn storm(&self) {
        let mut file = String::from(
            "[defaults]\nrestart = { initial = \"1ms\", max_wait = \"1ms\", max = 1000000000 }\n",
        );
        for number in 0..MANY {
            let _ = writeln!(file, "[services.s{number}]\ncommand = \"/bin/true\"");
        }
        self.write(&file);
        self.ctl(&["up", "-d"]);
        let mut times: Vec<f64> =
            (0..100).map(|_| self.ctl(&["status", "--json"]).as_secs_f64() * 1e3).collect();
        row("status while 100 services crash-loop, ms (median)", median(&mut times), f64::NAN);
        row(
            "status while 100 services crash-loop, ms (worst of 100)",
            times.last().copied().unwrap_or(0.0),
            f64::NAN,
        );
        self.ctl(&["down"]);
    }

    /// A service that floods its log, against `cat > file`.
    fn flood(&self) {
        for (size, blocks) in [(4_000_usize, 250_000_usize), (100, 4_000_000)] {
            let (target, fifo) = (self.path("cat.log"), self.path("fifo"));
            let (target, fifo, bare) = (target.display(), fifo.display(), self.bare.display());
            let timed = |line: &str| {
                let mut times: Vec<f64> = (0..3)
                    .map(|_| {
                        let began = Instant::now();
                        Command::new("sh").args(["-c", line]).status().expect("sh runs");
                        began.elapsed().as_secs_f64()
                    })
                    .collect();
                median(&mut times)
            };
            let cat = timed(&format!("{bare} flood {blocks} {size} | cat > {target}; rm {target}"));
            // A FIFO costs its writer more than a pipe without a name: each write is a change of the file's time.
            let through_fifo = timed(&format!(
                "mkfifo {fifo}; cat < {fifo} > {target} & {bare} flood {blocks} {size} > {fifo}; wait; rm {target} {fifo}"
            ));
            let done = self.path("done");
            let line = format!(
                "while [ ! -e {0}.go ]; do sleep 0.01; done; {1} flood {blocks} {size}; touch {0}; exec sleep 1000",
                done.display(),
                self.bare.display()
            );
            self.write(&format!(
                "[services.flood]\nshell = {line:?}\nlog = {{ keep = 3, compress = false }}\n"
            ));
            let mut ours = Vec::new();
            let mut cpu = 0.0;
            for _ in 0..3 {
                let _ = fs::remove_file(&done);
                let _ = fs::remove_file(self.path("done.go"));
                self.ctl(&["up", "-d", "--wait"]);
                let supervisor = self.pid_of("supervisor");
                let before = cpu_seconds(supervisor);
                let began = Instant::now();
                fs::write(self.path("done.go"), "").expect("written");
                while !done.exists() {
                    thread::park_timeout(Duration::from_millis(2));
                }
                ours.push(began.elapsed().as_secs_f64());
                cpu = cpu_seconds(supervisor) - before;
                self.ctl(&["down"]);
                let _ = fs::remove_dir_all(self.path(".sereno/log"));
            }
            #[expect(clippy::cast_precision_loss, reason = "megabytes")]
            let megabytes = (size * blocks) as f64 / 1e6;
            let ours = megabytes / median(&mut ours);
            row(&format!("log flood, {size}-byte writes, MB/s (bare: cat > file)"), ours, megabytes / cat);
            row("  the same (bare: cat < FIFO > file)", ours, megabytes / through_fifo);
            row("  supervisor's CPU seconds for it", cpu, f64::NAN);
        }
    }

    /// The process of this bench's folder that runs a program of this name.
    fn pid_of(&self, name: &str) -> u32 {
        let lock = fs::read_to_string(self.path(".sereno/run/supervisor.lock")).expect("it runs");
        let supervisor: u32 = lock.trim().parse().expect("a pid");
        if name == "supervisor" {
            return supervisor;
        }
        loop {
            let children = fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children"))
                .unwrap_or_default();
            for pid in children.split_whitespace() {
                let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                if command.contains(name) && !command.is_empty() {
                    return pid.parse().expect("a pid");
                }
            }
        }
    }
}

fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it runs");
}

/// The same clock that the stamps are of.
fn monotonic() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    #[expect(clippy::cast_precision_loss, reason = "a day has fewer than 2^52 ns")]
    let value = (time.tv_sec * 1_000_000_000 + time.tv_nsec) as f64;
    value
}

fn newest(file: &Path, count: usize) -> f64 {
    loop {
        let text = fs::read_to_string(file).unwrap_or_default();
        if text.matches('\n').count() >= count {
            return text.lines().filter_map(|line| line.parse::<f64>().ok()).fold(0.0, f64::max);
        }
        thread::park_timeout(Duration::from_micros(50));
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn pss(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("Pss:")).unwrap_or("Pss: 0 kB");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

/// How often each thread has gone to sleep.
fn switches(pid: u32) -> BTreeMap<OsString, u64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let count = |thread: fs::DirEntry| {
        let text = fs::read_to_string(thread.path().join("status")).ok()?;
        let line = text.lines().find(|line| line.starts_with("voluntary_ctxt_switches"))?;
        Some((thread.file_name(), line.split_whitespace().nth(1)?.parse().ok()?))
    };
    threads.filter_map(count).collect()
}

/// The same since then, of the threads that are still there.
fn switched(pid: u32, before: &BTreeMap<OsString, u64>) -> u64 {
    switches(pid).iter().map(|(thread, count)| count - before.get(thread).unwrap_or(&0)).sum()
}

fn cpu_seconds(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<f64> = text
        .rsplit_once(") ")
        .map_or("", |(_, rest)| rest)
        .split(' ')
        .filter_map(|f| f.parse().ok())
        .collect();
    // The state is no number: utime and stime are fields 14 and 15 of proc(5), the 11th and 12th after it.
    (fields.get(10).unwrap_or(&0.0) + fields.get(11).unwrap_or(&0.0)) / 100.0
}

fn row(what: &str, ours: f64, bare: f64) {
    if bare.is_nan() {
        println!("{what:58} {ours:>10.2}");
    } else {
        println!("{what:58} {ours:>10.2} {bare:>10.2} {:>7.2}", ours / bare);
    }
}
