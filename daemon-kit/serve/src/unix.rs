//! Endpoints on Unix: a socket in the file system, for its owner only.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use proto::Endpoint;
use tokio::net::{UnixListener, UnixSocket, UnixStream};

use super::listen::ListenError;

/// Our side of a connection.
pub(super) type Io = UnixStream;

/// Maximum number of clients that wait to be accepted.
const BACKLOG: u32 = 128;

/// A bound socket and its file.
#[derive(Debug)]
pub(super) struct Listener {
    socket: UnixListener,
    path: PathBuf,
    id: (u64, u64),
}

impl Listener {
    pub(super) fn bind(endpoint: &Endpoint) -> Result<Self, ListenError> {
        let Endpoint::Unix(path) = endpoint else {
            return Err(ListenError::Foreign { endpoint: endpoint.clone() });
        };
        let failed = |source| ListenError::Bind { endpoint: endpoint.clone(), source };
        match fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => fs::remove_file(path).map_err(failed)?,
            Ok(_) => return Err(ListenError::Occupied { endpoint: endpoint.clone() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        Self::listen(path).map_err(failed)
    }

    fn listen(path: &Path) -> io::Result<Self> {
        let socket = UnixSocket::new_stream()?;
        socket.bind(path)?;
        // No client can connect before `listen`, so there is no moment at which another user may.
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        let id = identity(path)?;
        Ok(Self { socket: socket.listen(BACKLOG)?, path: path.into(), id })
    }

    /// Returns the next connection, its user id and its process id.
    pub(super) async fn accept(&mut self) -> io::Result<(Io, Option<u32>, Option<u32>)> {
        let (stream, _) = self.socket.accept().await?;
        let cred = stream.peer_cred();
        let uid = cred.as_ref().ok().map(tokio::net::unix::UCred::uid);
        let pid = cred.ok().and_then(|cred| u32::try_from(cred.pid()?).ok());
        // Without a uid the peer must not count as operator: `None` would mean that on other systems.
        Ok((stream, Some(uid.unwrap_or(u32::MAX)), pid))
    }
}

/// Returns the user id of this process.
#[expect(clippy::unnecessary_wraps, reason = "elsewhere there are none")]
pub(super) fn own_uid() -> Option<u32> {
    Some(rustix::process::geteuid().as_raw())
}

impl Drop for Listener {
    fn drop(&mut self) {
        // A successor may have bound the same path: its file is not ours to remove.
        if identity(&self.path).is_ok_and(|id| id == self.id) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}
