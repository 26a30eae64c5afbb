//! One look at a folder, held against the look before. It takes no event as input, so that looking once more
//! is always right.

use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata},
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use airlock_model::id::BundleHash;

use super::{SourceError, SourceEvent, SourceOptions, Wanted};
use crate::{
    inspect::hash,
    signature::{MAX_SIGNATURE_BYTES, signature_path},
};

/// What tells that a file changed, without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
    /// A file put in another's place has another number, and one that may be read now where it could not
    /// be before was changed at another time.
    number: (u64, i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let number = {
            use std::os::unix::fs::MetadataExt as _;
            (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
        };
        #[cfg(not(unix))]
        let number = (0, 0, 0);
        Self {
            bytes: metadata.len(),
            modified: metadata.modified().ok(),
            number,
        }
    }

    /// Whether the file has not changed for this long by the clock of the file system. False where that
    /// cannot be known: then a second look decides.
    fn rested(&self, settle: Duration) -> bool {
        self.modified
            .and_then(|modified| modified.elapsed().ok())
            .is_some_and(|age| age >= settle)
    }
}

/// What tells that a file, or the signature beside it, changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamps {
    component: Stamp,
    signature: Option<Stamp>,
}

impl Stamps {
    fn rested(&self, settle: Duration) -> bool {
        let signature = self.signature;
        self.component.rested(settle) && signature.is_none_or(|stamp| stamp.rested(settle))
    }
}

#[derive(Debug, Default)]
struct Known {
    /// The stamp at the last look.
    stamps: Option<Stamps>,
    /// The stamp with which it was read or refused.
    settled: Option<Stamps>,
    /// The content that was told, and that of its signature.
    told: Option<(BundleHash, Option<BundleHash>)>,
    /// Why the file could not even be looked at, last time.
    complaint: Option<String>,
}

/// What has been told so far.
#[derive(Debug, Default)]
pub(super) struct Scan {
    files: BTreeMap<PathBuf, Known>,
    /// The last error of the folder, or of the one file being missing.
    complaint: Option<String>,
}

/// A file that is to be read now.
#[derive(Debug)]
pub(super) struct Ready {
    path: PathBuf,
    stamps: Stamps,
}

/// What a look gave.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub(super) events: Vec<SourceEvent>,
    pub(super) ready: Vec<Ready>,
    /// Some file is not at rest: look again soon.
    pub(super) again: bool,
}

impl Scan {
    /// Looks. `rechecked`: at least the settling time has passed since the look before.
    pub(super) fn look(
        &mut self,
        folder: &Path,
        wanted: &Wanted,
        options: &SourceOptions,
        rechecked: bool,
    ) -> Look {
        let mut look = Look::default();
        let present = match list(folder, wanted) {
            Ok(present) => present,
            Err(source) => {
                let path = folder.to_owned();
                self.complain(SourceError::Folder { path, source }, &mut look);
                return look;
            }
        };
        for path in self.files.keys().cloned().collect::<Vec<_>>() {
            if !present.contains_key(&path)
                && let Some(known) = self.files.remove(&path)
                && known.told.is_some()
            {
                look.events.push(SourceEvent::Gone { path });
            }
        }
        match wanted {
            Wanted::One(path) if present.is_empty() => {
                let path = path.clone();
                self.complain(SourceError::Missing { path }, &mut look);
            }
            _ => self.complaint = None,
        }
        for (path, metadata) in present {
            let known = self.files.entry(path.clone()).or_default();
            let metadata = match metadata {
                Ok(metadata) => metadata,
                Err(source) => {
                    let text = source.to_string();
                    if known.complaint.replace(text.clone()) != Some(text) {
                        let error = SourceError::File { path, source };
                        look.events.push(SourceEvent::Failed(error));
                    }
                    continue;
                }
            };
            known.complaint = None;
            let stamps = Stamps {
                component: Stamp::of(&metadata),
                signature: signature_stamp(&path),
            };
            let same = known.stamps.replace(stamps) == Some(stamps);
            if known.settled == Some(stamps) {
                continue;
            }
            if !(stamps.rested(options.settle) || same && rechecked) {
                look.again = true;
                continue;
            }
            let bytes = stamps.component.bytes;
            if bytes > options.max_bytes {
                known.settled = Some(stamps);
                look.events.push(SourceEvent::Failed(SourceError::TooLarge {
                    path,
                    bytes,
                    limit: options.max_bytes,
                }));
            } else {
                look.ready.push(Ready { path, stamps });
            }
        }
        look
    }

