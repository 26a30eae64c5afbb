//! Granted directories, opened so that nothing outside of them can be reached through what was opened.

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use airlock_grant::{
    Directory, DirectoryGrant, GuestPath, Permit,
    port::{self, DirectoryError},
};
use cap_std::{ambient_authority, fs::Dir};

/// The host's directories.
#[derive(Debug, Clone, Copy, Default)]
pub struct Directories;

impl port::Directories for Directories {
    fn open(&self, permit: Permit<Directory>) -> Result<OwnedFd, DirectoryError> {
        open(&permit).map(|directory| directory.into_std_file().into())
    }
}

/// Opens a granted directory. Where the grant was automatic, no symbolic link on the way may lead out of the
/// bundle's folder; where a person wrote the path, it may lead wherever that person's links do.
///
/// # Errors
/// A [`DirectoryError`] that says what to create or correct.
pub fn open(permit: &Permit<Directory>) -> Result<Dir, DirectoryError> {
    let directory = permit.item();
    let opened = match directory.within() {
        None => return open_at(directory.path(), directory.host()),
        Some(within) => Dir::open_ambient_dir(within, ambient_authority()).and_then(|folder| {
            let below = directory.host().strip_prefix(within);
            folder.open_dir(below.map_err(|_| led_outside())?)
        }),
    };
    opened.map_err(|source| {
        let (path, host) = (directory.path().to_string(), directory.host().to_owned());
        // The refusal to leave the folder is not the operating system's, and so has no number.
        let refused_here = source.raw_os_error().is_none();
        match (source.kind(), directory.within()) {
            (io::ErrorKind::PermissionDenied, Some(within)) if refused_here => {
                DirectoryError::Outside {
                    path,
                    within: within.to_owned(),
                }
            }
            _ => not_opened(path, host, source),
        }
    })
}

/// What would be wrong with this directory if it were granted now. It asks the file system, and so blocks for a
/// moment.
///
/// # Errors
/// A [`DirectoryError`] that says what to create or correct.
pub fn probe(grant: &DirectoryGrant) -> Result<(), DirectoryError> {
    open_at(&grant.path, &grant.host).map(drop)
}

fn open_at(path: &GuestPath, host: &Path) -> Result<Dir, DirectoryError> {
    Dir::open_ambient_dir(host, ambient_authority())
        .map_err(|source| not_opened(path.to_string(), host.to_owned(), source))
}

fn not_opened(path: String, host: PathBuf, source: io::Error) -> DirectoryError {
    match source.kind() {
        io::ErrorKind::NotFound => DirectoryError::Missing { path, host },
        io::ErrorKind::NotADirectory => DirectoryError::NotADirectory { path, host },
        _ => DirectoryError::Unreadable { path, host, source },
    }
}

/// What is wrong with these directories now, each told once however many callers may see it: for the
/// operator, before anything runs. It asks the file system, and so blocks for a moment.
pub fn check<'a>(permits: impl IntoIterator<Item = &'a Permit<Directory>>) -> Vec<DirectoryError> {
    let mut seen: Vec<&Directory> = Vec::new();
    let mut wrong = Vec::new();
    for permit in permits {
        if !seen.contains(&permit.item()) {
            seen.push(permit.item());
            wrong.extend(open(permit).err());
        }
    }
    wrong
}

fn led_outside() -> io::Error {
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        "the path is not below the folder",
    )
}

#[cfg(test)]
mod tests;
