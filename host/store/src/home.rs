//! One host per folder.
//!
//! The host holds an advisory lock on `$AIRLOCK_HOME/lock` for as long as it lives (the system lets go of it
//! when the process ends, however it ends), and writes into the file who it is and where its API listens, so
//! that commands find it.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// The lock's file in the home folder.
const FILE: &str = "lock";

/// Who holds a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process.
    pub pid: u32,
    /// Where its API listens, as a URL; none until it does.
    pub api: Option<String>,
}

/// Why a folder could not be locked or looked at.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Another host is at work in it.
    #[error("AL-0620: another airlock{} works in `{}`; stop it first, or set AIRLOCK_HOME to another folder", pid_text(.holder.as_ref()), .home.display())]
    Held {
        /// The folder.
        home: PathBuf,
        /// Who it is, where it has said so.
        holder: Option<Holder>,
    },
    /// The file cannot be read or written.
    #[error("AL-0621: the lock file `{}` cannot be used: {source}; make the folder writable for this user", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
}

fn pid_text(holder: Option<&Holder>) -> String {
    holder
        .map(|holder| format!(" (process {})", holder.pid))
        .unwrap_or_default()
}

/// A folder of which this process is the one host. Letting go of it frees the folder.
#[derive(Debug)]
pub struct HomeLock {
    file: File,
    path: PathBuf,
}

impl HomeLock {
    /// Takes the folder, which has to be there.
    ///
    /// # Errors
    /// [`HomeError::Held`] while another host works in it.
    pub fn acquire(home: &Path) -> Result<Self, HomeError> {
        let path = home.join(FILE);
        let failed = |source| HomeError::File {
            path: path.clone(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        // A command that looks who holds the folder holds the lock for a moment itself.
        for attempt in 0..5 {
            match file.try_lock() {
                Ok(()) => {
                    let mut lock = Self { file, path };
                    lock.write(None)?;
                    return Ok(lock);
                }
                Err(TryLockError::WouldBlock) if attempt < 4 => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(TryLockError::WouldBlock) => break,
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
        }
        let holder = holder(&mut file).map_err(failed)?;
        Err(HomeError::Held {
            home: home.to_owned(),
            holder,
        })
    }

    /// Says where the API listens.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn announce(&mut self, api: &str) -> Result<(), HomeError> {
        self.write(Some(api.to_owned()))
    }

    /// Who holds the folder now; none when nobody does, whatever the file says.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn holder(home: &Path) -> Result<Option<Holder>, HomeError> {
        let path = home.join(FILE);
        let failed = |source| HomeError::File {
            path: path.clone(),
            source,
        };
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(failed(source)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => holder(&mut file).map_err(failed),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    fn write(&mut self, api: Option<String>) -> Result<(), HomeError> {
        let holder = Holder {
            pid: std::process::id(),
            api,
        };
        let write = || {
            let text = serde_json::to_vec(&holder)?;
            self.file.rewind()?;
            self.file.set_len(0)?;
            self.file.write_all(&text)
        };
        let mut write = write;
        write().map_err(|source| HomeError::File {
            path: self.path.clone(),
            source,
        })
    }
}

/// What the file says; none when its holder is just writing it.
fn holder(file: &mut File) -> io::Result<Option<Holder>> {
    let mut text = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_host_is_refused_and_told_who_the_first_is() {
        let home = tempfile::tempdir().unwrap();
        let mut first = HomeLock::acquire(home.path()).unwrap();
        first.announce("http://127.0.0.1:8080").unwrap();
        let holder = Holder {
            pid: std::process::id(),
            api: Some("http://127.0.0.1:8080".into()),
        };
        match HomeLock::acquire(home.path()) {
            Err(HomeError::Held {
                holder: Some(told), ..
            }) => assert_eq!(told, holder),
            other => panic!("{other:?}"),
        }
        assert_eq!(HomeLock::holder(home.path()).unwrap(), Some(holder));
    }

    #[test]
    fn a_folder_is_free_once_its_host_is_gone_whatever_the_file_says() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(HomeLock::holder(home.path()).unwrap(), None);
        let mut lock = HomeLock::acquire(home.path()).unwrap();
        lock.announce("http://127.0.0.1:8080").unwrap();
        drop(lock);
        assert!(home.path().join(FILE).metadata().unwrap().len() > 0);
        assert_eq!(HomeLock::holder(home.path()).unwrap(), None);
        HomeLock::acquire(home.path()).unwrap();
    }
}
