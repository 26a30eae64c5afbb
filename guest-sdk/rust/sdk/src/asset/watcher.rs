//! Watchers: what sees changes of an asset that no task of this installation makes.

use std::fmt;

use super::Asset;
use crate::{
    Result, ResultExt as _,
    wait::{Awaited, WaitFor},
};

/// What makes a watcher's trigger: a closure that takes nothing.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` makes nothing that an asset can be watched by",
    note = "write `&|| …` before a `#[trigger]` of yours or a value of the module `wait`"
)]
pub trait Watch: Sync {
    fn awaited(&self) -> Result<Awaited>;
}

impl<W: WaitFor, F: Fn() -> W + Sync> Watch for F {
    fn awaited(&self) -> Result<Awaited> {
        self().awaited()
    }
}

/// A trigger that begins anew whenever it has fired. Each firing is a change of its asset.
#[derive(Clone, Copy)]
pub struct Watcher {
    /// Unique among the asset's.
    pub name: &'static str,
    trigger: &'static dyn Watch,
}

impl Watcher {
    /// What it waits for.
    ///
    /// # Errors
    /// The trigger has no JSON form, or its code would not be found.
    pub fn awaited(&self) -> Result<Awaited> {
        self.trigger
            .awaited()
            .with_context(|| format!("watcher `{}`", self.name))
    }
}

impl PartialEq for Watcher {
    /// Two that wait for the same under the same name are the same.
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.awaited().ok() == other.awaited().ok()
    }
}

impl Eq for Watcher {}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watcher({})", self.name)
    }
}

impl Asset {
    /// The most watchers of one asset.
    pub const MAX_WATCHERS: usize = 4;

    /// Says what sees changes of it that no task makes, as long as a DAG of the bundle names the asset. Whenever
    /// the trigger fires, the asset has changed; what it fired with is the event's extra, an object.
    ///
    /// ```
    /// # use airlock_sdk::prelude::*;
    /// const INBOX: Asset = Asset::new("inbox").watch("files", &|| wait::file_change("inbox", "*.csv"));
    ///
    /// #[dag(schedule_assets = INBOX)]
    /// fn import() {
    ///     load();
    /// }
    /// # #[task] fn load() {}
    /// ```
    ///
    /// # Panics
    /// While compiling, at the fifth watcher.
    #[must_use]
    #[expect(
        clippy::panic,
        reason = "it is told while the author's constant compiles"
    )]
    #[expect(
        clippy::indexing_slicing,
        reason = "as bounded by the loop's condition"
    )]
    pub const fn watch(mut self, name: &'static str, trigger: &'static dyn Watch) -> Self {
        let mut free = 0;
        while free < Self::MAX_WATCHERS {
            if self.watchers[free].is_none() {
                self.watchers[free] = Some(Watcher { name, trigger });
                return self;
            }
            free += 1;
        }
        panic!("an asset has at most four watchers");
    }

    /// What watches for changes of it.
    pub fn watchers(&self) -> impl Iterator<Item = &Watcher> {
        self.watchers.iter().flatten()
    }
}
