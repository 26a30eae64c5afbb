//! Being woken when a folder changes, and looking.

use std::{path::PathBuf, sync::Arc};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::{
    sync::{Notify, mpsc},
    time::timeout,
};

use super::{SourceError, SourceEvent, SourceOptions, Wanted, scan::Scan};

/// Looks whenever woken, and at the latest after the period; ends when nobody listens.
pub(super) async fn run(
    folder: PathBuf,
    wanted: Wanted,
    options: SourceOptions,
    events: mpsc::Sender<SourceEvent>,
) {
    let wake = Arc::new(Notify::new());
    let mut watcher = Watcher::new(folder.clone(), Arc::clone(&wake));
    let mut scan = Scan::default();
    let mut rechecked = false;
    loop {
        // Watched before it is looked at, so that no change falls in between.
        if let Some(error) = watcher.renew(&options)
            && events.send(SourceEvent::Failed(error)).await.is_err()
        {
            return;
        }
        let (folder, wanted) = (folder.clone(), wanted.clone());
        let looked = tokio::task::spawn_blocking(move || {
            let look = scan.look(&folder, &wanted, &options, rechecked);
            (scan, look)
        });
        let Ok((next, look)) = looked.await else {
            return;
        };
        scan = next;
        let mut again = look.again;
        for event in look.events {
            if events.send(event).await.is_err() {
                return;
            }
        }
        for ready in look.ready {
            let read = tokio::task::spawn_blocking(move || {
                let event = scan.read(&ready);
                (scan, event)
            });
            let Ok((next, event)) = read.await else {
                return;
            };
            scan = next;
            let Some(event) = event else {
                again = true;
                continue;
            };
            if events.send(event).await.is_err() {
                return;
            }
        }
        // While something is not at rest, wake-ups are left alone: the writer makes one for each write.
        if again {
            tokio::time::sleep(options.settle).await;
            rechecked = true;
        } else {
            let _ = timeout(options.period, wake.notified()).await;
            rechecked = false;
        }
    }
}

/// The operating system's notice of changes, renewed when the folder is another one than before.
struct Watcher {
    folder: PathBuf,
    wake: Arc<Notify>,
    current: Option<(RecommendedWatcher, Option<u64>)>,
    complained: bool,
}

impl Watcher {
    fn new(folder: PathBuf, wake: Arc<Notify>) -> Self {
        Self {
            folder,
            wake,
            current: None,
            complained: false,
        }
    }

    /// Sees to it that the folder is watched; an error is told once. A folder that is not there is told by
    /// the look at it.
    fn renew(&mut self, options: &SourceOptions) -> Option<SourceError> {
        let number = std::fs::metadata(&self.folder)
            .ok()
            .map(|metadata| number(&metadata));
        if number.is_none() {
            self.current = None;
            return None;
        }
        if self.current.as_ref().is_some_and(|(_, at)| *at == number) {
            return None;
        }
        let wake = Arc::clone(&self.wake);
        let watched = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading is not a change; an error may hide one.
            if !matches!(event, Ok(notify::Event { kind: EventKind::Access(kind), .. })
                if !matches!(kind, notify::event::AccessKind::Close(notify::event::AccessMode::Write)))
            {
                wake.notify_one();
            }
        })
        .and_then(|mut watcher| {
            watcher.watch(&self.folder, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        match watched {
            Ok(watcher) => {
                self.current = Some((watcher, number));
                self.complained = false;
                None
            }
            Err(source) => {
                let first = !std::mem::replace(&mut self.complained, true);
                first.then(|| SourceError::Watch {
                    path: self.folder.clone(),
                    period: options.period,
                    source,
                })
            }
        }
    }
}

#[cfg(unix)]
fn number(metadata: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn number(_: &std::fs::Metadata) -> u64 {
    0
}
