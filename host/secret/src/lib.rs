//! Secrets: sealed at rest, their keys in a file of their own, and looked up by team.
//!
//! Every value is sealed with XChaCha20-Poly1305 for the very place where it stands: team (or global), kind
//! and name are part of what is authenticated, so that a sealed value which somebody moves to another team
//! or another name in the database does not open there. The [`Vault`] opens them for those who have been
//! permitted, and for the people who administer them.
//!
//! Keys and opened values are wiped from memory here when they are dropped. What has been handed out (to a
//! bundle, to the API) is in its holder's memory and is not.

pub mod airflow;
mod configured;
mod file;
mod folder;
mod keyring;
mod order;
mod seal;
mod vault;

pub use configured::{Configured, ConfiguredTwice};
pub use file::KeyringError;
pub use folder::{Folder, FolderError, MAX_FILE_BYTES};
pub use keyring::{KeyId, Keyring};
pub use order::{Backend, Order};
pub use seal::{SealError, Subject};
pub use vault::{Kept, MAX_VALUE_BYTES, Rotation, Vault};
