//! `ReadLogs`: reads what services wrote, from the files, merged by time as far as it is known.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use futures_util::stream::{self, FuturesUnordered};
use proto::detail::unknown_selector;
use proto::{Name, v1};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tonic::Status;

use crate::logs::{Chunk, Limits, Place, Reader, Shared, Which};
use crate::manager::Handle;
use crate::manager::command::{Command, LogFile, Selection};

type Sender = mpsc::Sender<Result<v1::ReadLogsResponse, Status>>;

/// How often a log without progress messages is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// How many bytes of an output are read before the other outputs have their turn.
const AT_ONCE: usize = 64 * 1024;

/// The least that a read counts for, in bytes.
const LEAST: usize = 128;

/// How long the other outputs wait for one that is slow to read; it is sent after them.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many outputs are opened at the same time.
const OPENED_AT_ONCE: usize = 4;

/// Threads that may read logs: if a folder does not answer, others of the API's threads are free.
static READERS: Semaphore = Semaphore::const_new(8);

/// A request to read logs.
pub(super) struct Request {
    pub(super) files: Vec<LogFile>,
    pub(super) lines: u32,
    pub(super) since: Option<Duration>,
    pub(super) follow: bool,
    /// Where a follower had got to when its stream was cut off.
    pub(super) after: Vec<(String, Which, Place)>,
}

struct Source {
    file: LogFile,
    reader: Reader,
    progress: Option<watch::Receiver<u64>>,
    /// Chunks that were read and not sent yet.
    read: VecDeque<Chunk>,
    /// Why no more can be read, if that was not sent yet.
    trouble: Option<String>,
}

/// Sends the past, then follows if asked to; ends when the client is gone.
pub(super) async fn read(request: Request, newcomers: Newcomers, to: Sender) {
    let follow = request.follow;
    let Some(sources) = past(open(request).await, &to).await else { return };
    if follow {
        follow_all(sources, newcomers, to).await;
    }
}

/// An output whose next chunks were asked for.
enum Reading {
    /// They are there.
    Done(Box<Source>),
    /// They take longer than [`PATIENCE`].
    Late(JoinHandle<Option<Source>>),
}

/// Outputs of services that appear while a client follows.
pub(super) struct Newcomers {
    pub(super) manager: Handle,
    pub(super) selection: Selection,
    pub(super) stream: v1::LogStream,
    /// Changes since they were asked for; taken before the first look.
    pub(super) changes: watch::Receiver<u64>,
    /// Whether something has changed since the last look.
    pub(super) due: bool,
}

impl Newcomers {
    /// Returns the requested outputs as they are now.
    pub(super) async fn files(&self) -> Result<Vec<LogFile>, Status> {
        let selection = self.selection.clone();
        let files = self.manager.ask(|reply| Command::LogFiles(selection, reply)).await?;
        let mut files = files.map_err(|error| unknown_selector(error.to_string(), error.0))?;
        files.retain(|file| match self.stream {
            v1::LogStream::Unspecified => true,
            v1::LogStream::Stdout => file.which == Which::Out,
            v1::LogStream::Stderr => file.which == Which::Err,
        });
        Ok(files)
    }

    /// Waits for a change and then a while longer, so that a hundred changes cause one look.
    async fn come(&mut self) -> Vec<LogFile> {
        const AT_MOST_EVERY: Duration = Duration::from_millis(300);
        if !self.due && self.changes.changed().await.is_err() {
            return std::future::pending().await;
        }
        // Stored in `self`, so that it survives when this wait is cancelled.
        self.due = true;
        tokio::time::sleep(AT_MOST_EVERY).await;
        self.changes.mark_unchanged();
        self.due = false;
        // If nothing is selected any more or the supervisor ends, that is reported elsewhere.
        self.files().await.unwrap_or_default()
    }
}

async fn follow_all(sources: Vec<Source>, mut newcomers: Newcomers, to: Sender) {
    let follow = |source: Source| {
        let to = to.clone();
        async move {
            let key = source.key();
            go_on(source, to).await;
            key
        }
    };
    let mut known: BTreeSet<_> = sources.iter().map(Source::key).collect();
    let mut tasks: FuturesUnordered<_> = sources.into_iter().map(follow).collect();
    loop {
        tokio::select! {
            // An output with the same key may appear again.
            Some(gone) = tasks.next() => drop(known.remove(&gone)),
            () = to.closed() => return,
            files = newcomers.come() => {
                for file in files {
                    // From its first byte: none of it has been sent yet.
                    let source = Source::new(file, true, |path, limits| {
                        Reader::tail(path, limits, u32::MAX, None)
                    });
                    if known.insert(source.key()) {
                        tasks.push(follow(source));
                    }
                }
            }
        }
    }
}

