//! What stands behind the capabilities: variables, connections, directories and outgoing HTTP.
//!
//! Nothing here decides what is allowed: every function takes the permit that only `airlock-grant` makes,
//! for one item of one team. There is no wasm here, and no way to Airlock's own database but the port that
//! was handed in.

pub mod directory;
mod egress;
mod settings;

pub use directory::Directories;
pub use egress::{Egress, Resolve, SystemResolver};
pub use settings::{Connections, Variables};
