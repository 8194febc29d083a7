//! Messages between a supervisor and an fd store: text, each with at most one open file.
//!
//! An fd store (in each guard) holds copies of files that only the supervisor had open; the next supervisor
//! requests them. `SOCK_SEQPACKET` keeps message boundaries, so no framing is needed. macOS has no such
//! sockets: there every message has the same length. Unknown messages are ignored.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, fs};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, SendAncillaryBuffer, SendAncillaryMessage,
    SocketAddrUnix,
};

use self::wire::{RECEIVE, SEND, close_on_exec, framed, look, made};
use sereno_config::Home;

#[cfg_attr(target_os = "linux", path = "messages/packets.rs")]
#[cfg_attr(not(target_os = "linux"), path = "messages/frames.rs")]
mod wire;

/// Maximum length of a message, in bytes.
const LONGEST: usize = 1024;
/// Maximum number of supervisors that wait to be accepted: the dead one, the next, and one that was slightly slower.
const BACKLOG: i32 = 8;

/// A protocol message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Begins the list of all files to keep.
    Begin,
    /// Ends the list: files that were not named since `Begin` are closed.
    Done,
    /// Comes with a file: keep it under this name and hand it to the next supervisor. Also the answer to
    /// [`Give`](Self::Give).
    Keep {
        /// Name of the file.
        name: String,
        /// Information for the next supervisor.
        note: String,
    },
    /// Comes with a file: hold it open, so that its content is not lost, but do not hand it over.
    Hold {
        /// Name of the file.
        name: String,
    },
    /// Closes the file of this name.
    Drop {
        /// Name of the file.
        name: String,
    },
    /// Requests the kept files.
    Give,
    /// All kept files were handed over.
    End,
    /// A message of a later version.
    Unknown,
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin => f.write_str("begin"),
            Self::Done => f.write_str("done"),
            Self::Keep { name, note } => write!(f, "keep {name} {note}"),
            Self::Hold { name } => write!(f, "hold {name}"),
            Self::Drop { name } => write!(f, "drop {name}"),
            Self::Give => f.write_str("give"),
            Self::End => f.write_str("end"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

impl Message {
    fn parse(text: &str) -> Self {
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        let (name, note) = rest.split_once(' ').unwrap_or((rest, ""));
        let name = name.to_owned();
        match verb {
            "begin" => Self::Begin,
            "done" => Self::Done,
            "keep" => Self::Keep { name, note: note.to_owned() },
            "hold" => Self::Hold { name },
            "drop" => Self::Drop { name },
            "give" => Self::Give,
            "end" => Self::End,
            _ => Self::Unknown,
        }
    }
}

/// Returns the socket path of the fd store of one guard.
pub fn path(home: &Home, guard: &str) -> PathBuf {
    home.run().join(format!("keep-{guard}.sock"))
}

/// Returns the socket paths of all fd stores in this home, including those of guards that are gone.
pub fn paths(home: &Home) -> Vec<PathBuf> {
    let entries = fs::read_dir(home.run()).into_iter().flatten().flatten();
    let is_keep =
        |name: &str| name.strip_prefix("keep-").is_some_and(|name| name.strip_suffix(".sock").is_some());
    entries
        .filter(|entry| entry.file_name().to_str().is_some_and(is_keep))
        .map(|entry| entry.path())
        .collect()
}

fn socket() -> io::Result<OwnedFd> {
    made(AddressFamily::UNIX)
}

/// Listens at a path to which only the owner can connect. Replaces an existing socket file.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = socket()?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    // No client can connect before `listen`, so there is no moment at which another user may.
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// A supervisor's connection to one fd store.
#[derive(Debug)]
pub struct Link(UnixStream);

impl Link {
    /// Connects. The connection and each message take at most `patience`.
    pub fn connect(path: &Path, patience: Duration) -> io::Result<Self> {
        let link = Self(UnixStream::from(socket()?));
        link.0.set_write_timeout(Some(patience))?;
        link.set_patience(patience)?;
        rustix::net::connect(&link.0, &SocketAddrUnix::new(path)?)?;
        Ok(link)
    }

    /// Sets how long [`receive`](Self::receive) waits.
    pub fn set_patience(&self, patience: Duration) -> io::Result<()> {
        self.0.set_read_timeout(Some(patience.max(Duration::from_millis(1))))
    }

    /// Sends a message. Fails with `WouldBlock` if the fd store is too slow.
    pub fn send(&self, message: &Message, file: Option<BorrowedFd<'_>>) -> io::Result<()> {
        send(&self.0, message, file)
    }

    /// Receives the next message. Fails with `WouldBlock` if none comes in time; returns `None` if the fd
    /// store is gone.
    pub fn receive(&self) -> io::Result<Option<(Message, Option<OwnedFd>)>> {
        receive(&self.0)
    }
}

/// Sends a message, with or without a file.
pub fn send(socket: impl AsFd, message: &Message, file: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let text = framed(message.to_string().into_bytes());
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let files: Vec<BorrowedFd<'_>> = file.into_iter().collect();
    if !files.is_empty() {
        let fits = control.push(SendAncillaryMessage::ScmRights(&files));
        debug_assert!(fits, "there is room for one");
    }
    let sent = rustix::net::sendmsg(socket, &[IoSlice::new(&text)], &mut control, SEND)?;
    // A partial message would be taken for the beginning of the next one.
    if sent == text.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Receives the next message and its file. Returns `None` if the other side is gone.
pub fn receive(socket: impl AsFd) -> io::Result<Option<(Message, Option<OwnedFd>)>> {
    if !look(&socket)? {
        return Ok(None);
    }
    let mut bytes = [0_u8; LONGEST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [IoSliceMut::new(&mut bytes)];
    let received = rustix::net::recvmsg(socket, &mut slices, &mut control, RECEIVE)?;
    let file = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    let file = file.map(close_on_exec).transpose()?;
    if received.bytes == 0 {
        return Ok(None);
    }
    let text = bytes.get(..received.bytes).and_then(|text| std::str::from_utf8(text).ok());
    Ok(Some((text.map_or(Message::Unknown, |text| Message::parse(text.trim_end_matches('\0'))), file)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_read_as_it_was_sent() {
        let name = || "pid/web:0".to_string();
        for message in [
            Message::Begin,
            Message::Done,
            Message::Keep { name: name(), note: "3 812 99887".into() },
            Message::Keep { name: name(), note: String::new() },
            Message::Hold { name: name() },
            Message::Drop { name: name() },
            Message::Give,
            Message::End,
        ] {
            assert_eq!(Message::parse(&message.to_string()), message);
        }
        assert_eq!(Message::parse("sing"), Message::Unknown);
    }

    #[test]
    fn a_file_arrives_with_its_message_and_silence_ends_in_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keep-x.sock");
        let listener = listen(&path).expect("listens");
        let link = Link::connect(&path, Duration::from_millis(20)).expect("connects");
        let (store, _) = listener.accept().expect("comes");
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let message = Message::Hold { name: "fifo/web.out".into() };
        link.send(&message, Some(writer.as_fd())).expect("sent");
        drop(writer);
        let (said, file) = receive(&store).expect("received").expect("a message");
        assert_eq!(said, message);
        rustix::io::write(file.expect("a file"), b"x").expect("it is the pipe");
        assert_eq!(rustix::io::read(&reader, &mut [0_u8; 2]).expect("read"), 1);
        assert_eq!(link.receive().expect_err("nobody speaks").kind(), io::ErrorKind::WouldBlock);
        drop(store);
        assert!(link.receive().expect("an end").is_none());
    }
}