impl Source {
    fn key(&self) -> (Name, PathBuf) {
        (self.file.service.clone(), self.file.path.clone())
    }

    /// Returns a response without content that names its output.
    fn response(&self) -> v1::ReadLogsResponse {
        let stream = match self.file.which {
            Which::Out => v1::LogStream::Stdout,
            Which::Err => v1::LogStream::Stderr,
        };
        let service = self.file.service.to_string();
        v1::ReadLogsResponse { service, stream: stream.into(), ..Default::default() }
    }

    fn new(file: LogFile, follow: bool, reader: impl FnOnce(&Path, Limits) -> Reader) -> Self {
        // Subscribed before the first read, so that nothing in between is missed.
        let progress = file.shared.as_ref().filter(|_| follow).map(Shared::progress_of);
        let reader = reader(&file.path, file.limits);
        Self { file, reader, progress, read: VecDeque::new(), trouble: None }
    }

    /// Reads the next chunks.
    fn step(mut self) -> Self {
        let mut bytes = 0;
        while bytes < AT_ONCE {
            match self.reader.step() {
                Ok(Some(chunk)) => {
                    bytes += chunk.data.len().max(LEAST);
                    self.read.push_back(chunk);
                }
                Ok(None) => break,
                Err(error) => {
                    let path = self.file.path.display();
                    tracing::warn!(%path, %error, "reading a log failed");
                    self.trouble = Some(format!("cannot read {path}: {error}"));
                    break;
                }
            }
        }
        self
    }
}

/// Finds where each output begins, which may mean reading compressed files, and reads its first chunks.
async fn open(request: Request) -> Vec<Option<Reading>> {
    let since = request.since.and_then(|since| SystemTime::now().checked_sub(since));
    let (lines, follow) = (request.lines, request.follow);
    let after = |file: &LogFile| {
        let of_it = |(service, which, _): &&(String, Which, Place)| {
            *service == file.service.as_str() && *which == file.which
        };
        request.after.iter().find(of_it).map(|(_, _, place)| *place)
    };
    let sources = request.files.into_iter().map(|file| {
        let after = after(&file);
        read_on(move || {
            Source::new(file, follow, |path, limits| match after {
                Some(place) => Reader::after(path, limits, place),
                None => Reader::tail(path, limits, lines, since),
            })
        })
    });
    stream::iter(sources).buffered(OPENED_AT_ONCE).collect().await
}

/// Sends what is there already, in order of time over all outputs; what takes long is sent afterwards.
async fn past(read: Vec<Option<Reading>>, to: &Sender) -> Option<Vec<Source>> {
    // A chunk without a time stays with what came before it.
    let mut open: Vec<(SystemTime, Box<Source>)> = Vec::new();
    let (mut ended, mut late) = (Vec::new(), Vec::new());
    for reading in read {
        match reading? {
            Reading::Done(source) => open.push((SystemTime::UNIX_EPOCH, source)),
            Reading::Late(task) => late.push(task),
        }
    }
    loop {
        let mut place = 0;
        while place < open.len() {
            let (time, source) = &mut open[place];
            if let Some(head) = source.read.front() {
                *time = head.time.unwrap_or(*time).max(*time);
                place += 1;
            } else {
                let (_, mut source) = open.remove(place);
                send_trouble(&mut source, to).await?;
                ended.push(*source);
            }
        }
        let Some(place) = (0..open.len()).min_by_key(|place| open[*place].0) else { break };
        send_next(&mut open[place].1, to).await?;
        if open[place].1.read.is_empty() {
            let (time, source) = open.remove(place);
            match read_on(move || *source).await? {
                Reading::Done(source) => open.insert(place, (time, source)),
                Reading::Late(task) => late.push(task),
            }
        }
    }
    for task in late {
        let mut source = task.await.ok()??;
        while !source.read.is_empty() {
            while send_next(&mut source, to).await?.is_some() {}
            source = step(source).await?;
        }
        send_trouble(&mut source, to).await?;
        ended.push(source);
    }
    Some(ended)
}

