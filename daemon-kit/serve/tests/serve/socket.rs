//! gRPC over a real Unix socket.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use proto::Endpoint;
use sereno_connect::lazy;
use sereno_runtime::Shutdown;
use sereno_serve::bind;
use sereno_serve::serve::serve;
use tonic::service::Routes;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

/// Longer than any step takes on a loaded machine.
const CEILING: Duration = Duration::from_secs(30);

fn endpoint(dir: &tempfile::TempDir) -> (Endpoint, std::path::PathBuf) {
    let path = dir.path().join("x.sock");
    (Endpoint::unix(&path).expect("a short path"), path)
}

fn inode(path: &Path) -> u64 {
    fs::symlink_metadata(path).expect("is there").ino()
}

fn asking(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.into() }
}

#[tokio::test]
async fn a_socket_is_for_its_owner_and_goes_with_its_listener() {
    let dir = tempfile::tempdir().expect("a folder");
    let (endpoint, path) = endpoint(&dir);
    let first = bind(&endpoint).expect("binds");
    assert_eq!(fs::metadata(&path).expect("is there").permissions().mode() & 0o777, 0o600);
    let old = inode(&path);
    let second = bind(&endpoint).expect("takes over a stale file");
    assert_ne!(inode(&path), old, "a new file (the old one is still held, so its number is not used again)");
    drop(first);
    assert!(path.exists(), "the first one does not remove what is not its own");
    drop(second);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_left_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    let (endpoint, path) = endpoint(&dir);
    fs::write(&path, "precious").expect("writes");
    let error = bind(&endpoint).expect_err("refused").to_string();
    assert!(error.contains("no socket is in the way"), "{error}");
    assert_eq!(fs::read_to_string(&path).expect("still there"), "precious");
}

#[tokio::test]
async fn serves_health_and_reflection_and_refuses_what_it_has_not() {
    let dir = tempfile::tempdir().expect("a folder");
    let (endpoint, path) = endpoint(&dir);
    let stop = Shutdown::new();
    let served = tokio::spawn(serve(
        bind(&endpoint).expect("binds"),
        Routes::default(),
        &["a.B"],
        stop.clone(),
        CEILING,
    ));
    let mut health = HealthClient::new(lazy(&endpoint));
    for service in ["", "a.B"] {
        let got = health.check(asking(service)).await.expect("answers").into_inner();
        assert_eq!(got.status(), ServingStatus::Serving);
    }
    assert_eq!(health.check(asking("a.C")).await.expect_err("unknown").code(), Code::NotFound);

    let mut reflection = v1::server_reflection_client::ServerReflectionClient::new(lazy(&endpoint));
    let asked = [
        MessageRequest::FileContainingSymbol("sereno.v1.Monitor".into()),
        MessageRequest::FileContainingSymbol("grpc.health.v1.Health".into()),
        MessageRequest::ListServices(String::new()),
    ];
    let requests =
        asked.map(|asked| v1::ServerReflectionRequest { host: String::new(), message_request: Some(asked) });
    let mut answers = reflection
        .server_reflection_info(Request::new(tokio_stream::iter(requests)))
        .await
        .expect("answers")
        .into_inner();
    for _ in 0..2 {
        let answer = answers.message().await.expect("no error").expect("one");
        assert!(format!("{:?}", answer.message_response).contains("FileDescriptorResponse"), "{answer:?}");
    }
    let listed = answers.message().await.expect("no error").expect("one").message_response;
    let Some(MessageResponse::ListServicesResponse(listed)) = listed else { panic!("{listed:?}") };
    let names: Vec<&str> = listed.service.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["a.B", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"]);
    drop(answers);

    stop.trigger();
    tokio::time::timeout(CEILING, served).await.expect("in time").expect("no panic").expect("well");
    assert!(!path.exists());
}

#[tokio::test]
async fn an_open_stream_does_not_hold_it_beyond_the_grace() {
    let dir = tempfile::tempdir().expect("a folder");
    let (endpoint, _path) = endpoint(&dir);
    let stop = Shutdown::new();
    let grace = Duration::from_millis(50);
    let served =
        tokio::spawn(serve(bind(&endpoint).expect("binds"), Routes::default(), &[], stop.clone(), grace));
    let mut health = HealthClient::new(lazy(&endpoint));
    let mut open = health.watch(asking("")).await.expect("opens").into_inner();
    open.message().await.expect("no error").expect("the first state");
    stop.trigger();
    tokio::time::timeout(CEILING, served).await.expect("in time").expect("no panic").expect("well");
}

#[tokio::test]
async fn a_channel_finds_a_server_that_comes_later_and_one_that_comes_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let (endpoint, _path) = endpoint(&dir);
    let mut health = HealthClient::new(lazy(&endpoint));
    assert_eq!(health.check(asking("")).await.expect_err("nobody there").code(), Code::Unavailable);
    for _ in 0..2 {
        let stop = Shutdown::new();
        let listener = bind(&endpoint).expect("binds");
        let served = tokio::spawn(serve(listener, Routes::default(), &[], stop.clone(), CEILING));
        // The call that finds the old connection dead may fail; the next call opens a new one.
        let answer = async { while health.check(asking("")).await.is_err() {} };
        tokio::time::timeout(CEILING, answer).await.expect("in time");
        stop.trigger();
        served.await.expect("no panic").expect("well");
    }
}