    /// Reads a file that is ready. None: its content is the one that was told, or it changed meanwhile, and
    /// the next look will see.
    pub(super) fn read(&mut self, ready: &Ready) -> Option<SourceEvent> {
        let known = self.files.get_mut(&ready.path)?;
        let path = ready.path.clone();
        let (bytes, component) = match read(&path, ready.stamps.component.bytes) {
            Ok(read) => read,
            Err(source) => {
                known.settled = Some(ready.stamps);
                return Some(SourceEvent::Failed(SourceError::File { path, source }));
            }
        };
        let signature = ready.stamps.signature.and_then(|stamp| {
            let most = stamp.bytes.min(MAX_SIGNATURE_BYTES as u64);
            read(&signature_path(&path), most).ok()
        });
        let (signature, beside) = match signature {
            Some((signature, stamp)) => (Some(signature), Some(stamp)),
            // One that cannot be read is none until it changes.
            None => (None, ready.stamps.signature),
        };
        let after = Stamps {
            component,
            signature: beside,
        };
        if after != ready.stamps {
            return None;
        }
        known.settled = Some(after);
        let hash = hash(&bytes);
        let told = (hash, signature.as_deref().map(crate::inspect::hash));
        (known.told.replace(told) != Some(told)).then_some(SourceEvent::Found {
            path,
            bytes,
            hash,
            signature,
        })
    }

    fn complain(&mut self, error: SourceError, look: &mut Look) {
        let text = error.to_string();
        if self.complaint.as_ref() != Some(&text) {
            self.complaint = Some(text);
            look.events.push(SourceEvent::Failed(error));
        }
    }
}

type Present = BTreeMap<PathBuf, io::Result<Metadata>>;

fn list(folder: &Path, wanted: &Wanted) -> io::Result<Present> {
    let mut present = BTreeMap::new();
    // Listing the folder even for one file tells a missing folder from a missing file.
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let path = match wanted {
            Wanted::One(path) if path.file_name() == Some(&name) => path.clone(),
            Wanted::One(_) => continue,
            Wanted::All => folder.join(&name),
        };
        let hidden = name.as_encoded_bytes().starts_with(b".");
        let wasm = path.extension().is_some_and(|ending| ending == "wasm");
        if matches!(wanted, Wanted::All) && (hidden || !wasm) {
            continue;
        }
        // Symbolic links are followed: whoever may write the folder may as well put the file there.
        match fs::metadata(&path) {
            Ok(metadata) if !metadata.is_file() => {}
            // It went between the listing and now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            metadata => {
                present.insert(path, metadata);
            }
        }
    }
    Ok(present)
}

/// The stamp of the signature beside a component. What cannot be looked at is none.
fn signature_stamp(component: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(signature_path(component)).ok()?;
    metadata.is_file().then(|| Stamp::of(&metadata))
}

/// The content with the stamp that the open file has after it was read. Reads at most one byte more than
/// `expected`: a file that has grown is not at rest.
fn read(path: &Path, expected: u64) -> io::Result<(Vec<u8>, Stamp)> {
    let file = File::open(path)?;
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or_default());
    (&file).take(expected + 1).read_to_end(&mut bytes)?;
    let mut stamp = Stamp::of(&file.metadata()?);
    stamp.bytes = stamp.bytes.max(bytes.len() as u64);
    Ok((bytes, stamp))
}
