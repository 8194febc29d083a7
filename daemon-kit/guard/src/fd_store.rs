//! Holds copies of files that only the supervisor had open: pipes with unread output, sockets, the pidfds
//! of services. They are never read; the next supervisor requests those that it can not get in another way.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::close::close_apart;
use super::messages::{Message, listen, receive, send};

/// Maximum number of files, more than any supervisor needs. Further files are not kept.
const MOST: usize = 16_384;
/// Descriptors reserved for the guard process itself.
const RESERVED: u64 = 256;

/// One stored file.
#[derive(Debug)]
struct StoredFd {
    file: OwnedFd,
    note: String,
    /// Is handed to the next supervisor; otherwise only held open.
    given: bool,
    /// Named since the last `begin`.
    fresh: bool,
}

/// All stored files, by name.
#[derive(Debug, Default)]
struct FdStore {
    kept: BTreeMap<String, StoredFd>,
    /// Pipes that were replaced or dropped, and are not closed yet.
    dropped: Vec<OwnedFd>,
}

impl FdStore {
    fn keep(&mut self, name: String, note: String, file: Option<OwnedFd>, given: bool) {
        // The file is missing if this process could not open another descriptor when it arrived.
        let Some(file) = file else { return };
        let new = StoredFd { file, note, given, fresh: true };
        let has_room = self.kept.len() < MOST || self.kept.contains_key(&name);
        let old = if has_room { self.kept.insert(name, new) } else { Some(new) };
        self.put_away(old);
        make_room(self.kept.len());
    }

    fn begin(&mut self) {
        self.kept.values_mut().for_each(|kept| kept.fresh = false);
    }

    fn done(&mut self) {
        let all = std::mem::take(&mut self.kept).into_iter();
        let (fresh, old): (_, BTreeMap<_, _>) = all.partition(|(_, kept)| kept.fresh);
        self.kept = fresh;
        self.put_away(old.into_values());
        self.close_dropped();
    }

    fn remove(&mut self, name: &str) {
        let old = self.kept.remove(name);
        self.put_away(old);
        self.close_dropped();
    }

    /// Closes files, but for pipes: closing one may wait for ever.
    fn put_away(&mut self, old: impl IntoIterator<Item = StoredFd>) {
        self.dropped.extend(old.into_iter().filter(|old| !old.given).map(|old| old.file));
    }

    /// Closes the pipes. One thread does it for a whole list: each supervisor replaces everything.
    fn close_dropped(&mut self) {
        close_apart(std::mem::take(&mut self.dropped));
    }

    /// Returns copies of the files to hand over.
    fn given(&self) -> Vec<(Message, OwnedFd)> {
        let given = self.kept.iter().filter(|(_, kept)| kept.given);
        let message =
            |name: &String, kept: &StoredFd| Message::Keep { name: name.clone(), note: kept.note.clone() };
        given.filter_map(|(name, kept)| Some((message(name, kept), kept.file.try_clone().ok()?))).collect()
    }
}

/// Raises the limit of open files when the stored files come near it, and not before: commands run by a
/// monitor's checks inherit it.
fn make_room(kept: usize) {
    let limit = getrlimit(Resource::Nofile);
    let needed = u64::try_from(kept).unwrap_or(u64::MAX).saturating_add(RESERVED);
    if limit.current.is_some_and(|current| current < needed) && limit.current != limit.maximum {
        // If this is refused, files beyond the limit are not kept.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
}

/// Binds the socket. Needs a tokio runtime.
pub(super) fn bind(path: &Path) -> io::Result<UnixListener> {
    let listener = listen(path)?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// Keeps files for every supervisor that connects: the running one and the next.
pub(super) async fn serve(listener: UnixListener) {
    let store = Arc::new(Mutex::new(FdStore::default()));
    let mut talks = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(talks.spawn(talk(stream, Arc::clone(&store)))),
                // Out of descriptors: the files already stored matter more than a new connection.
                Err(error) => {
                    tracing::debug!(%error, "a supervisor was not let in");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            },
            Some(_) = talks.join_next() => {}
        }
    }
}