/// Sends new output as it arrives.
async fn go_on(mut source: Source, to: Sender) {
    source.reader.follow();
    loop {
        let Some(back) = step(source).await else { return };
        source = back;
        if !source.read.is_empty() {
            loop {
                match send_next(&mut source, &to).await {
                    Some(Some(())) => {}
                    Some(None) => break,
                    None => return,
                }
            }
            continue;
        }
        if send_trouble(&mut source, &to).await.is_none() {
            return;
        }
        let more = async {
            if let Some(progress) = &mut source.progress {
                return progress.changed().await.is_ok();
            }
            // A daemon writes its own log, which is polled while a client follows it.
            tokio::time::sleep(LOOK_AGAIN).await;
            true
        };
        tokio::select! {
            more = more => if !more { return },
            () = to.closed() => return,
        }
    }
}

/// Reads the next chunks of an output, and waits a while for them.
async fn read_on(source: impl FnOnce() -> Source + Send + 'static) -> Option<Reading> {
    let mut task = tokio::spawn(blocking(|| source().step()));
    match tokio::time::timeout(PATIENCE, &mut task).await {
        Ok(source) => Some(Reading::Done(Box::new(source.ok()??))),
        Err(_) => Some(Reading::Late(task)),
    }
}

/// Reads a few chunks of a source.
async fn step(source: Source) -> Option<Source> {
    blocking(|| source.step()).await
}

/// Reads on a blocking thread, so that a slow disk delays no other task.
async fn blocking(read: impl FnOnce() -> Source + Send + 'static) -> Option<Source> {
    let _permit = READERS.acquire().await.ok()?;
    tokio::task::spawn_blocking(read).await.ok()
}

/// Sends the next chunk that was read, if there is one; `None` if the client is gone.
async fn send_next(source: &mut Source, to: &Sender) -> Option<Option<()>> {
    let Some(chunk) = source.read.pop_front() else { return Some(None) };
    send(source, chunk, to).await.map(Some)
}

async fn send(source: &Source, chunk: Chunk, to: &Sender) -> Option<()> {
    let response = v1::ReadLogsResponse {
        data: chunk.data,
        time: chunk.time.map(proto::time::stamp),
        end: Some(v1::LogPlace { file: chunk.end.file, offset: chunk.end.offset }),
        ..source.response()
    };
    to.send(Ok(response)).await.ok()
}

/// Sends once why no more can be read.
async fn send_trouble(source: &mut Source, to: &Sender) -> Option<()> {
    let Some(trouble) = source.trouble.take() else { return Some(()) };
    to.send(Ok(v1::ReadLogsResponse { trouble, ..source.response() })).await.ok()
}

impl Shared {
    fn progress_of(shared: &Arc<Self>) -> watch::Receiver<u64> {
        shared.progress()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(folder: &Path, name: &str) -> Source {
        let path = folder.join(name);
        std::fs::write(&path, format!("{name}\n")).expect("written");
        let service = Name::new(name).expect("a name");
        let file = LogFile { service, which: Which::Out, path, limits: Limits::NONE, shared: None };
        Source::new(file, false, |path, limits| Reader::tail(path, limits, 9, None))
    }

    #[tokio::test]
    async fn an_output_that_is_slow_to_read_is_sent_after_the_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let (let_go, wait) = std::sync::mpsc::channel();
        let stuck = source(folder.path(), "stuck");
        let stuck = read_on(move || wait.recv().map(|()| stuck).expect("it is let go")).await;
        assert!(matches!(stuck, Some(Reading::Late(_))), "{PATIENCE:?} are over");
        let quick = source(folder.path(), "quick");
        let (to, mut sent) = mpsc::channel(1);
        let reading = vec![stuck, read_on(move || quick).await];
        let past = tokio::spawn(async move { past(reading, &to).await.map(|sources| sources.len()) });
        let mut next = async || sent.recv().await.map(|sent| sent.expect("not an error").service);
        assert_eq!(next().await.as_deref(), Some("quick"));
        let_go.send(()).expect("it waits");
        assert_eq!(next().await.as_deref(), Some("stuck"));
        assert_eq!(next().await, None);
        assert_eq!(past.await.expect("no panic"), Some(2), "both can be followed");
    }
}
