//! A supervisor that only says what a test told it to, and the real `ctl` asking it.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};

use proto::v1::supervisor_server::{Supervisor, SupervisorServer};
use proto::v1::*;
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::sync::{oneshot, watch};
use tokio_stream::wrappers::{UnixListenerStream, WatchStream};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response};

/// What it says, and what it was asked.
#[derive(Default)]
pub(crate) struct Script {
    /// Answered to every command about services.
    pub(crate) outcomes: Vec<Outcome>,
    /// Becomes the state when a command about services comes.
    pub(crate) then: Option<Status>,
    pub(crate) events: Vec<Event>,
    pub(crate) logs: Vec<ReadLogsResponse>,
    pub(crate) steps: Vec<Step>,
    /// What came, written as `start web` or `apply start=true /x/sereno.toml`.
    pub(crate) asked: Vec<String>,
}

/// A folder with a `sereno.toml`, and perhaps a fake supervisor listening in its home.
pub(crate) struct World {
    folder: TempDir,
    pub(crate) script: Arc<Mutex<Script>>,
    status: watch::Sender<Status>,
    stop: Option<oneshot::Sender<()>>,
}

impl World {
    /// Nobody listens.
    pub(crate) fn deserted() -> Self {
        let folder = TempDir::new().expect("a folder");
        std::fs::write(
            folder.path().join("sereno.toml"),
            "[services.web]\ncommand = \"sleep 1000\"\nport = 8000\n",
        )
        .expect("a file");
        let (status, _) = watch::channel(Status::default());
        Self { folder, script: Arc::default(), status, stop: None }
    }

    /// Every daemon listens and none ever answers, as if stopped by SIGSTOP.
    pub(crate) fn frozen() -> (Self, Vec<UnixListener>) {
        let world = Self::deserted();
        let run = world.folder.path().join(".sereno/run");
        std::fs::create_dir_all(&run).expect("a folder");
        let names = ["supervisor", "health-monitor", "port-monitor"];
        let bind = |name| UnixListener::bind(run.join(format!("{name}.sock"))).expect("a socket");
        (world, names.map(bind).into())
    }

    /// A supervisor listens that is in this state.
    pub(crate) fn with(status: Status) -> Self {
        let mut world = Self::deserted();
        world.status.send_replace(status);
        let run = world.folder.path().join(".sereno/run");
        std::fs::create_dir_all(&run).expect("a folder");
        let listener = UnixListener::bind(run.join("supervisor.sock")).expect("a socket");
        let (stop, stopped) = oneshot::channel();
        let (gone, left) = oneshot::channel::<()>();
        let fake = Fake {
            script: Arc::clone(&world.script),
            status: world.status.clone(),
            gone: Mutex::new(Some(gone)),
        };
        tokio::spawn(async move {
            let server = tonic::transport::Server::builder()
                .add_service(SupervisorServer::new(fake))
                .serve_with_incoming(UnixListenerStream::new(listener));
            tokio::select! {
                end = server => end.expect("serves"),
                _ = stopped => {}
                _ = left => {}
            }
        });
        world.stop = Some(stop);
        world
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.script.lock().expect("the script").asked.clone()
    }

    /// Runs `ctl` here, to its end.
    pub(crate) async fn ctl(&self, line: &str) -> Answer {
        self.run(Path::new(env!("CARGO_BIN_EXE_ctl")), line).await
    }

    /// Runs another copy of `ctl` here.
    pub(crate) async fn run(&self, program: &Path, line: &str) -> Answer {
        let mut command = command(program, self.path(), line);
        let output = tokio::task::spawn_blocking(move || command.output().expect("ctl runs"));
        Answer::from(output.await.expect("no panic"))
    }
}

/// `ctl` in a folder, untouched by the environment of whoever runs the tests.
pub(crate) fn command(program: &Path, folder: &Path, line: &str) -> std::process::Command {
    #[expect(clippy::disallowed_methods, reason = "the command itself is what is tested")]
    let mut command = std::process::Command::new(program);
    command.args(line.split_whitespace()).current_dir(folder).stdin(Stdio::null());
    command.env_clear().env("PATH", "/usr/bin:/bin").env("TZ", "UTC");
    command
}

