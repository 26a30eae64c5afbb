//! What stands behind the capabilities: variables, connections, directories, outgoing HTTP and databases, and the
//! host's own look at files that somebody waits for.
//!
//! Nothing here decides what is allowed: everything takes the permit that only `airlock-grant` makes, for one item
//! of one team. There is no wasm here, and no way to Airlock's own database but the port that
//! was handed in.

pub mod directory;
mod egress;
mod file;
mod settings;
mod sql;

pub use directory::Directories;
pub use egress::{Egress, Resolve, SystemResolver};
pub use file::Files;
pub use settings::{Connections, Variables};
pub use sql::Databases;
