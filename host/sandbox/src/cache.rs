//! Machine code by content: compiled once for all teams, and again only for another compiler.
//!
//! A file is named after the component's BLAKE3 and the compiler's edition, written beside its final name,
//! synced, and renamed. Beside it lies its keyed hash; the key is made at first use and stays in the folder.
//! Whoever can write there could make both, which is why the folder must belong to the host's user and be
//! closed to all others; the hash finds what a disk or a copy of the wrong folder has done to a file.
//! A file that does not pass is as good as none: the component is compiled again.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    hash::{Hash, Hasher},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use airlock_model::id::BundleHash;
use wasmtime::Engine;

use crate::code::Verified;

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// It is open to others, or not ours.
    #[error(
        "AL-0540: {} must belong to the user that runs Airlock and be closed to all others, because what lies in it is run; `chmod 700` it, or name another folder",
        .0.display()
    )]
    Open(PathBuf),
    /// A file operation failed.
    #[error("AL-0541: the code cache in {} cannot be used: {source}", folder.display())]
    Io {
        /// The folder.
        folder: PathBuf,
        /// What failed.
        #[source]
        source: io::Error,
    },
}

/// Which compiler with which settings: code of one edition runs on every engine of that edition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edition(String);

impl Edition {
    pub(crate) fn of(engine: &Engine) -> Self {
        let mut digest = Digest(blake3::Hasher::new());
        engine.precompile_compatibility_hash().hash(&mut digest);
        let hex = digest.0.finalize().to_hex();
        Self(hex.chars().take(16).collect())
    }
}

/// Lets BLAKE3 stand where the standard library wants a hasher.
struct Digest(blake3::Hasher);

impl Hasher for Digest {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
    fn finish(&self) -> u64 {
        let mut first = [0; 8];
        self.0.finalize_xof().fill(&mut first);
        u64::from_le_bytes(first)
    }
}

/// A folder of machine code.
#[derive(Debug)]
pub(crate) struct CodeCache {
    folder: PathBuf,
    edition: Edition,
    key: [u8; blake3::KEY_LEN],
    temporary: AtomicU64,
}

