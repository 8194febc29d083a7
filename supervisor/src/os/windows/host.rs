//! This process and its host: clock, lock, folders. What Windows has no word for is said here too.

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
use crate::os::Ids;

/// What this process found when it began.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// The limits to give services: there are none here.
    pub limits: Vec<(u32, Option<u64>)>,
}

/// Now, on the clock of the core: it stands still while the machine sleeps.
pub fn now() -> BootInstant {
    let mut units = 0;
    // SAFETY: the call fills one number, and fails only for a null pointer.
    unsafe { QueryUnbiasedInterruptTime(&raw mut units) };
    BootInstant::since_boot(Duration::from_micros(units / 10))
}

/// Which boot this is: times since boot mean nothing in another.
pub fn boot_id() -> String {
    let key = wide(r"SYSTEM\CurrentControlSet\Control\Session Manager\Memory Management\PrefetchParameters");
    let (mut number, mut size) = (0_u32, 4);
    // SAFETY: names that end with 0, and room for the one number that is asked for.
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
    // Whom a pid means is safe without it, as a creation time is one of the calendar.
    if result == 0 { number.to_string() } else { "unknown".into() }
}

/// A name for this home that a copy of it does not share: where it is, and a random id in it.
pub fn instance_of(home: &Path, id: &str) -> io::Result<String> {
    let (volume, number) = pipe::id_of_folder(home)?;
    Ok(format!("{volume:x}.{number:x}.{id}"))
}

/// A few random digits: std takes the keys of its hashes from the system's generator.
pub fn random_id() -> io::Result<String> {
    Ok(format!("{:016x}", RandomState::new().build_hasher().finish()))
}

/// Orphans have no parent here: the job has them.
pub fn subreaper() -> io::Result<()> {
    Ok(())
}

/// Nothing: [`detach`] does it here.
pub fn close_inherited_files() {}

/// Handles are not limited.
pub fn raise_descriptor_limit() -> Host {
    Host::default()
}

/// None has a number.
pub fn limit_number(_name: &str) -> Option<u32> {
    None
}

/// Lets go of what the caller's caller had open: a child inherits that too, and whoever waits for the end of ctl's output
/// would wait for the supervisor's. Its own standard handles stay, and are not passed on. To be called before anything
/// is opened. A console it has only when nobody who thought of it has started it (the task scheduler): that closes here.
pub fn detach() {
    // Numbers are given out from the lowest one, four apart.
    const HIGHEST: usize = 0x4000;
    // SAFETY: nothing of ours is inheritable, so that who is was there before us; a number that is no handle is an error.
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

/// Nothing to read, nowhere to write.
pub fn null_device() -> io::Result<Handle> {
    Ok(OpenOptions::new().read(true).write(true).open("NUL")?.into())
}

/// Makes a folder that is this user's alone, wherever it lies, and so is what it will hold; one that is there stays as it
/// is.
pub fn own_dir(path: &Path) -> io::Result<()> {
    private::make_folder(path)
}

/// The same, and those above it.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    if let Some(above) = path.parent() {
        fs::create_dir_all(above)?;
    }
    private::make_folder(path)
}

/// Opens a file for writing anew. Who may read it is inherited from its folder, which is one of the above.
pub fn open_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)
}

/// Opens a file for reading and appending. Who may read it is inherited from its folder.
pub fn open_append(path: &Path, _: u32) -> io::Result<File> {
    OpenOptions::new().create(true).read(true).append(true).open(path)
}

/// Opens a file for reading and writing in place. Who may read it is inherited from its folder.
pub fn open_in_place(path: &Path, _: u32) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)
}

/// Whether something failed because the host, or this process, has too little of something. It may work later as it is.
pub fn is_shortage(error: &io::Error) -> bool {
    use io::ErrorKind::{OutOfMemory, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), OutOfMemory | QuotaExceeded | ReadOnlyFilesystem | StorageFull)
}

/// Whether it is descriptors that this process has too few of: there is no such limit here.
pub fn is_out_of_descriptors(_error: &io::Error) -> bool {
    false
}

/// How many descriptors this process may have: as many as it likes.
pub fn descriptor_limit() -> Option<u64> {
    None
}

/// The only truth about who supervises a home. Held until dropped or dead.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Takes it; `None`: somebody else has it. Others may read whose it is, and nobody else may write.
    pub fn take(path: &Path) -> io::Result<Option<Self>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).share_mode(FILE_SHARE_READ);
        match options.open(path) {
            Ok(file) => Self(file).signed().map(Some),
            Err(error) if error.raw_os_error() == i32::try_from(ERROR_SHARING_VIOLATION).ok() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The one that the program before this one held: its number came on the command line.
    pub fn inherit(number: i32) -> io::Result<Self> {
        let handle = ptr::without_provenance_mut(usize::try_from(number).map_err(io::Error::other)?);
        // SAFETY: a number that is no handle is an error here; the program before this one kept it open for us, and
        // nobody else here knows of it.
        let file = unsafe {
            done(SetHandleInformation(handle, HANDLE_FLAG_INHERIT, 0))?;
            File::from_raw_handle(handle)
        };
        Self(file).signed()
    }

    /// Whether this path names it: always, as nobody can delete what is open.
    pub fn is_at(&self, _path: &Path) -> bool {
        true
    }

    /// Nothing is left to be supervised: it names nobody from now on.
    pub fn done(&self) -> io::Result<()> {
        self.0.set_len(0)
    }

    /// Lets the next program inherit it; its number, for [`inherit`](Self::inherit).
    pub fn hand_over(&self) -> io::Result<i32> {
        let handle = self.0.as_raw_handle();
        // SAFETY: the handle is open.
        done(unsafe { SetHandleInformation(handle, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT) })?;
        i32::try_from(handle.addr()).map_err(io::Error::other)
    }

    /// Says in it whose it is.
    fn signed(self) -> io::Result<Self> {
        let mut file = &self.0;
        file.seek(SeekFrom::Start(0))?;
        file.set_len(0)?;
        file.write_all(format!("{}\n", std::process::id()).as_bytes())?;
        Ok(self)
    }
}

/// Goes on as another program: a new process here, which inherits the lock. Returns only if that failed.
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

/// Numbers mean nobody here: a named pipe says nothing of who calls, and only its owner can write to it.
pub fn own_ids() -> (u32, u32) {
    (0, 0)
}

/// What runs a line for the shell.
pub fn shell(line: &str) -> Vec<String> {
    vec![cmd(), "/d".into(), "/s".into(), "/c".into(), line.into()]
}

/// The system's own cmd, whatever `PATH` and `ComSpec` say.
pub(super) fn cmd() -> String {
    let mut buffer = [0_u16; 260];
    // SAFETY: the call fills at most as much as there is.
    let length = unsafe { GetSystemDirectoryW(buffer.as_mut_ptr(), 260) };
    let folder = buffer.get(..usize::try_from(length).unwrap_or(0)).filter(|folder| !folder.is_empty());
    let folder = folder.map_or_else(|| r"C:\Windows\System32".into(), String::from_utf16_lossy);
    format!(r"{folder}\cmd.exe")
}

/// Windows has one heap for all threads.
pub fn one_heap() {}

/// Windows gives back by itself what is not needed.
pub fn trim_heap() {}

/// Windows trims a working set by itself.
pub fn trim_text() {}

/// A thread has no user of its own here.
pub fn reach_files_as(_ids: &Ids) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
