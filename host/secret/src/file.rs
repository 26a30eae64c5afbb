//! The key file: read only when nobody else can, and replaced so that a crash leaves either the old or the
//! new one.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use airlock_model::port::StoreError;
use zeroize::Zeroizing;

use crate::{
    keyring::{KeyId, Keyring, NotUnderstood},
    seal::SealError,
};

/// The largest key file, in bytes: a few keys, and comments.
const MAX_BYTES: u64 = 64 * 1024;

/// Why the keys cannot be had or replaced.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The file cannot be read or written.
    #[error("AL-0901: the key file {} cannot be used: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others could read or change it.
    #[error(
        "AL-0902: the key file {} is open to others than its owner (mode {mode:04o}, owner {owner}); run `chmod 600` on it as the user that runs Airlock",
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The owner's user id.
        owner: u32,
    },
    /// Not a key file.
    #[error(
        "AL-0903: line {line} of the key file {} is not understood; put back the file as Airlock wrote it",
        path.display()
    )]
    NotUnderstood {
        /// The file.
        path: PathBuf,
        /// Counted from one.
        line: usize,
    },
    /// No key could be made.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The sealed values could not be resealed; the old key stays, and the rotation can be run again.
    #[error(
        "AL-0908: the new key is in place, but what is in the database could not be sealed with it: {0}; both keys are kept: run the rotation again"
    )]
    Reseal(#[source] StoreError),
}

impl Keyring {
    /// Reads the key file.
    ///
    /// # Errors
    /// A [`KeyringError`], also when others than the owner could read it.
    pub fn load(path: &Path) -> Result<Self, KeyringError> {
        let text = read(path).map_err(|source| KeyringError::File {
            path: path.to_owned(),
            source,
        })??;
        Self::from_text(&text).map_err(|NotUnderstood { line }| KeyringError::NotUnderstood {
            path: path.to_owned(),
            line,
        })
    }

    /// Reads the key file, or makes one with a new key, readable by its owner only. Of several processes
    /// that do so at once, one makes it and all get the same.
    ///
    /// # Errors
    /// A [`KeyringError`].
    pub fn load_or_create(path: &Path) -> Result<Self, KeyringError> {
        match Self::load(path) {
            Err(KeyringError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            loaded => return loaded,
        }
        let keyring = Self::generate()?;
        // A hard link, other than a rename, does not replace a file that another process made meanwhile.
        match put(path, &keyring, |from, to| fs::hard_link(from, to)) {
            Ok(()) => Ok(keyring),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::load(path),
            Err(source) => Err(KeyringError::File {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Replaces the key file. When this returns, the new one is durable.
    pub(crate) fn save(&self, path: &Path) -> Result<(), KeyringError> {
        put(path, self, |from, to| fs::rename(from, to)).map_err(|source| KeyringError::File {
            path: path.to_owned(),
            source,
        })
    }
}

/// Removes what a process left beside the key file that was killed while it replaced it. Nobody else may be replacing it.
pub(crate) fn remove_leftovers(path: &Path) -> Result<(), KeyringError> {
    let prefix = path.file_name().unwrap_or_default();
    let is_leftover = |name: &std::ffi::OsStr| {
        let rest = name
            .as_encoded_bytes()
            .strip_prefix(prefix.as_encoded_bytes());
        let rest = rest.and_then(|rest| std::str::from_utf8(rest.strip_prefix(b".")?).ok());
        rest.and_then(|rest| rest.split_once('-'))
            .is_some_and(|(process, key)| {
                process.parse::<u32>().is_ok()
                    && key.len() == 2 * KeyId::BYTES
                    && key.bytes().all(|byte| byte.is_ascii_hexdigit())
            })
    };
    let remove = || {
        for entry in fs::read_dir(folder_of(path))? {
            let entry = entry?;
            if is_leftover(&entry.file_name()) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    };
    remove().map_err(|source| KeyringError::File {
        path: path.to_owned(),
        source,
    })
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

fn read(path: &Path) -> io::Result<Result<Zeroizing<String>, KeyringError>> {
    let file = File::open(path)?;
    // Of the open file, so that what is checked is what is read.
    let metadata = file.metadata()?;
    let (mode, owner) = (metadata.mode() & 0o7777, metadata.uid());
    let mine = owner == rustix::process::geteuid().as_raw() || owner == 0;
    if !metadata.is_file() || mode & 0o077 != 0 || !mine {
        let path = path.to_owned();
        return Ok(Err(KeyringError::Exposed { path, mode, owner }));
    }
    let capacity = usize::try_from(metadata.len().min(MAX_BYTES)).unwrap_or_default();
    let mut text = Zeroizing::new(String::with_capacity(capacity + 1));
    (&file).take(MAX_BYTES).read_to_string(&mut text)?;
    Ok(Ok(text))
}

/// Writes a new file beside `path`, makes it durable, and puts it in place by `place`.
fn put(
    path: &Path,
    keyring: &Keyring,
    place: impl FnOnce(&Path, &Path) -> io::Result<()>,
) -> io::Result<()> {
    let folder = folder_of(path);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}-{}", std::process::id(), keyring.active()));
    let beside = folder.join(name);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| {
            file.write_all(keyring.to_text().as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| place(&beside, path));
    // After a rename it is not there any more.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    written?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
