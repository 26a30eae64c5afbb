//! What people have approved for a bundle, as the running server has it: what a file would be granted, and what it asks
//! for beyond what was read before.

use airlock_bundle::Inspection;
use airlock_grant::{Grant, Request};
use serde::Serialize;
use serde_json::Value;

use crate::{api_client::path, cli::Common};

/// What was approved.
pub(super) struct Approved {
    pub(super) grant: Grant,
    /// How the file stands to it; none where nothing was approved.
    pub(super) since: Option<Since>,
}

/// What a file asks for beyond what was approved.
#[derive(Debug, Serialize)]
pub(super) struct Since {
    pub(super) revision: u64,
    /// Each with its phases, safe to show.
    pub(super) beyond: Vec<String>,
}

impl Since {
    /// The line above what is new.
    pub(super) fn head(&self) -> String {
        let revision = self.revision;
        match self.beyond.is_empty() {
            true => format!("covered by revision {revision} of its grant: it asks for no more"),
            false => {
                format!("since revision {revision} of its grant was approved it asks for more:")
            }
        }
    }
}

impl Approved {
    /// As the server has it; none where no server runs here, or it does not know the bundle.
    pub(super) async fn of(common: &Common, inspection: &Inspection) -> Option<Self> {
        let server = common.server().ok()?;
        let path = path(&["bundles", inspection.manifest.name.as_str(), "grant"]);
        let mut standing = server.get(&path, &[]).await.ok()?;
        let grant = serde_json::from_value(standing.get_mut("grant")?.take()).ok()?;
        let approved = standing.get_mut("approved_request").map(Value::take);
        let approved: Option<Request> =
            approved.and_then(|json| serde_json::from_value(json).ok()?);
        let revision = standing.get("revision").and_then(Value::as_u64);
        let asked = Request::from_bundle_toml(&inspection.manifest.text).ok()?;
        let since = revision.zip(approved).map(|(revision, approved)| {
            let beyond = asked.beyond(&approved);
            let beyond = beyond.iter().map(ToString::to_string).collect();
            Since { revision, beyond }
        });
        Some(Self { grant, since })
    }
}
