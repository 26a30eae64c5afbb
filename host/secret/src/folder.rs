//! Connections and variables in files: a folder that something else fills, such as an orchestrator or a vault's agent.
//!
//! `TEAM/connections/ID` and `TEAM/variables/KEY`, those of all teams below `_global`. A file is read when it is asked
//! for, so that one that was replaced counts at once. What others may have written is refused, and what was looked for
//! is then not looked for elsewhere: a file that cannot be trusted is no reason to use an older password.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use airlock_model::{
    connection::{Connection, Variable},
    id::{ConnectionId, Scope, VariableKey},
    mask::Sensitive,
};
use zeroize::Zeroizing;

use crate::airflow;

/// The largest file, in bytes.
pub const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// The folder of what belongs to no team.
const GLOBAL: &str = "_global";

/// Why a file of secrets, or the folder around it, is not used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Others could have written it.
    #[error(
        "AL-0910: others than the user that runs Airlock may write {} (mode {mode:04o}, owner {owner}), so it is not used; run `chmod go-w` on it as its owner, who must be that user or root",
        path.display()
    )]
    Exposed {
        /// The file or folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The owner's user id.
        owner: u32,
    },
    /// It cannot be read.
    #[error("AL-0911: the secret in {} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what it should be. What it holds is not repeated.
    #[error("AL-0912: the secret in {} is not used: {why}", path.display())]
    NotUnderstood {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what would do.
        why: String,
    },
}