/// Serves one supervisor until it is gone; the files that it sent stay.
async fn talk(stream: UnixStream, store: Arc<Mutex<FdStore>>) {
    let lock = || store.lock().unwrap_or_else(PoisonError::into_inner);
    while let Ok(Some((message, file))) = ready(&stream, Interest::READABLE, || receive(stream.as_fd())).await
    {
        match message {
            Message::Begin => lock().begin(),
            Message::Done => lock().done(),
            Message::Keep { name, note } => lock().keep(name, note, file, true),
            Message::Hold { name } => lock().keep(name, String::new(), file, false),
            Message::Drop { name } => lock().remove(&name),
            Message::Give => {
                let given = lock().given();
                for (message, file) in given {
                    let hand_over = || send(stream.as_fd(), &message, Some(file.as_fd()));
                    if ready(&stream, Interest::WRITABLE, hand_over).await.is_err() {
                        return;
                    }
                }
                if ready(&stream, Interest::WRITABLE, || send(stream.as_fd(), &Message::End, None))
                    .await
                    .is_err()
                {
                    return;
                }
            }
            Message::End | Message::Unknown => {}
        }
    }
}

async fn ready<T>(
    stream: &UnixStream,
    interest: Interest,
    mut act: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    loop {
        stream.ready(interest).await?;
        match stream.try_io(interest, &mut act) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::messages::Link;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn said(link: &Link) -> Vec<(String, String, OwnedFd)> {
        link.send(&Message::Give, None).expect("sent");
        let mut all = Vec::new();
        while let Some((Message::Keep { name, note }, Some(file))) = link.receive().expect("an answer") {
            all.push((name, note, file));
        }
        all
    }

    fn keep(name: &str) -> Message {
        Message::Keep { name: name.into(), note: "a note".into() }
    }

    fn names(link: &Link) -> Vec<String> {
        said(link).into_iter().map(|(name, ..)| name).collect()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn what_one_supervisor_gave_the_next_one_gets() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keep-x.sock");
        let place = path.clone();
        let listener = bind(&place).expect("bound");
        tokio::spawn(serve(listener));
        tokio::task::spawn_blocking(move || {
            let link = loop {
                if let Ok(link) = Link::connect(&path, PATIENCE) {
                    break link;
                }
                std::thread::yield_now();
            };
            let (mut reader, writer) = io::pipe().expect("a pipe");
            let held = Message::Hold { name: "fifo/a".into() };
            link.send(&keep("pid/a"), Some(writer.as_fd())).expect("sent");
            link.send(&held, Some(writer.as_fd())).expect("sent");
            link.send(&keep("pid/b"), Some(reader.as_fd())).expect("sent");
            link.send(&Message::Drop { name: "pid/b".into() }, None).expect("sent");
            assert_eq!(names(&link), ["pid/a"], "what is only held is not handed over");
            drop((link, writer));

            let next = Link::connect(&path, PATIENCE).expect("it still keeps");
            let [(_, note, file)] = <[_; 1]>::try_from(said(&next)).expect("one thing");
            assert_eq!(note, "a note");
            rustix::io::write(&file, b"x").expect("it is the pipe");
            drop(file);
            assert_eq!(io::Read::read(&mut reader, &mut [0; 2]).expect("read"), 1);

            next.send(&Message::Begin, None).expect("sent");
            next.send(&keep("pid/c"), Some(reader.as_fd())).expect("sent");
            assert_eq!(names(&next), ["pid/a", "pid/c"], "nothing is let go before all is named");
            next.send(&Message::Done, None).expect("sent");
            assert_eq!(names(&next), ["pid/c"]);
            drop(next);
            let mut left = Vec::new();
            io::Read::read_to_end(&mut reader, &mut left).expect("nobody holds the other end any more");
            assert_eq!(left, b"");
        })
        .await
        .expect("no panic");
    }
}
