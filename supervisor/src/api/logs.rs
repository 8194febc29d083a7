//! `ReadLogs`: reads what services wrote, from the files, merged by time as far as it is known.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use proto::detail::unknown_selector;
use proto::{Name, v1};
use tokio::sync::{mpsc, watch};
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
    // Finding the beginning may mean reading compressed files.
    let Ok(sources) = tokio::task::spawn_blocking(move || sources(request)).await else { return };
    let Some(sources) = past(sources, &to).await else { return };
    if follow {
        follow_all(sources, newcomers, to).await;
    }
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
}

fn sources(request: Request) -> Vec<Source> {
    let since = request.since.and_then(|since| SystemTime::now().checked_sub(since));
    let (lines, follow) = (request.lines, request.follow);
    let source = |file: LogFile| {
        let of_it = |(service, which, _): &&(String, Which, Place)| {
            *service == file.service.as_str() && *which == file.which
        };
        let after = request.after.iter().find(of_it).map(|(_, _, place)| *place);
        Source::new(file, follow, |path, limits| match after {
            Some(place) => Reader::after(path, limits, place),
            None => Reader::tail(path, limits, lines, since),
        })
    };
    request.files.into_iter().map(source).collect()
}

/// Sends what is there already, in order of time over all outputs.
async fn past(mut sources: Vec<Source>, to: &Sender) -> Option<Vec<Source>> {
    // A chunk without a time stays with what came before it.
    let mut times: Vec<SystemTime> = vec![SystemTime::UNIX_EPOCH; sources.len()];
    let mut open: Vec<usize> = (0..sources.len()).collect();
    loop {
        let mut place = 0;
        while let Some(&number) = open.get(place) {
            if sources[number].read.is_empty() {
                sources = step(sources, number).await?;
            }
            if let Some(head) = sources[number].read.front() {
                times[number] = head.time.unwrap_or(times[number]).max(times[number]);
                place += 1;
            } else {
                send_trouble(&mut sources[number], to).await?;
                open.remove(place);
            }
        }
        let Some(&next) = open.iter().min_by_key(|number| times[**number]) else { return Some(sources) };
        let chunk = sources[next].read.pop_front()?;
        send(&sources[next], chunk, to).await?;
    }
}

/// Sends new output as it arrives.
async fn go_on(mut source: Source, to: Sender) {
    source.reader.follow();
    let mut sources = vec![source];
    loop {
        let Some(back) = step(sources, 0).await else { return };
        sources = back;
        let source = &mut sources[0];
        if !source.read.is_empty() {
            while let Some(chunk) = source.read.pop_front() {
                if send(source, chunk, &to).await.is_none() {
                    return;
                }
            }
            continue;
        }
        if send_trouble(source, &to).await.is_none() {
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

/// Reads a few chunks of a source on a blocking thread, so that a slow disk delays no other task.
async fn step(mut sources: Vec<Source>, number: usize) -> Option<Vec<Source>> {
    let read = tokio::task::spawn_blocking(move || {
        let source = &mut sources[number];
        let mut bytes = 0;
        while bytes < AT_ONCE {
            match source.reader.step() {
                Ok(Some(chunk)) => {
                    bytes += chunk.data.len().max(LEAST);
                    source.read.push_back(chunk);
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(path = %source.file.path.display(), %error, "reading a log failed");
                    source.trouble = Some(format!("cannot read {}: {error}", source.file.path.display()));
                    break;
                }
            }
        }
        sources
    });
    read.await.ok()
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