/// A folder of secrets.
#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
    /// Files that others may read, of which the log has been told.
    told: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl Folder {
    /// The folder at this path, whether or not it is there yet.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self {
            root,
            told: Arc::default(),
        }
    }

    /// A variable of exactly this scope: the file's text, without the end of its last line.
    ///
    /// # Errors
    /// A [`FolderError`].
    pub fn variable(
        &self,
        scope: &Scope,
        key: &VariableKey,
    ) -> Result<Option<Variable>, FolderError> {
        let text = self.read(scope, "variables", key.as_str())?;
        Ok(text.map(|(_, text)| Variable {
            key: key.clone(),
            value: Sensitive::new(line(&text)),
            description: None,
        }))
    }

    /// A connection of exactly this scope: Airflow's JSON object, or its URI.
    ///
    /// # Errors
    /// A [`FolderError`].
    pub fn connection(
        &self,
        scope: &Scope,
        id: &ConnectionId,
    ) -> Result<Option<Connection>, FolderError> {
        let Some((path, text)) = self.read(scope, "connections", id.as_str())? else {
            return Ok(None);
        };
        let read = airflow::from_text(id, &text);
        let wrong = |why| FolderError::NotUnderstood { path, why };
        read.map(Some).map_err(wrong)
    }

    /// The keys of the variables of exactly this scope.
    ///
    /// # Errors
    /// A [`FolderError`].
    pub fn variables(&self, scope: &Scope) -> Result<Vec<VariableKey>, FolderError> {
        let names = self.names(scope, "variables")?;
        Ok(names
            .iter()
            .filter_map(|name| VariableKey::new(name).ok())
            .collect())
    }

    /// The ids of the connections of exactly this scope.
    ///
    /// # Errors
    /// A [`FolderError`].
    pub fn connections(&self, scope: &Scope) -> Result<Vec<ConnectionId>, FolderError> {
        let names = self.names(scope, "connections")?;
        Ok(names
            .iter()
            .filter_map(|name| ConnectionId::new(name).ok())
            .collect())
    }

    /// The folder of a scope's settings of one kind; none if it is not there. Whoever may write it, or a folder around
    /// it, could put a file of theirs in the place of another.
    fn place(&self, scope: &Scope, kind: &str) -> Result<Option<PathBuf>, FolderError> {
        let of = match scope {
            Scope::Global => GLOBAL.to_owned(),
            Scope::Team(team) => file_name(team.as_str(), &['.', '_']),
        };
        let of = self.root.join(of);
        let place = of.join(kind);
        for path in [&self.root, &of, &place] {
            let metadata = match fs::metadata(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                metadata => metadata.map_err(|source| unreadable(path, source))?,
            };
            // With the sticky bit others may add files, and those are refused; they may replace none.
            if metadata.mode() & 0o1000 == 0 || !is_trusted(&metadata) {
                not_exposed(path, &metadata)?;
            }
        }
        Ok(Some(place))
    }

    fn names(&self, scope: &Scope, kind: &str) -> Result<Vec<String>, FolderError> {
        let Some(place) = self.place(scope, kind)? else {
            return Ok(Vec::new());
        };
        let entries = fs::read_dir(&place).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = entries.map_err(|source| unreadable(&place, source))?;
        let names = entries
            .into_iter()
            .filter_map(|entry| entry.file_name().into_string().ok());
        // What begins with a dot is an editor's, or an orchestrator's.
        let names = names.filter(|name| !name.starts_with('.'));
        Ok(names
            .map(|name| name.replace("%2F", "/").replace("%2E", "."))
            .collect())
    }

    fn read(
        &self,
        scope: &Scope,
        kind: &str,
        name: &str,
    ) -> Result<Option<(PathBuf, Zeroizing<String>)>, FolderError> {
        let Some(place) = self.place(scope, kind)? else {
            return Ok(None);
        };
        let path = place.join(file_name(name, &['.']));
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        // A pipe would keep whoever opens it waiting.
        let file = match OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(&path)
        {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(|source| unreadable(&path, source))?,
        };
        let text = self.checked(&path, &file)?;
        Ok(Some((path, text)))
    }

    /// What the open file holds, so that what is checked is what is read.
    fn checked(&self, path: &Path, file: &File) -> Result<Zeroizing<String>, FolderError> {
        let wrong = |why: &str| FolderError::NotUnderstood {
            path: path.to_owned(),
            why: why.to_owned(),
        };
        let metadata = file.metadata().map_err(|source| unreadable(path, source))?;
        if !metadata.is_file() {
            return Err(wrong("it is no file"));
        }
        not_exposed(path, &metadata)?;
        if metadata.len() > MAX_FILE_BYTES {
            return Err(wrong("it is larger than 1 MiB"));
        }
        if metadata.mode() & 0o004 != 0 && self.tell(path) {
            tracing::warn!(
                "AL-0913: every user of this machine may read the secret in {}; run `chmod o-r` on it",
                path.display().to_string().escape_debug()
            );
        }
        let capacity = usize::try_from(metadata.len()).unwrap_or_default();
        let mut text = Zeroizing::new(String::with_capacity(capacity + 1));
        file.take(MAX_FILE_BYTES)
            .read_to_string(&mut text)
            .map_err(|source| unreadable(path, source))?;
        Ok(text)
    }

    /// Whether this is the first time that the log is told.
    fn tell(&self, path: &Path) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.insert(path.to_owned())
    }
}

/// An id as the name of a file: a slash is `%2F`, and a first character that means something there is escaped too.
fn file_name(id: &str, not_first: &[char]) -> String {
    let name = id.replace('/', "%2F");
    match name.strip_prefix(not_first) {
        Some(rest) if name.starts_with('.') => format!("%2E{rest}"),
        Some(rest) => format!("%5F{rest}"),
        None => name,
    }
}

/// The text without the end of its last line, which editors add.
fn line(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

fn is_trusted(metadata: &fs::Metadata) -> bool {
    metadata.uid() == 0 || metadata.uid() == rustix::process::geteuid().as_raw()
}

fn not_exposed(path: &Path, metadata: &fs::Metadata) -> Result<(), FolderError> {
    if metadata.mode() & 0o022 == 0 && is_trusted(metadata) {
        return Ok(());
    }
    Err(FolderError::Exposed {
        path: path.to_owned(),
        mode: metadata.mode() & 0o7777,
        owner: metadata.uid(),
    })
}

fn unreadable(path: &Path, source: io::Error) -> FolderError {
    FolderError::Unreadable {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
