//! Where bundles come from: a `.wasm` file, or all such files of a folder, watched for change.
//!
//! A [`Source`] tells what is there when it starts, then each change once. A file is read when it has come
//! to rest: a half-written one would only make a false error. With a file comes the signature beside it, and one
//! that comes, changes or goes later is a change of the file. What cannot be read is told too, and nothing
//! that was found before is forgotten because of it: only a file that is known to be gone is gone.

mod scan;
mod watch;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use airlock_model::id::BundleHash;
use tokio::sync::mpsc;

use crate::inspect::DEFAULT_MAX_BYTES;

/// What a source tells.
#[derive(Debug)]
pub enum SourceEvent {
    /// A file is there, or has other content or another signature than before.
    Found {
        /// The file.
        path: PathBuf,
        /// Its content.
        bytes: Vec<u8>,
        /// The content's BLAKE3.
        hash: BundleHash,
        /// The signature beside it, unchecked; none where there is none that can be read. Of one that is too large
        /// just enough to see that.
        signature: Option<Vec<u8>>,
    },
    /// A file that was told of is no longer there.
    Gone {
        /// The file.
        path: PathBuf,
    },
    /// A file, or the whole folder, cannot be read. Told once until it changes.
    Failed(SourceError),
}

/// Why a source, or a part of it, cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The folder cannot be listed.
    #[error(
        "AL-0220: the bundle folder {} cannot be read: {source}; create it, or correct `source` in airlock.toml",
        path.display()
    )]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The folder cannot be watched; it is still looked through from time to time.
    #[error(
        "AL-0221: the bundle folder {} cannot be watched: {source}; changes are found on the next look, at the latest every {period:?}",
        path.display()
    )]
    Watch {
        /// The folder.
        path: PathBuf,
        /// How often it is looked through.
        period: Duration,
        /// Why.
        source: notify::Error,
    },
    /// A file cannot be read.
    #[error(
        "AL-0222: the bundle {} cannot be read: {source}; check that Airlock's user may read it",
        path.display()
    )]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file that was named is not there.
    #[error(
        "AL-0223: there is no bundle {}; build it (`airlock bundle build`), or correct `source` in airlock.toml",
        path.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file is larger than is accepted.
    #[error(
        "AL-0224: the bundle {} has {bytes} bytes, and at most {limit} are accepted; strip debug information, or raise the limit",
        path.display()
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The most that is accepted.
        limit: u64,
    },
}

/// How a source looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceOptions {
    /// The largest file that is read, in bytes.
    pub max_bytes: u64,
    /// How long a file has not changed when it counts as at rest.
    pub settle: Duration,
    /// How often the folder is looked through though nothing was noticed: for file systems that tell
    /// nothing, and for a folder that was replaced.
    pub period: Duration,
}

impl Default for SourceOptions {
    fn default() -> Self {
        Self {
            max_bytes: DEFAULT_MAX_BYTES,
            settle: Duration::from_millis(200),
            period: Duration::from_secs(30),
        }
    }
}

/// Which files of a folder are bundles.
#[derive(Debug, Clone)]
enum Wanted {
    /// Every `*.wasm`, except hidden ones; folders in it are not looked into.
    All,
    /// This one.
    One(PathBuf),
}

/// A watched file or folder. Dropping it ends the watching.
#[derive(Debug)]
pub struct Source {
    events: mpsc::Receiver<SourceEvent>,
    task: tokio::task::JoinHandle<()>,
}

impl Source {
    /// Watches all `*.wasm` files of a folder. Must be called inside a Tokio runtime.
    #[must_use]
    pub fn folder(folder: &Path, options: SourceOptions) -> Self {
        Self::start(folder.to_owned(), Wanted::All, options)
    }

    /// Watches one file. Must be called inside a Tokio runtime.
    #[must_use]
    pub fn file(path: &Path, options: SourceOptions) -> Self {
        let folder = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let wanted = Wanted::One(path.to_owned());
        Self::start(folder.to_owned(), wanted, options)
    }

    fn start(folder: PathBuf, wanted: Wanted, options: SourceOptions) -> Self {
        // Few, since each may hold a whole bundle: a slow reader slows the reading.
        let (sender, events) = mpsc::channel(2);
        let task = tokio::spawn(watch::run(folder, wanted, options, sender));
        Self { events, task }
    }

    /// The next event; none only when the runtime is shutting down. Cancel-safe.
    pub async fn next(&mut self) -> Option<SourceEvent> {
        self.events.recv().await
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests;
