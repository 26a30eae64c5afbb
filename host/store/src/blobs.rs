//! The content store: immutable bytes in files named after their BLAKE3.
//!
//! A file appears under its name only when it is whole and on disk: it is written beside, synced, renamed,
//! and its folder synced. Reading checks the bytes against the name, so that a damaged file is an error and
//! never somebody's result.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use airlock_model::{
    id::BundleHash,
    port::{Blobs, StoreError},
};
use async_trait::async_trait;

use crate::error::{corrupt, from_io};

/// Contents below one folder: `ab/cdef…`, half-written ones in `new/`.
#[derive(Debug)]
pub struct BlobFiles {
    root: PathBuf,
}

/// Tells files that are being written apart within the process; its id does between processes.
static WRITES: AtomicU64 = AtomicU64::new(0);

impl BlobFiles {
    /// The contents below `root`, which is created where it is missing, for its owner only. What an earlier
    /// process left half-written is removed.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let root = root.into();
        let new = root.join("new");
        folder(&new).map_err(from_io)?;
        for left in new.read_dir().map_err(from_io)? {
            std::fs::remove_file(left.map_err(from_io)?.path()).map_err(from_io)?;
        }
        Ok(Self { root })
    }

    /// Removes a content; one that is not there is fine. Nobody may be about to write it.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub(crate) async fn remove(&self, hash: &BundleHash) -> Result<(), StoreError> {
        let path = self.path(hash);
        match blocking(move || std::fs::remove_file(path)).await? {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(from_io(error)),
            _ => Ok(()),
        }
    }

    fn path(&self, hash: &BundleHash) -> PathBuf {
        let name = hash.to_string();
        let (folder, file) = name.split_at(2);
        self.root.join(folder).join(file)
    }

    fn signature_path(&self, of: &BundleHash) -> PathBuf {
        self.path(of).with_extension("minisig")
    }
}

fn folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn hash(bytes: &[u8]) -> BundleHash {
    BundleHash::from_bytes(*blake3::hash(bytes).as_bytes())
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn write(root: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let parent = path.parent().unwrap_or(root);
    // A file that is there but damaged is written anew.
    let whole = std::fs::read(path).is_ok_and(|there| there == bytes);
    if !whole {
        if !parent.is_dir() {
            folder(parent)?;
            sync_folder(root)?;
        }
        let name = format!(
            "{}-{}",
            std::process::id(),
            WRITES.fetch_add(1, Ordering::Relaxed)
        );
        let beside = root.join("new").join(name);
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)
            .and_then(|mut file| {
                file.write_all(bytes)?;
                file.sync_all()
            })
            .and_then(|()| std::fs::rename(&beside, path));
        if let Err(error) = written {
            // What remains is removed at the next start at the latest.
            let _ = std::fs::remove_file(&beside);
            return Err(error);
        }
    }
    // Also when the file was there already: whoever wrote it may not have come to this yet.
    sync_folder(parent)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| StoreError::Unavailable(e.into()))
}

#[async_trait]
impl Blobs for BlobFiles {
    async fn put(&self, bytes: &[u8]) -> Result<BundleHash, StoreError> {
        let (root, bytes) = (self.root.clone(), bytes.to_vec());
        let hash = hash(&bytes);
        let path = self.path(&hash);
        blocking(move || write(&root, &path, &bytes))
            .await?
            .map_err(from_io)?;
        Ok(hash)
    }

    async fn get(&self, wanted: &BundleHash) -> Result<Option<Vec<u8>>, StoreError> {
        let (path, wanted) = (self.path(wanted), *wanted);
        blocking(move || match std::fs::read(&path) {
            Ok(bytes) if hash(&bytes) == wanted => Ok(Some(bytes)),
            Ok(_) => Err(corrupt(format!(
                "`{}` does not hold what its name says; it was damaged or changed",
                path.display()
            ))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(from_io(error)),
        })
        .await?
    }

    async fn put_signature(&self, of: &BundleHash, signature: &[u8]) -> Result<(), StoreError> {
        let (root, path) = (self.root.clone(), self.signature_path(of));
        let signature = signature.to_vec();
        blocking(move || write(&root, &path, &signature))
            .await?
            .map_err(from_io)
    }

    async fn signature(&self, of: &BundleHash) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.signature_path(of);
        blocking(move || match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(from_io(error)),
        })
        .await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn contents_come_back_by_their_hash() {
        let home = tempfile::tempdir().unwrap();
        let blobs = BlobFiles::open(home.path().join("blobs")).unwrap();
        let hash = blobs.put(b"large").await.unwrap();
        assert_eq!(blobs.put(b"large").await.unwrap(), hash);
        assert_eq!(
            blobs.get(&hash).await.unwrap().as_deref(),
            Some(&b"large"[..])
        );
        assert_eq!(
            blobs.get(&BundleHash::from_bytes([7; 32])).await.unwrap(),
            None
        );
        let new = home.path().join("blobs/new").read_dir().unwrap();
        assert_eq!(new.count(), 0, "nothing half-written stays");
    }

    #[tokio::test]
    async fn a_damaged_content_is_an_error_and_is_healed_by_writing_it_again() {
        let home = tempfile::tempdir().unwrap();
        let blobs = BlobFiles::open(home.path()).unwrap();
        let hash = blobs.put(b"large").await.unwrap();
        std::fs::write(blobs.path(&hash), b"larger").unwrap();
        assert!(matches!(
            blobs.get(&hash).await,
            Err(StoreError::Corrupt(_))
        ));
        blobs.put(b"large").await.unwrap();
        assert_eq!(
            blobs.get(&hash).await.unwrap().as_deref(),
            Some(&b"large"[..])
        );
    }

    #[tokio::test]
    async fn a_signature_is_kept_beside_its_content_until_another_takes_its_place() {
        let home = tempfile::tempdir().unwrap();
        let blobs = BlobFiles::open(home.path()).unwrap();
        let hash = blobs.put(b"component").await.unwrap();
        assert_eq!(blobs.signature(&hash).await.unwrap(), None);
        for signature in [&b"first"[..], b"second"] {
            blobs.put_signature(&hash, signature).await.unwrap();
            let kept = blobs.signature(&hash).await.unwrap();
            assert_eq!(kept.as_deref(), Some(signature));
        }
        let content = blobs.get(&hash).await.unwrap();
        assert_eq!(content.as_deref(), Some(&b"component"[..]));
    }

    #[tokio::test]
    async fn what_a_killed_process_left_half_written_is_removed() {
        let home = tempfile::tempdir().unwrap();
        let blobs = BlobFiles::open(home.path()).unwrap();
        let left = home.path().join("new/1-1");
        std::fs::write(&left, b"lar").unwrap();
        drop(blobs);
        BlobFiles::open(home.path()).unwrap();
        assert!(!left.exists());
    }

    #[tokio::test]
    async fn many_writers_of_one_content_agree() {
        let home = tempfile::tempdir().unwrap();
        let blobs = std::sync::Arc::new(BlobFiles::open(home.path()).unwrap());
        let writers: Vec<_> = (0..8)
            .map(|_| {
                let blobs = std::sync::Arc::clone(&blobs);
                tokio::spawn(async move { blobs.put(&[1; 100_000]).await.unwrap() })
            })
            .collect();
        for writer in writers {
            let hash = writer.await.unwrap();
            assert_eq!(blobs.get(&hash).await.unwrap().unwrap().len(), 100_000);
        }
    }
}
