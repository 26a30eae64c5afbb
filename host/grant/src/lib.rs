//! What a bundle may reach: requests, grants, and every decision between the two.
//!
//! A bundle's `bundle.toml` is a [`Request`]; the configuration or an [`Approval`] holds a [`Grant`]; an
//! [`Effective`] is both together for one bundle of one team, and allows what both name. It is the only place where a capability
//! decision is taken. A yes is a [`Permit`], which nobody else can make and which every port in [`port`]
//! takes, so that an effect without a decision does not compile. A no is a [`Denial`], which knows the text
//! that would turn it into a yes.
//!
//! Nothing here does I/O or reads a clock. In particular a decision never looks whether the thing exists,
//! so that a denial cannot tell.

mod approval;
mod denial;
mod difference;
mod effective;
mod grant;
pub mod http;
mod index;
mod interface;
mod item;
mod pattern;
mod permit;
mod phase;
pub mod port;
mod quote;
mod request;
mod rule;
mod share;
mod snippet;

pub use crate::http::{Host, HttpPattern, HttpTarget, Method, Scheme, TargetError};
pub use approval::{Approval, Approvals, GrantDifference, Uncovered};
pub use denial::{Denial, Item};
pub use difference::Difference;
pub use effective::{BundleLabel, Effective, Explanation, Source};
pub use grant::{
    AssetGrant, ConnectionGrant, DirectoryGrant, Grant, GrantError, HttpGrant, MAX_GRANT_BYTES,
    VariableGrant,
};
pub use interface::{
    ImportName, Interface, Kind, LinkedInterface, Standing, UngrantedImport, interface, interfaces,
};
pub use item::{Access, AssetAccess, Directory, GuestPath, ItemError, Mode, UsedConnection};
pub use pattern::{AssetName, AssetPattern, Name, Pattern, VariablePattern};
pub use permit::Permit;
pub use phase::{Caller, Phase, Phases};
pub use request::{
    AssetRequest, ConnectionRequest, DirectoryRequest, HttpRequest, Request, RequestError,
    VariableRequest,
};
pub use share::{Share, Shared};
