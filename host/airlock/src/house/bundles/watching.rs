//! Where files come from: all sources once at the start, then whatever changes.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
    thread::available_parallelism,
};

use airlock_bundle::{
    DEFAULT_MAX_BYTES, Source, SourceError, SourceEvent, SourceOptions, read_signature,
};
use airlock_model::port::StoreError;
use futures::{StreamExt as _, stream};
use tracing::{error, warn};

use super::{Owner, Shelf, loading::Examined};
use crate::config::Config;

impl Shelf {
    /// Loads what is there now; what was parsed before is live when this returns, what was not is parsed
    /// meanwhile. Then watches all sources.
    ///
    /// Files are examined as many at once as the machine has cores. Whatever two bundles could both claim
    /// is given in the order of the configuration, and of the names in a folder, however long each took.
    pub(crate) async fn fill(self: &Arc<Self>) -> Result<(), StoreError> {
        let sources = self.sources();
        let files = sources.iter().flat_map(|(owner, path)| {
            components(path).into_iter().map(move |file| {
                let owner = owner.clone().unwrap_or_else(|| Owner::of_file(&file));
                (owner, file)
            })
        });
        let mut examined = stream::iter(files)
            .map(|(owner, file)| {
                let shelf = Arc::clone(self);
                tokio::spawn(async move {
                    let examined = shelf.read(&file).await;
                    (owner, file, examined)
                })
            })
            // One more than there are cores: it waits, examined, while the one before it is imported.
            .buffered(available_parallelism().map_or(1, usize::from) + 1);
        let mut unparsed = Vec::new();
        let mut files = HashSet::new();
        while let Some(next) = examined.next().await {
            match next {
                Ok((owner, file, Some(examined))) => {
                    files.extend(owner.bundle(&file));
                    match self.take_in(&owner, &file, examined).await? {
                        Some(arrival) if self.is_parsed(&arrival).await? => {
                            self.pass(arrival).await?;
                        }
                        Some(arrival) => unparsed.push(arrival),
                        None => {}
                    }
                }
                Ok((owner, file, None)) => files.extend(owner.bundle(&file)),
                Err(error) => error!(%error, "a bundle could not be examined"),
            }
        }
        drop(examined);
        self.retire(&files).await?;
        self.tell_missing(&sources).await?;
        tokio::spawn(Arc::clone(self).pass_all(unparsed));
        for (owner, path) in sources {
            let shelf = Arc::clone(self);
            tokio::spawn(async move { shelf.watch(owner, &path).await });
        }
        Ok(())
    }

    /// A configured bundle whose file is not there at the start has no live DAGs. (Of a file that vanishes while
    /// the host works the last version keeps serving: it may just be about to be replaced.)
    async fn tell_missing(&self, sources: &[(Option<Owner>, PathBuf)]) -> Result<(), StoreError> {
        let Some(rooms) = self.rooms.get() else {
            return Ok(());
        };
        for (owner, path) in sources {
            let Some(Owner::Configured { team, bundle }) = owner else {
                continue;
            };
            if path.try_exists().is_ok_and(|there| !there) {
                let message = SourceError::Missing { path: path.clone() }.to_string();
                warn!(bundle = %bundle.name, "{message}");
                rooms.importer.missing(team, &bundle.name, &message).await?;
            }
        }
        Ok(())
    }

    /// Takes in the one bundle of a house that is thrown away, with `own` as its folder.
    pub(crate) async fn put(
        self: &Arc<Self>,
        own: &Path,
        bytes: Vec<u8>,
    ) -> Result<(), StoreError> {
        let owner = Owner::Automatic {
            own: own.to_owned(),
        };
        self.bring(&owner, own, bytes.into(), None).await
    }

    /// All the way from a file to live DAGs.
    async fn bring(
        self: &Arc<Self>,
        owner: &Owner,
        file: &Path,
        bytes: Arc<[u8]>,
        signature: Option<Vec<u8>>,
    ) -> Result<(), StoreError> {
        if let Some(examined) = self.examine(bytes, signature).await
            && let Some(arrival) = self.take_in(owner, file, examined).await?
        {
            self.pass(arrival).await?;
        }
        Ok(())
    }

    /// A file that cannot be read is told of by whoever watches it.
    async fn read(&self, file: &Path) -> Option<Examined> {
        let bytes = tokio::fs::read(file).await.ok()?;
        let signature = read_signature(file);
        self.examine(bytes.into(), signature).await
    }

    /// All sources, in the order of the configuration. Those without an owner are folders of the default
    /// team.
    fn sources(&self) -> Vec<(Option<Owner>, PathBuf)> {
        let configured = self.config.teams.iter().flat_map(|team| {
            team.bundles.iter().map(|bundle| {
                let owner = Owner::Configured {
                    team: team.name.clone(),
                    bundle: Box::new(bundle.clone()),
                };
                (Some(owner), bundle.source.clone())
            })
        });
        let automatic = self.config.automatic.iter();
        configured
            .chain(automatic.map(|folder| (None, folder.clone())))
            .collect()
    }

    async fn watch(self: Arc<Self>, owner: Option<Owner>, path: &Path) {
        let options = SourceOptions {
            max_bytes: most_bytes(&self.config),
            ..SourceOptions::default()
        };
        let mut source = if path.is_dir() {
            Source::folder(path, options)
        } else {
            Source::file(path, options)
        };
        while let Some(event) = source.next().await {
            let told = match event {
                SourceEvent::Found {
                    path,
                    bytes,
                    signature,
                    ..
                } => {
                    let owner = owner.clone().unwrap_or_else(|| Owner::of_file(&path));
                    self.bring(&owner, &path, bytes.into(), signature).await
                }
                SourceEvent::Gone { path } => {
                    warn!(file = %path.display(), "the bundle's file is gone; its last version keeps serving");
                    Ok(())
                }
                SourceEvent::Failed(error) => self.unreadable(owner.as_ref(), &error).await,
            };
            if let Err(error) = told {
                error!(%error, "a bundle could not be taken in; its file is looked at again when it changes");
            }
        }
    }

    async fn unreadable(
        &self,
        owner: Option<&Owner>,
        error: &impl ToString,
    ) -> Result<(), StoreError> {
        let Some(Owner::Configured { team, bundle }) = owner else {
            warn!(error = error.to_string(), "a bundle cannot be read");
            return Ok(());
        };
        let Some(rooms) = self.rooms.get() else {
            return Ok(());
        };
        rooms
            .importer
            .refuse(team, &bundle.name, None, &error.to_string())
            .await
    }
}

/// The largest component that any team may have.
pub(in crate::house) fn most_bytes(config: &Config) -> u64 {
    let most = config
        .teams
        .iter()
        .map(|team| team.limits.component_bytes.get())
        .max();
    most.unwrap_or(DEFAULT_MAX_BYTES)
}

/// The component files of a source, in the order of their names.
fn components(path: &Path) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let entries = std::fs::read_dir(path)
        .into_iter()
        .flatten()
        .map_while(Result::ok);
    let wasm = |path: &PathBuf| {
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        !hidden && path.extension().is_some_and(|end| end == "wasm")
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(wasm).collect();
    files.sort();
    files
}
