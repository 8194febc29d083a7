//! This process and its host: clock, lock, folders. Includes stand-ins for functions without an equivalent on Windows.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::{AsRawHandle, FromRawHandle};
use std::os::windows::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::ptr;
use std::time::Duration;

use windows_sys::Win32::Foundation::{
    CloseHandle, ERROR_SHARING_VIOLATION, GetHandleInformation, HANDLE_FLAG_INHERIT, SetHandleInformation,
};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_SHARE_READ, FILE_TYPE_CHAR, FILE_TYPE_DISK, FILE_TYPE_PIPE, GetFileType,
};
use windows_sys::Win32::System::Console::{
    FreeConsole, GetConsoleCP, GetStdHandle, STD_ERROR_HANDLE, STD_INPUT_HANDLE, STD_OUTPUT_HANDLE,
    SetStdHandle,
};
use windows_sys::Win32::System::Registry::{HKEY_LOCAL_MACHINE, RRF_RT_REG_DWORD, RegGetValueW};
use windows_sys::Win32::System::SystemInformation::GetSystemDirectoryW;
use windows_sys::Win32::System::Threading::{CREATE_NEW_PROCESS_GROUP, DETACHED_PROCESS};
use windows_sys::Win32::System::WindowsProgramming::QueryUnbiasedInterruptTime;

use super::handle::{Handle, done, wide};
use super::{pipe, private};
use crate::lifecycle::BootInstant;
use crate::os::{Host, Ids};

/// Returns the current time on the boot clock, which stands still while the machine sleeps.
pub fn now() -> BootInstant {
    let mut units = 0;
    // SAFETY: the call fills one number, and fails only for a null pointer.
    unsafe { QueryUnbiasedInterruptTime(&raw mut units) };
    BootInstant::since_boot(Duration::from_micros(units / 10))
}

/// Returns the id of this boot: times since boot mean nothing in another boot.
pub fn boot_id() -> String {
    let key = wide(r"SYSTEM\CurrentControlSet\Control\Session Manager\Memory Management\PrefetchParameters");
    let (mut number, mut size) = (0_u32, 4);
    // SAFETY: names that end with 0, and room for the single number that is read.
    let result = unsafe {
        let (value, kind) = (wide("BootId"), ptr::null_mut());
        let room = (&raw mut number).cast();
        RegGetValueW(
            HKEY_LOCAL_MACHINE,
            key.as_ptr(),
            value.as_ptr(),
            RRF_RT_REG_DWORD,
            kind,
            room,
            &raw mut size,
        )
    };
    // Pids are safe without it, as a creation time is a calendar time.
    if result == 0 { number.to_string() } else { "unknown".into() }
}

/// Returns a name for this home that a copy of it does not share: volume and file number, and a random id in it.
pub fn instance_of(home: &Path, id: &str) -> io::Result<String> {
    let (volume, number) = pipe::id_of_folder(home)?;
    Ok(format!("{volume:x}.{number:x}.{id}"))
}

/// Returns a random id of 16 hexadecimal digits: std takes the keys of its hashes from the system's generator.
pub fn random_id() -> io::Result<String> {
    Ok(format!("{:016x}", RandomState::new().build_hasher().finish()))
}

/// Does nothing: orphans have no parent here, and stay in their job.
pub fn subreaper() -> io::Result<()> {
    Ok(())
}

/// Does nothing: [`detach`] does it here.
pub fn close_inherited_files() {}

/// Does nothing: handles are not limited.
pub fn raise_descriptor_limit() -> Host {
    Host::default()
}

/// Always `None`: Windows has no such limits.
pub fn limit_number(_name: &str) -> Option<u32> {
    None
}

/// Closes the handles inherited from the caller's caller: `ctl` passes them on, and a program that waits for the end of
/// ctl's output would wait for the supervisor's. The standard handles stay, but are not passed on. Must be called
/// before anything is opened. This process has a console only if the task scheduler started it: the console is closed
/// here.
pub fn detach() {
    // Handle numbers are given out from the lowest, in steps of four.
    const HIGHEST: usize = 0x4000;
    // SAFETY: this process has made no inheritable handle, so an inheritable handle was there before; a number that is
    // not a handle is an error.
    unsafe {
        let which = [STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE];
        if GetConsoleCP() != 0 {
            for which in which {
                if GetFileType(GetStdHandle(which)) == FILE_TYPE_CHAR {
                    SetStdHandle(which, ptr::null_mut());
                }
            }
            FreeConsole();
        }
        let own = which.map(|which| GetStdHandle(which));
        for handle in (4..HIGHEST).step_by(4).map(ptr::without_provenance_mut) {
            let mut flags = 0;
            let inherited =
                GetHandleInformation(handle, &raw mut flags) != 0 && flags & HANDLE_FLAG_INHERIT != 0;
            if !inherited || !matches!(GetFileType(handle), FILE_TYPE_DISK | FILE_TYPE_PIPE) {
                continue;
            }
            if own.contains(&handle) {
                SetHandleInformation(handle, HANDLE_FLAG_INHERIT, 0);
            } else {
                CloseHandle(handle);
            }
        }
    }
}

/// Opens `NUL`: nothing to read, and writes are dropped.
pub fn null_device() -> io::Result<Handle> {
    Ok(OpenOptions::new().read(true).write(true).open("NUL")?.into())
}

