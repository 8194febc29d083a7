//! Connects for a check, also when this host has no port to spare for the usual source address.
//!
//! A process of any user can bind all ports that the system gives to outgoing connections, on one address of the
//! loopback: then every connection fails that does not name its source. A source that is bound first has ports of its own
//! for each address.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::{TcpSocket, TcpStream};

/// Connects to an address. An error of the kind `AddrInUse` or `AddrNotAvailable` means that this host has no port to
/// spare, and says nothing about the address.
pub async fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let error = match TcpStream::connect(address).await {
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => error,
        connected => return connected,
    };
    if !address.ip().to_canonical().is_loopback() {
        return Err(error);
    }
    let mut last = error;
    for source in sources(address.ip()) {
        match dial_from(source, address).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
            // The host has no such address, so that nothing can listen there either.
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable && source == address.ip() => {
                return Err(io::Error::new(io::ErrorKind::Unsupported, format!("this host has no {source}")));
            }
            connected => return connected,
        }
    }
    Err(last)
}

/// The source that the system would take, then another one, which no process can have filled in advance.
fn sources(to: IpAddr) -> Vec<IpAddr> {
    match to.to_canonical() {
        IpAddr::V4(_) if to.is_ipv4() => {
            let any = || fastrand::u8(1..=254);
            vec![Ipv4Addr::LOCALHOST.into(), Ipv4Addr::new(127, any(), any(), any()).into()]
        }
        _ => vec![Ipv6Addr::LOCALHOST.into()],
    }
}

async fn dial_from(source: IpAddr, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.bind(SocketAddr::new(source, 0))?;
    socket.connect(address).await
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn each_source_reaches_a_listener() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let at = listener.local_addr().expect("bound");
        assert_eq!(dial(at).await.expect("reached").peer_addr().expect("connected"), at);
        // Only Linux has the whole range on the loopback.
        let sources = sources(at.ip());
        let usable = if cfg!(target_os = "linux") { sources.len() } else { 1 };
        for source in &sources[..usable] {
            let stream = dial_from(*source, at).await.expect("reached");
            assert_eq!(stream.local_addr().expect("bound").ip(), *source);
        }
        drop(listener);
        assert_eq!(dial(at).await.expect_err("nobody").kind(), io::ErrorKind::ConnectionRefused);
    }
}
