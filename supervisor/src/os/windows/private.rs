//! Access rights of the objects that the supervisor makes: this user, the system and the administrators only. A user's
//! profile has such rights by default; other folders on a disk do not.

use std::ffi::c_void;
use std::io;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::io::AsRawHandle;
use std::path::Path;
use std::ptr;

use windows_sys::Win32::Foundation::{HLOCAL, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    ConvertSidToStringSidW, ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1,
};
use windows_sys::Win32::Security::{
    GetTokenInformation, SECURITY_ATTRIBUTES, TOKEN_QUERY, TOKEN_USER, TokenUser,
};
use windows_sys::Win32::Storage::FileSystem::CreateDirectoryW;
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

use super::handle::{done, own, wide};

/// Longer than any user's SID as a text.
const LONGEST_SID: usize = 1024;

/// Memory that the system has allocated.
struct Local(HLOCAL);

impl Drop for Local {
    fn drop(&mut self) {
        // SAFETY: allocated by the system, and freed once.
        unsafe { LocalFree(self.0) };
    }
}

/// A security descriptor for a new object.
pub(super) struct Private {
    descriptor: Local,
}

impl Private {
    /// Allows only this user, with or without elevated rights, besides the system and administrators; `inherited`
    /// extends this to a folder's future contents.
    pub(super) fn new(inherited: bool) -> io::Result<Self> {
        let user = user()?;
        let flags = if inherited { "OICI" } else { "" };
        let entry = |who: &str| format!("(A;{flags};GA;;;{who})");
        let text = wide(&format!("D:P{}{}{}", entry("SY"), entry("BA"), entry(&user)));
        let mut descriptor = ptr::null_mut();
        // SAFETY: the text ends with 0; the result is owned here and freed by `Local`.
        done(unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                text.as_ptr(),
                SDDL_REVISION_1,
                &raw mut descriptor,
                ptr::null_mut(),
            )
        })?;
        Ok(Self { descriptor: Local(descriptor) })
    }

    /// Returns the attributes for a call; valid while this value lives.
    pub(super) fn attributes(&self) -> SECURITY_ATTRIBUTES {
        SECURITY_ATTRIBUTES {
            nLength: u32::try_from(size_of::<SECURITY_ATTRIBUTES>()).expect("small"),
            lpSecurityDescriptor: self.descriptor.0,
            bInheritHandle: 0,
        }
    }
}

/// Creates a folder for this user alone. An existing folder is left unchanged.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    let private = Private::new(true)?;
    let attributes = private.attributes();
    let path: Vec<u16> = path.as_os_str().encode_wide().chain([0]).collect();
    // SAFETY: the path ends with 0, and the descriptor outlives the call.
    let made = done(unsafe { CreateDirectoryW(path.as_ptr(), &raw const attributes) });
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Returns the SID of this process's user, as a text.
fn user() -> io::Result<String> {
    let mut token = ptr::null_mut();
    // SAFETY: the token is new and owned here; the first call returns the length that it needs, and the second gets an
    // aligned buffer of that length.
    unsafe {
        done(OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut token))?;
        let token = own(token)?;
        let mut size = 0;
        GetTokenInformation(token.as_raw_handle(), TokenUser, ptr::null_mut(), 0, &raw mut size);
        let mut buffer =
            vec![0_usize; usize::try_from(size).unwrap_or(0).div_ceil(size_of::<usize>()).max(8)];
        let place: *mut c_void = buffer.as_mut_ptr().cast();
        let room = u32::try_from(size_of_val(buffer.as_slice())).unwrap_or(0);
        done(GetTokenInformation(token.as_raw_handle(), TokenUser, place, room, &raw mut size))?;
        let user = place.cast::<TOKEN_USER>().read();
        let mut text = ptr::null_mut();
        done(ConvertSidToStringSidW(user.User.Sid, &raw mut text))?;
        let freed = Local(text.cast());
        let length = (0..LONGEST_SID).take_while(|at| *text.add(*at) != 0).count();
        let sid = String::from_utf16_lossy(std::slice::from_raw_parts(text, length));
        drop(freed);
        Ok(sid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_made_for_its_user() {
        assert!(user().expect("a token").starts_with("S-1-"));
        let folder = tempfile::tempdir().expect("a folder");
        let private = folder.path().join("private");
        make_folder(&private).expect("made");
        make_folder(&private).expect("one that is there is no error");
        std::fs::write(private.join("x"), "ours").expect("its user may write");
        assert_eq!(std::fs::read_to_string(private.join("x")).expect("and read"), "ours");
    }
}
