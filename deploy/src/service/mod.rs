//! The program of the demo's services: a page, a health check, and every way to break it. It uses only the
//! standard library, so that it runs on a machine with nothing but Rust.
//!
//! | module | what it holds |
//! |---|---|
//! | `breaks` | the ways to break it |
//! | `http` | a minimal HTTP server: one request, one answer |
//! | `page` | the HTML page |
//!
//! ```text
//! accept (one thread) ── connection ──> answer (a thread each) ── Break ──> run (main): ends, aborts, freezes
//!        ▲                                    │
//!        └──────── mode: sick, hanging, closed┘
//! ```

mod breaks;
mod http;
mod page;

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

pub use breaks::Break;

/// Exit code of `/break/exit`, one that does not occur by accident.
const EXIT_CODE: u8 = 3;
/// Maximum number of clients that are kept waiting; beyond it the oldest is dropped, to limit memory.
const LEFT_WAITING: usize = 64;
const WAKE: Duration = Duration::from_secs(1);

const WELL: u8 = 0;
const SICK: u8 = 1;
const HANGING: u8 = 2;
const CLOSED: u8 = 3;

/// State shared by the threads of one server.
#[derive(Debug)]
struct Site {
    name: String,
    address: SocketAddr,
    mode: AtomicU8,
    events: Sender<Event>,
}

/// Events that the server can not handle itself.
#[derive(Debug)]
pub enum Event {
    /// A client broke the service and has received its answer.
    Broken(Break),
    /// The server can not accept connections any more.
    Failed(io::Error),
}

/// Serves until it is told to end, and breaks when asked; returns the exit code.
pub fn run(name: &str, port: u16, out: &mut dyn Write) -> io::Result<ExitCode> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let address = listener.local_addr()?;
    let events = serve(name, listener)?;
    say(out, &format!("{name} listens on http://{address}/"));
    for event in events {
        match event {
            Event::Failed(error) => return Err(error),
            Event::Broken(how) => {
                say(out, &format!("{name} was told to break: {}", how.name()));
                match how {
                    Break::Exit => return Ok(ExitCode::from(EXIT_CODE)),
                    Break::Abort => std::process::abort(),
                    Break::Freeze => freeze()?,
                    Break::Sick | Break::Hang | Break::Close => {}
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Starts serving in the background.
pub fn serve(name: &str, listener: TcpListener) -> io::Result<Receiver<Event>> {
    let (events, receiver) = mpsc::channel();
    let address = listener.local_addr()?;
    let site = Arc::new(Site { name: name.into(), address, mode: AtomicU8::new(WELL), events });
    thread::Builder::new().name("accept".into()).spawn(move || accept(listener, &site))?;
    Ok(receiver)
}

fn accept(listener: TcpListener, site: &Arc<Site>) {
    let mut waiting = VecDeque::with_capacity(LEFT_WAITING);
    loop {
        let connection = match listener.accept() {
            Ok((connection, _)) => connection,
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
            Err(error) => return site.tell(Event::Failed(error)),
        };
        match site.mode.load(Ordering::Acquire) {
            CLOSED => break,
            HANGING => {
                waiting.truncate(LEFT_WAITING - 1);
                waiting.push_front(connection);
            }
            _ => {
                let site = Arc::clone(site);
                let answering = thread::Builder::new().spawn(move || answer(connection, &site));
                // If no thread can be created, the client gets no answer and tries again.
                drop(answering);
            }
        }
    }
    drop(listener);
    // The process must live on, so this thread keeps its end of the event channel open.
    loop {
        thread::park();
    }
}

fn answer(mut connection: TcpStream, site: &Site) {
    let Ok(path) = http::read_path(&mut connection) else { return };
    let sick = site.mode.load(Ordering::Acquire) == SICK;
    let how = path.strip_prefix("/break/").and_then(Break::parse);
    let sent = match (&*path, how) {
        (_, Some(how)) => http::write(&mut connection, "200 OK", "text/plain", &format!("{}\n", how.told())),
        ("/health", _) if sick => json(&mut connection, "503 Service Unavailable", "sick"),
        ("/health", _) => json(&mut connection, "200 OK", "healthy"),
        ("/", _) => http::write(&mut connection, "200 OK", "text/html", &page::of(&site.name)),
        _ => {
            http::write(&mut connection, "404 Not Found", "text/plain", "there is /, /health and /break/…\n")
        }
    };
    drop(connection);
    // The service breaks only if the answer could be sent.
    if let (Some(how), Ok(())) = (how, sent) {
        site.break_by(how);
    }
}

fn json(connection: &mut TcpStream, status: &str, word: &str) -> io::Result<()> {
    http::write(connection, status, "application/json", &format!("{{\"status\":\"{word}\"}}"))
}

impl Site {
    fn break_by(&self, how: Break) {
        let mode = match how {
            Break::Sick => Some(SICK),
            Break::Hang => Some(HANGING),
            Break::Close => Some(CLOSED),
            Break::Exit | Break::Abort | Break::Freeze => None,
        };
        if let Some(mode) = mode {
            self.mode.store(mode, Ordering::Release);
        }
        if how == Break::Close {
            // Wakes the thread in `accept`, which then sees the mode. A failed connection means that the
            // socket is closed already.
            drop(TcpStream::connect_timeout(&self.address, WAKE));
        }
        self.tell(Event::Broken(how));
    }

    fn tell(&self, event: Event) {
        // The receiver is gone only while the process exits.
        let _ = self.events.send(event);
    }
}

fn freeze() -> io::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "no function of the standard library sends a signal")]
    let mut kill = std::process::Command::new("kill");
    kill.args(["-STOP", &std::process::id().to_string()]).status().map(drop)
}

/// Writes a line; a log without a reader must not end the service.
fn say(out: &mut dyn Write, line: &str) {
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