/// Creates a folder that only this user can open, at any place, and the same for its future contents; an existing
/// folder is left unchanged.
pub fn own_dir(path: &Path) -> io::Result<()> {
    private::make_folder(path)
}

/// Does the same, and creates missing folders above it.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    if let Some(above) = path.parent() {
        fs::create_dir_all(above)?;
    }
    private::make_folder(path)
}

/// Opens a file and truncates it. Its access rights are inherited from its folder, which one of the functions above has
/// made.
pub fn open_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)
}

/// Opens a file for reading and appending. Its access rights are inherited from its folder.
pub fn open_append(path: &Path, _: u32) -> io::Result<File> {
    OpenOptions::new().create(true).read(true).append(true).open(path)
}

/// Opens a file for reading and writing in place. Its access rights are inherited from its folder.
pub fn open_in_place(path: &Path, _: u32) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)
}

/// Returns whether an error means that the host or this process lacks a resource. A later try may work unchanged.
pub fn is_shortage(error: &io::Error) -> bool {
    use io::ErrorKind::{OutOfMemory, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), OutOfMemory | QuotaExceeded | ReadOnlyFilesystem | StorageFull)
}

/// Returns whether an error means that this process lacks descriptors: never, as there is no such limit here.
pub fn is_out_of_descriptors(_error: &io::Error) -> bool {
    false
}

/// Always `None`: the number of handles is not limited.
pub fn descriptor_limit() -> Option<u64> {
    None
}

/// The lock that decides which process supervises a home. Held until it is dropped or the process dies.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Takes the lock; `None` if another process holds it. Other processes may read the holder's pid, but not write.
    pub fn take(path: &Path) -> io::Result<Option<Self>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).share_mode(FILE_SHARE_READ);
        match options.open(path) {
            Ok(file) => Self(file).signed().map(Some),
            Err(error) if error.raw_os_error() == i32::try_from(ERROR_SHARING_VIOLATION).ok() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes over the lock of the previous program; its number came on the command line.
    pub fn inherit(number: i32) -> io::Result<Self> {
        let handle = ptr::without_provenance_mut(usize::try_from(number).map_err(io::Error::other)?);
        // SAFETY: a number that is not a handle is an error here; the previous program kept it open for this program,
        // and there is no other owner.
        let file = unsafe {
            done(SetHandleInformation(handle, HANDLE_FLAG_INHERIT, 0))?;
            File::from_raw_handle(handle)
        };
        Self(file).signed()
    }

    /// Returns whether this path names the lock's file: always, as an open file cannot be deleted.
    pub fn is_at(&self, _path: &Path) -> bool {
        true
    }

    /// Returns the process that the lock was taken over from: none, as a process that is terminated always ends.
    pub fn taken_over_from(&self) -> Option<u32> {
        None
    }

    /// Empties the file, as nothing is left to supervise: it names no process from now on.
    pub fn done(&self) -> io::Result<()> {
        self.0.set_len(0)
    }

    /// Lets the next program inherit the lock. Returns its number, for [`inherit`](Self::inherit).
    pub fn hand_over(&self) -> io::Result<i32> {
        let handle = self.0.as_raw_handle();
        // SAFETY: the handle is open.
        done(unsafe { SetHandleInformation(handle, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT) })?;
        i32::try_from(handle.addr()).map_err(io::Error::other)
    }

    /// Writes this process's pid into the file.
    fn signed(self) -> io::Result<Self> {
        let mut file = &self.0;
        file.seek(SeekFrom::Start(0))?;
        file.set_len(0)?;
        file.write_all(format!("{}\n", std::process::id()).as_bytes())?;
        Ok(self)
    }
}

/// Continues as another program: a new process here, which inherits the lock. Returns only if that failed.
#[expect(
    clippy::disallowed_methods,
    reason = "the one thing that is started for itself; what is not handed over is dropped by the system, as at an exec"
)]
pub fn exec(program: &Path, args: &[String]) -> io::Error {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.creation_flags(DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP).spawn() {
        Ok(_) => std::process::exit(0),
        Err(error) => error,
    }
}

/// Always zero: a named pipe does not tell the caller's user, and only its owner can write to it.
pub fn own_ids() -> (u32, u32) {
    (0, 0)
}

/// Returns the command that runs a line in the shell.
pub fn shell(line: &str) -> Vec<String> {
    vec![cmd(), "/d".into(), "/s".into(), "/c".into(), line.into()]
}

/// Returns the system's own cmd, whatever `PATH` and `ComSpec` contain.
pub(super) fn cmd() -> String {
    let mut buffer = [0_u16; 260];
    // SAFETY: the call fills at most the length it is given.
    let length = unsafe { GetSystemDirectoryW(buffer.as_mut_ptr(), 260) };
    let folder = buffer.get(..usize::try_from(length).unwrap_or(0)).filter(|folder| !folder.is_empty());
    let folder = folder.map_or_else(|| r"C:\Windows\System32".into(), String::from_utf16_lossy);
    format!(r"{folder}\cmd.exe")
}

/// Does nothing: Windows has a single heap for all threads.
pub fn one_heap() {}

/// Does nothing: Windows takes unused memory back by itself.
pub fn trim_heap() {}

/// Does nothing: Windows trims a working set by itself.
pub fn trim_text() {}

/// Always fails: a thread cannot have its own user here.
pub fn reach_files_as(_ids: &Ids) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// No killer picks processes here when memory runs out.
pub fn spare_from_oom() {}
