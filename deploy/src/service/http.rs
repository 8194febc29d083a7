//! A minimal implementation of HTTP/1.1 for one request and one answer.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

const LONGEST_HEAD: usize = 8 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads a request up to the end of its head; returns its path without the query.
pub(super) fn read_path(connection: &mut TcpStream) -> io::Result<String> {
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let length = connection.read(&mut piece)?;
        if length == 0 || head.len() > LONGEST_HEAD {
            return Err(ErrorKind::InvalidData.into());
        }
        head.extend_from_slice(&piece[..length]);
    }
    path(&head).ok_or_else(|| ErrorKind::InvalidData.into())
}

fn path(head: &[u8]) -> Option<String> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let target = std::str::from_utf8(line).ok()?.split(' ').nth(1)?;
    Some(target.split('?').next().unwrap_or(target).to_owned())
}

/// Sends an answer and closes the connection.
pub(super) fn write(connection: &mut TcpStream, status: &str, kind: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {length}\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    );
    connection.write_all((head + body).as_bytes())?;
    connection.shutdown(Shutdown::Write)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_the_second_word_without_the_query() {
        assert_eq!(path(b"GET /break/exit?now HTTP/1.1\r\nHost: x\r\n\r\n").as_deref(), Some("/break/exit"));
        assert_eq!(path(b"GET\r\n\r\n"), None);
        assert_eq!(path(b"GET \xff HTTP/1.1\r\n\r\n"), None);
    }
}
