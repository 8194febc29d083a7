//! The HTTP check over TLS: whom it trusts, and how it hangs up.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proto::v1;
use proto::v1::target::Spec;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::crypto::ring;
use sereno_monitor::Verdict;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::common::look;

/// A server whose certificate nobody signed but itself.
struct Server {
    address: SocketAddr,
    certificate: String,
    /// How each connection ended, as the server sees it: with 0 bytes where that was said in TLS.
    ends: mpsc::UnboundedReceiver<io::Result<usize>>,
}

/// Answers with these bytes, and waits for the other side to hang up.
async fn server(answer: Vec<u8>) -> Server {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let key = signing_key.serialize_der().try_into().expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key))
        .expect("a good configuration");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("0.0.0.0:0").await.expect("binds");
    let address = ([127, 0, 0, 1], listener.local_addr().expect("has one").port()).into();
    let (tell, ends) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let end = match acceptor.accept(stream).await {
                Ok(mut stream) => {
                    let _ = stream.read(&mut [0; 4096]).await;
                    let _ = stream.write_all(&answer).await;
                    let _ = stream.flush().await;
                    stream.read(&mut [0; 4096]).await
                }
                Err(error) => Err(error),
            };
            let _ = tell.send(end);
        }
    });
    Server { address, certificate: cert.pem(), ends }
}

async fn see(url: String, insecure: bool, ca_file: &str) -> Verdict {
    let spec = v1::HttpCheck { url, insecure, ca_file: ca_file.into(), ..v1::HttpCheck::default() };
    look(Spec::Http(spec), Duration::from_secs(5)).await.expect("a good target")
}

#[tokio::test]
async fn a_certificate_is_accepted_only_if_it_is_trusted() {
    let mut server = server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec()).await;
    let url = format!("https://{}/", server.address);
    let folder = tempfile::tempdir().expect("a folder");
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, &server.certificate).expect("written");
    let ca = ca.to_str().expect("text");

    let seen = see(url.clone(), false, "").await;
    assert_eq!((seen.passing, seen.own_trouble), (false, None));
    assert!(seen.detail.starts_with("invalid peer certificate: "), "{}", seen.detail);
    let end = server.ends.recv().await.expect("came").expect_err("was refused");
    assert!(end.to_string().contains("alert"), "the server is not told why: {end}");
    for (insecure, ca) in [(false, ca), (true, ""), (true, ca)] {
        let seen = see(url.clone(), insecure, ca).await;
        assert_eq!((seen.passing, seen.detail.as_str()), (true, "200"));
        let end = server.ends.recv().await.expect("came");
        assert!(matches!(end, Ok(0)), "{end:?}");
    }
    // It is not the certificate of this name.
    let url = format!("https://localhost:{}/", server.address.port());
    let seen = see(url.clone(), false, ca).await;
    assert!(!seen.passing && seen.detail.contains("not valid for name"), "{}", seen.detail);
    assert!(see(url, true, "").await.passing);
}

#[tokio::test]
async fn interim_answers_over_tls_end_at_the_limit() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(200_000);
    let server = server(interim.into_bytes()).await;
    let seen = see(format!("https://{}/", server.address), true, "").await;
    assert_eq!((seen.passing, seen.detail.as_str()), (false, "sent 1 MiB without a whole answer"));
}
