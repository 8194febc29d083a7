//! `ReadLogs`: what services wrote, from the files, merged by time as far as it is known.

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
}

/// Reads until all is said, or for ever; ends when the client is gone.
pub(super) async fn read(request: Request, to: Sender) {
    let since = request.since.and_then(|since| SystemTime::now().checked_sub(since));
    let (lines, follow) = (request.lines, request.follow);
    let sources: Vec<Source> = request
        .files
        .into_iter()
        .map(|file| {
            // Subscribed before the first read: what comes in between is not missed.
            let progress = file.shared.as_ref().filter(|_| follow).map(Shared::progress_of);
            let of_it = |(service, which, _): &&(String, Which, Place)| {
                *service == file.service.as_str() && *which == file.which
            };
            let reader = match request.after.iter().find(of_it) {
                Some((_, _, place)) => Reader::after(&file.path, *place),
                None => Reader::tail(&file.path, lines, since),
            };
            Source { file, reader, progress }
        })
        .collect();
    let Some(sources) = past(sources, &to).await else { return };
    if follow {
        let tasks = sources.into_iter().map(|source| go_on(source, to.clone()));
        futures_util::future::join_all(tasks).await;
    }
}

/// What is there already, in order of time over all outputs.
async fn past(mut sources: Vec<Source>, to: &Sender) -> Option<Vec<Source>> {
    let mut heads: Vec<Option<Chunk>> = Vec::with_capacity(sources.len());
    for place in 0..sources.len() {
        let (source, head) = step(sources.swap_remove(place)).await?;
        sources.push(source);
        let last = sources.len() - 1;
        sources.swap(place, last);
        heads.push(head);
    }
    // A chunk without a time stays with what came before it.
    let mut times: Vec<SystemTime> = vec![SystemTime::UNIX_EPOCH; sources.len()];
    loop {
        let mut next: Option<usize> = None;
        for (place, head) in heads.iter().enumerate() {
            let Some(head) = head else { continue };
            times[place] = head.time.unwrap_or(times[place]).max(times[place]);
            if next.is_none_or(|best| times[place] < times[best]) {
                next = Some(place);
            }
        }
        let Some(place) = next else { return Some(sources) };
        let chunk = heads[place].take()?;
        send(&sources[place], chunk, to).await?;
        let (source, head) = step(sources.swap_remove(place)).await?;
        sources.push(source);
        let last = sources.len() - 1;
        sources.swap(place, last);
        heads[place] = head;
    }
}

/// What comes, as it comes.
async fn go_on(mut source: Source, to: Sender) {
    loop {
        let Some((back, chunk)) = step(source).await else { return };
        source = back;
        if let Some(chunk) = chunk {
            if send(&source, chunk, &to).await.is_none() {
                return;
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

/// One read, where a slow disk delays nobody.
async fn step(mut source: Source) -> Option<(Source, Option<Chunk>)> {
    let read = tokio::task::spawn_blocking(move || {
        let chunk = source.reader.step();
        (source, chunk)
    });
    let (source, chunk) = read.await.ok()?;
    match chunk {
        Ok(chunk) => Some((source, chunk)),
        Err(error) => {
            tracing::warn!(path = %source.file.path.display(), %error, "reading a log failed");
            Some((source, None))
        }
    }
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
