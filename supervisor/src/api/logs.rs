//! `ReadLogs`: what services wrote, from the files, merged by time as far as it is known.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proto::v1;
use tokio::sync::{mpsc, watch};
use tonic::Status;

use crate::logs::{Chunk, Place, Reader, Shared, Which};
use crate::manager::command::LogFile;

type Sender = mpsc::Sender<Result<v1::ReadLogsResponse, Status>>;

/// How often a log is looked at that tells nobody of its progress.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What is read of one output before the others have their turn.
const AT_ONCE: usize = 64 * 1024;

/// What even the smallest read weighs.
const LEAST: usize = 128;

/// What is read.
pub(super) struct Request {
    pub(super) files: Vec<LogFile>,
    pub(super) lines: u32,
    pub(super) since: Option<Duration>,
    pub(super) follow: bool,
    /// Where a follower was when its stream was cut off.
    pub(super) after: Vec<(String, Which, Place)>,
}

struct Source {
    file: LogFile,
    reader: Reader,
    progress: Option<watch::Receiver<u64>>,
    /// Read, and not sent yet.
    read: VecDeque<Chunk>,
}

/// Reads until all is said, or for ever; ends when the client is gone.
pub(super) async fn read(request: Request, to: Sender) {
    let follow = request.follow;
    // Looking for the beginning may mean reading compressed files.
    let Ok(sources) = tokio::task::spawn_blocking(move || sources(request)).await else { return };
    let Some(sources) = past(sources, &to).await else { return };
    if follow {
        let tasks = sources.into_iter().map(|source| go_on(source, to.clone()));
        futures_util::future::join_all(tasks).await;
    }
}

fn sources(request: Request) -> Vec<Source> {
    let since = request.since.and_then(|since| SystemTime::now().checked_sub(since));
    let (lines, follow) = (request.lines, request.follow);
    let source = |file: LogFile| {
        // Subscribed before the first read: what comes in between is not missed.
        let progress = file.shared.as_ref().filter(|_| follow).map(Shared::progress_of);
        let of_it = |(service, which, _): &&(String, Which, Place)| {
            *service == file.service.as_str() && *which == file.which
        };
        let reader = match request.after.iter().find(of_it) {
            Some((_, _, place)) => Reader::after(&file.path, *place),
            None => Reader::tail(&file.path, lines, since),
        };
        Source { file, reader, progress, read: VecDeque::new() }
    };
    request.files.into_iter().map(source).collect()
}

/// What is there already, in order of time over all outputs.
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
            match sources[number].read.front() {
                Some(head) => {
                    times[number] = head.time.unwrap_or(times[number]).max(times[number]);
                    place += 1;
                }
                None => {
                    open.remove(place);
                }
            }
        }
        let Some(&next) = open.iter().min_by_key(|number| times[**number]) else { return Some(sources) };
        let chunk = sources[next].read.pop_front()?;
        send(&sources[next], chunk, to).await?;
    }
}

/// What comes, as it comes.
async fn go_on(source: Source, to: Sender) {
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
        let more = async {
            if let Some(progress) = &mut source.progress {
                return progress.changed().await.is_ok();
            }
            // A daemon writes its own log: looked at again while somebody follows it.
            tokio::time::sleep(LOOK_AGAIN).await;
            true
        };
        tokio::select! {
            more = more => if !more { return },
            () = to.closed() => return,
        }
    }
}

/// A few reads of one of them, where a slow disk delays nobody.
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
                    break;
                }
            }
        }
        sources
    });
    read.await.ok()
}

async fn send(source: &Source, chunk: Chunk, to: &Sender) -> Option<()> {
    let stream = match source.file.which {
        Which::Out => v1::LogStream::Stdout,
        Which::Err => v1::LogStream::Stderr,
    };
    let response = v1::ReadLogsResponse {
        service: source.file.service.to_string(),
        stream: stream.into(),
        data: chunk.data,
        time: chunk.time.map(proto::time::stamp),
        end: Some(v1::LogPlace { file: chunk.end.file, offset: chunk.end.offset }),
    };
    to.send(Ok(response)).await.ok()
}

impl Shared {
    fn progress_of(shared: &Arc<Self>) -> watch::Receiver<u64> {
        shared.progress()
    }
}