impl CodeCache {
    /// Opens or creates the folder, and removes what other editions and interrupted writes left.
    pub(crate) fn open(folder: &Path, edition: Edition) -> Result<Self, CacheError> {
        let io_error = |source| CacheError::Io {
            folder: folder.to_owned(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(io_error)?;
        let about = fs::metadata(folder).map_err(io_error)?;
        if about.mode() & 0o077 != 0 || about.uid() != rustix::process::geteuid().as_raw() {
            return Err(CacheError::Open(folder.to_owned()));
        }
        let cache = Self {
            key: key(folder).map_err(io_error)?,
            folder: folder.to_owned(),
            edition,
            temporary: AtomicU64::new(0),
        };
        cache.tidy().map_err(io_error)?;
        Ok(cache)
    }

    /// The code of this component, if it is here and whole.
    pub(crate) fn get(&self, hash: &BundleHash) -> Option<Verified> {
        let path = self.path(hash, "cwasm");
        let expected = fs::read(self.path(hash, "mac")).ok()?;
        let mut file = File::open(&path).ok()?;
        let mut mac = self.mac(hash);
        let mut buffer = vec![0; 64 << 10];
        loop {
            match file.read(&mut buffer).ok()? {
                0 => break,
                n => mac.update(buffer.get(..n)?),
            };
        }
        let expected: [u8; blake3::OUT_LEN] = expected.try_into().ok()?;
        (mac.finalize() == expected).then_some(Verified(path))
    }

    /// Keeps the code of this component.
    pub(crate) fn put(&self, hash: &BundleHash, code: &[u8]) -> Result<(), CacheError> {
        let mac = self.mac(hash).update(code).finalize();
        self.write(&self.path(hash, "mac"), mac.as_bytes())
            .and_then(|()| self.write(&self.path(hash, "cwasm"), code))
            .map_err(|source| CacheError::Io {
                folder: self.folder.clone(),
                source,
            })
    }

    /// Whether there is a file for this component; it has not been looked into.
    pub(crate) fn holds(&self, hash: &BundleHash) -> bool {
        self.path(hash, "cwasm").exists()
    }

    fn mac(&self, hash: &BundleHash) -> blake3::Hasher {
        let mut mac = blake3::Hasher::new_keyed(&self.key);
        mac.update(self.edition.0.as_bytes())
            .update(hash.as_bytes());
        mac
    }

    fn path(&self, hash: &BundleHash, kind: &str) -> PathBuf {
        self.folder
            .join(format!("{hash}-{}.{kind}", self.edition.0))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = self
            .folder
            .join(format!("{}-{number}.tmp", std::process::id()));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        let renamed = written.and_then(|()| fs::rename(&temporary, path));
        if renamed.is_err() {
            // What cannot be written cannot always be removed either; the next start tidies up.
            let _ = fs::remove_file(&temporary);
        }
        renamed?;
        File::open(&self.folder)?.sync_all()
    }

    fn tidy(&self) -> io::Result<()> {
        let current = format!("-{}.", self.edition.0);
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name != KEY_FILE && !name.contains(&current) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

const KEY_FILE: &str = "key";

/// The folder's key, made at first use.
fn key(folder: &Path) -> io::Result<[u8; blake3::KEY_LEN]> {
    let path = folder.join(KEY_FILE);
    let mut key = [0; blake3::KEY_LEN];
    match File::open(&path) {
        // A key cut short by a crash protects nothing; a new one makes all files be compiled again.
        Ok(mut file) if file.metadata()?.len() == key.len() as u64 => file.read_exact(&mut key)?,
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {
            File::open("/dev/urandom")?.read_exact(&mut key)?;
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&path)?;
            file.write_all(&key)?;
            file.sync_all()?;
        }
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::{config, limits::TeamLimits};

    fn edition() -> Edition {
        Edition::of(&Engine::new(&config::compiler()).unwrap())
    }

    const HASH: BundleHash = BundleHash::from_bytes([7; 32]);

    #[test]
    fn code_compiled_by_the_child_fits_every_teams_engine() {
        let small = TeamLimits {
            instances: 1,
            memory_per_instance: 1 << 20,
            table_elements: 10,
            ..TeamLimits::default()
        };
        for limits in [TeamLimits::default(), small] {
            let engine = Engine::new(&config::engine_config(&limits)).unwrap();
            assert_eq!(Edition::of(&engine), edition());
        }
    }

    #[test]
    fn what_was_kept_is_found_again_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("code");
        let cache = CodeCache::open(&folder, edition()).unwrap();
        assert!(cache.get(&HASH).is_none());
        cache.put(&HASH, b"machine code").unwrap();
        let cache = CodeCache::open(&folder, edition()).unwrap();
        let found = cache.get(&HASH).unwrap();
        assert_eq!(fs::read(found.0).unwrap(), b"machine code");
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_file_that_was_changed_exchanged_or_cut_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("code");
        let cache = CodeCache::open(&folder, edition()).unwrap();
        let other = BundleHash::from_bytes([8; 32]);
        cache.put(&HASH, b"machine code").unwrap();
        cache.put(&other, b"other code").unwrap();
        fs::write(cache.path(&HASH, "cwasm"), b"machine cod3").unwrap();
        assert!(cache.get(&HASH).is_none());
        for kind in ["cwasm", "mac"] {
            fs::copy(cache.path(&other, kind), cache.path(&HASH, kind)).unwrap();
        }
        assert!(cache.get(&HASH).is_none(), "another component's code");
        cache.put(&HASH, b"machine code").unwrap();
        fs::write(cache.path(&HASH, "mac"), b"short").unwrap();
        assert!(cache.get(&HASH).is_none());
        fs::write(folder.join(KEY_FILE), [1; 32]).unwrap();
        let cache = CodeCache::open(&folder, edition()).unwrap();
        assert!(cache.get(&other).is_none(), "another folder's key");
    }

    #[test]
    fn a_folder_that_others_can_enter_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let refused = CodeCache::open(folder.path(), edition()).unwrap_err();
        assert!(matches!(refused, CacheError::Open(_)), "{refused}");
    }

    #[test]
    fn what_another_compiler_or_a_crash_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("code");
        let old = CodeCache::open(&folder, Edition("0123456789abcdef".into())).unwrap();
        old.put(&HASH, b"old code").unwrap();
        fs::write(folder.join("1-1.tmp"), b"half").unwrap();
        let cache = CodeCache::open(&folder, edition()).unwrap();
        assert!(!cache.holds(&HASH));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "only the key");
    }
}
