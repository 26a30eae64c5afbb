//! Assets: what tasks change, and whose changes make runs.
//!
//! An asset is a constant of the bundle, so that a DAG's condition, a task's attribute and a task's code all
//! mean the same one, and a slip of the pen does not compile:
//!
//! ```
//! use airlock_sdk::prelude::*;
//!
//! const PRICES: Asset = Asset::new("prices").uri("s3://market/prices.csv");
//! const RATES: Asset = Asset::new("rates");
//!
//! #[dag(schedule = "@hourly")]
//! fn collect() {
//!     fetch();
//! }
//!
//! #[task(outlets(PRICES))]
//! fn fetch(ctx: &Context) -> Result<()> {
//!     ctx.outlet_event(PRICES, Rows { rows: 120 })
//! }
//!
//! #[derive(serde::Serialize)]
//! struct Rows {
//!     rows: u32,
//! }
//!
//! #[dag(schedule_assets = PRICES & RATES)]
//! fn valuate() {
//!     value();
//! }
//!
//! #[task]
//! fn value(ctx: &Context) {
//!     for event in ctx.triggering_events() {
//!         info!("{} changed at {}", event.asset, event.timestamp);
//!     }
//! }
//! ```

mod watcher;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use self::watcher::Watcher;
use crate::Result;

/// Something that tasks change and that DAGs wait for. Its name is unique in the team.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asset {
    /// What people and other bundles call it.
    pub name: &'static str,
    /// What it stands for; none for an asset that is only a name.
    pub uri: Option<&'static str>,
    /// For people.
    pub group: Option<&'static str>,
    /// The JSON text of an object, for people and programs.
    pub extra: Option<&'static str>,
    /// What watches the world outside for changes of it.
    pub(crate) watchers: [Option<Watcher>; Self::MAX_WATCHERS],
}

/// A name for assets that a task knows only when it runs. A DAG that waits for the alias waits for the
/// assets that were reached through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AssetAlias {
    /// Unique in the team.
    pub name: &'static str,
}

/// An asset or alias as a task or a condition names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssetRef {
    /// An asset that this bundle describes.
    Asset(Asset),
    /// The asset of this name, which another bundle describes.
    Name(&'static str),
    /// The asset of this URI, which another bundle describes.
    Uri(&'static str),
    /// An alias.
    Alias(AssetAlias),
}

impl Asset {
    /// An asset of this name.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            uri: None,
            group: None,
            extra: None,
            watchers: [None; Self::MAX_WATCHERS],
        }
    }

    /// Says what it stands for: a URI such as `s3://bucket/key`.
    #[must_use]
    pub const fn uri(mut self, uri: &'static str) -> Self {
        self.uri = Some(uri);
        self
    }

    /// Says to what it belongs, for people.
    #[must_use]
    pub const fn group(mut self, group: &'static str) -> Self {
        self.group = Some(group);
        self
    }

    /// Says more about it: the JSON text of an object.
    #[must_use]
    pub const fn extra(mut self, json: &'static str) -> Self {
        self.extra = Some(json);
        self
    }

    /// The asset of this name that another bundle describes.
    #[must_use]
    pub const fn by_name(name: &'static str) -> AssetRef {
        AssetRef::Name(name)
    }

    /// The asset of this URI that another bundle describes.
    #[must_use]
    pub const fn by_uri(uri: &'static str) -> AssetRef {
        AssetRef::Uri(uri)
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn reference(self) -> AssetRef {
        AssetRef::Asset(self)
    }
}

impl AssetAlias {
    /// An alias of this name.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name }
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn reference(self) -> AssetRef {
        AssetRef::Alias(self)
    }
}

impl AssetRef {
    #[doc(hidden)]
    #[must_use]
    pub const fn reference(self) -> Self {
        self
    }
}

impl From<Asset> for AssetRef {
    fn from(asset: Asset) -> Self {
        asset.reference()
    }
}

impl From<AssetAlias> for AssetRef {
    fn from(alias: AssetAlias) -> Self {
        alias.reference()
    }
}

/// Which asset events make a run: `#[dag(schedule_assets = A & (B | C))]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssetCondition {
    /// One of this asset.
    Of(AssetRef),
    /// One of each.
    All {
        /// At least one.
        of: &'static [AssetCondition],
    },
    /// One of any.
    Any {
        /// At least one.
        of: &'static [AssetCondition],
    },
}

impl AssetCondition {
    /// All assets and aliases in it, from left to right.
    #[must_use]
    pub fn references(&self) -> Vec<AssetRef> {
        match self {
            Self::Of(asset) => vec![*asset],
            Self::All { of } | Self::Any { of } => of.iter().flat_map(Self::references).collect(),
        }
    }
}

/// A change of an asset, as those see it who depend on it.
///
/// As JSON it is an object, in which `extra` is one too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssetEvent {
    /// The asset's name.
    pub asset: String,
    /// The asset's URI.
    pub uri: Option<String>,
    /// When it happened.
    pub timestamp: Timestamp,
    /// What its cause had to say: the JSON text of an object.
    #[serde(with = "json_text")]
    pub extra: String,
    /// The task instance that caused it; none where no task did.
    #[serde(default)]
    pub source: Option<EventSource>,
}

/// The task instance that caused an asset event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventSource {
    /// Its DAG.
    pub dag_id: String,
    /// Its run.
    pub run_id: String,
    /// Its task.
    pub task_id: String,
    /// -1 for a task that is not mapped.
    pub map_index: i32,
}

impl AssetEvent {
    /// An event for a test: of this asset, at this time, with nothing more to say.
    #[must_use]
    pub fn new(asset: Asset, timestamp: Timestamp) -> Self {
        Self {
            asset: asset.name.to_owned(),
            uri: asset.uri.map(str::to_owned),
            timestamp,
            extra: "{}".to_owned(),
            source: None,
        }
    }

    /// What its cause had to say, as your type.
    ///
    /// # Errors
    /// Where it does not fit; then the task fails for good.
    #[track_caller]
    pub fn extra<T: DeserializeOwned>(&self) -> Result<T> {
        match serde_json::from_str(&self.extra) {
            Ok(value) => Ok(value),
            Err(error) => Err(crate::fail(format_args!(
                "the extra of the event of asset `{}`: {error}",
                self.asset
            ))),
        }
    }
}

/// What a try says of a change of one of its outlets, besides that it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutletEvent {
    /// The asset.
    pub asset: AssetRef,
    /// The alias among the task's outlets through which it was reached.
    pub alias: Option<AssetAlias>,
    /// The JSON text of an object.
    pub extra: String,
}

/// What is told of a change, as the JSON text of an object; nothing is an empty one.
#[track_caller]
pub(crate) fn extra(extra: &impl Serialize) -> Result<String> {
    match serde_json::to_value(extra) {
        Ok(serde_json::Value::Null) => Ok("{}".to_owned()),
        Ok(extra @ serde_json::Value::Object(_)) => Ok(extra.to_string()),
        Ok(_) => Err(crate::fail(
            "the extra of an asset event is an object: give a struct, a map, or `()` for none",
        )),
        Err(error) => Err(crate::fail(format_args!(
            "the extra of an asset event has no JSON form: {error}"
        ))),
    }
}

/// A JSON text that stands as a value inside of another.
mod json_text {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, ser::Error as _};

    pub(super) fn serialize<S: Serializer>(json: &str, to: S) -> Result<S::Ok, S::Error> {
        let value: serde_json::Value = serde_json::from_str(json).map_err(S::Error::custom)?;
        value.serialize(to)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<String, D::Error> {
        Ok(serde_json::Value::deserialize(from)?.to_string())
    }
}