/// What a command said.
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        Self { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Copies `ctl` into a folder, beside a `supervisor` that is this shell script.
pub(crate) fn install(folder: &Path, script: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let bin = folder.join("bin");
    std::fs::create_dir(&bin).expect("a folder");
    let supervisor = bin.join("supervisor");
    std::fs::write(&supervisor, format!("#!/bin/sh\n{script}\n")).expect("a script");
    std::fs::set_permissions(&supervisor, std::fs::Permissions::from_mode(0o755)).expect("executable");
    let ctl = bin.join("ctl");
    std::fs::copy(env!("CARGO_BIN_EXE_ctl"), &ctl).expect("a copy");
    ctl
}

struct Fake {
    script: Arc<Mutex<Script>>,
    status: watch::Sender<Status>,
    gone: Mutex<Option<oneshot::Sender<()>>>,
}

type Answered<T> = Result<Response<T>, tonic::Status>;
type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, tonic::Status>> + Send>>;

impl Fake {
    fn note(&self, what: String) {
        self.script.lock().expect("the script").asked.push(what);
    }

    /// Takes a command about services.
    fn command(&self, verb: &str, selection: Option<Selection>) -> Vec<Outcome> {
        let selection = selection.unwrap_or_default();
        let whom = if selection.all { "--all".into() } else { selection.selectors.join(" ") };
        self.note(format!("{verb} {whom}"));
        let mut script = self.script.lock().expect("the script");
        if let Some(then) = script.then.take() {
            self.status.send_replace(then);
        }
        script.outcomes.clone()
    }
}

#[tonic::async_trait]
impl Supervisor for Fake {
    type WatchStatusStream = Streamed<WatchStatusResponse>;
    type WatchEventsStream = Streamed<WatchEventsResponse>;
    type ReadLogsStream = Streamed<ReadLogsResponse>;

    async fn get_status(&self, _: Request<GetStatusRequest>) -> Answered<GetStatusResponse> {
        Ok(Response::new(GetStatusResponse { status: Some(self.status.borrow().clone()), more: false }))
    }
    async fn watch_status(&self, _: Request<WatchStatusRequest>) -> Answered<Self::WatchStatusStream> {
        let states = WatchStream::new(self.status.subscribe());
        Ok(Response::new(Box::pin(
            states.map(|status| Ok(WatchStatusResponse { status: Some(status), more: false })),
        )))
    }
    async fn start(&self, request: Request<StartRequest>) -> Answered<StartResponse> {
        let outcomes = self.command("start", request.into_inner().selection);
        Ok(Response::new(StartResponse { outcomes }))
    }
    async fn stop(&self, request: Request<StopRequest>) -> Answered<StopResponse> {
        let outcomes = self.command("stop", request.into_inner().selection);
        Ok(Response::new(StopResponse { outcomes }))
    }
    async fn restart(&self, request: Request<RestartRequest>) -> Answered<RestartResponse> {
        let outcomes = self.command("restart", request.into_inner().selection);
        Ok(Response::new(RestartResponse { outcomes }))
    }
    async fn signal(&self, request: Request<SignalRequest>) -> Answered<SignalResponse> {
        let request = request.into_inner();
        let outcomes = self.command(&format!("signal {}", request.signal), request.selection);
        Ok(Response::new(SignalResponse { outcomes }))
    }
    async fn pause(&self, request: Request<PauseRequest>) -> Answered<PauseResponse> {
        let request = request.into_inner();
        let seconds = request.r#for.map_or(0, |time| time.seconds);
        let outcomes = self.command(&format!("pause {seconds}"), request.selection);
        Ok(Response::new(PauseResponse { outcomes }))
    }
    async fn apply(&self, request: Request<ApplyRequest>) -> Answered<ApplyResponse> {
        let request = request.into_inner();
        let source = request.source.unwrap_or_default();
        self.note(format!("apply start={} {}", request.start, source.path));
        let steps = self.script.lock().expect("the script").steps.clone();
        Ok(Response::new(ApplyResponse { steps, notes: Vec::new() }))
    }
    async fn get_timeline(&self, request: Request<GetTimelineRequest>) -> Answered<GetTimelineResponse> {
        let request = request.into_inner();
        self.note(format!("timeline {} why={} limit={}", request.service, request.why, request.limit));
        Ok(Response::new(GetTimelineResponse {
            more: false,
            incident: None,
            events: self.script.lock().expect("the script").events.clone(),
        }))
    }
    async fn get_incidents(&self, request: Request<GetIncidentsRequest>) -> Answered<GetIncidentsResponse> {
        let request = request.into_inner();
        self.note(format!("incidents {} limit={}", request.selectors.join(" "), request.limit));
        Ok(Response::new(GetIncidentsResponse::default()))
    }
    async fn get_evidence(&self, request: Request<GetEvidenceRequest>) -> Answered<GetEvidenceResponse> {
        let GetEvidenceRequest { service, incarnation } = request.into_inner();
        if service != "web" {
            return Err(tonic::Status::not_found(format!("no evidence is kept of {service}")));
        }
        let text = "web (incarnation 4): its only thread stopped by SIGSTOP\n\npid 7\x1b[2J (web)\n".into();
        Ok(Response::new(GetEvidenceResponse { incarnation: incarnation.max(4), text }))
    }
    async fn read_logs(&self, request: Request<ReadLogsRequest>) -> Answered<Self::ReadLogsStream> {
        let request = request.into_inner();
        self.note(format!(
            "logs lines={} follow={} stream={}",
            request.lines, request.follow, request.stream
        ));
        let logs = self.script.lock().expect("the script").logs.clone();
        if request.follow {
            return Ok(Response::new(Box::pin(tokio_stream::iter(
                std::iter::repeat_with(move || logs.clone()).flatten().map(Ok),
            ))));
        }
        Ok(Response::new(Box::pin(tokio_stream::iter(logs.into_iter().map(Ok)))))
    }
    async fn shutdown(&self, request: Request<ShutdownRequest>) -> Answered<ShutdownResponse> {
        self.note(format!("shutdown keep={}", request.into_inner().keep_services));
        if let Some(gone) = self.gone.lock().expect("once").take() {
            // After the answer is on its way, as the real one does it.
            tokio::spawn(async move {
                tokio::task::yield_now().await;
                let _ = gone.send(());
            });
        }
        Ok(Response::new(ShutdownResponse {}))
    }
    async fn upgrade(&self, _: Request<UpgradeRequest>) -> Answered<UpgradeResponse> {
        Err(tonic::Status::unimplemented("Upgrade is not in this version"))
    }
    async fn reset(&self, _: Request<ResetRequest>) -> Answered<ResetResponse> {
        Err(proto::detail::unknown_selector("no service is meant by \"nobody\"".into(), "nobody".into()))
    }
    async fn reload(&self, _: Request<ReloadRequest>) -> Answered<ReloadResponse> {
        Err(tonic::Status::unimplemented(""))
    }
    async fn resume(&self, _: Request<ResumeRequest>) -> Answered<ResumeResponse> {
        Err(tonic::Status::invalid_argument("selection: empty"))
    }
    async fn plan(&self, _: Request<PlanRequest>) -> Answered<PlanResponse> {
        Ok(Response::new(PlanResponse {
            notes: Vec::new(),
            plan: "p1".into(),
            steps: self.script.lock().expect("the script").steps.clone(),
        }))
    }
    async fn add_service(&self, _: Request<AddServiceRequest>) -> Answered<AddServiceResponse> {
        Err(tonic::Status::unimplemented(""))
    }
    async fn remove_service(&self, _: Request<RemoveServiceRequest>) -> Answered<RemoveServiceResponse> {
        Err(tonic::Status::unimplemented(""))
    }
    async fn watch_events(&self, _: Request<WatchEventsRequest>) -> Answered<Self::WatchEventsStream> {
        Err(tonic::Status::unimplemented(""))
    }
}
