//! What people change through the API, told to the audit: every handler that changes something says so here,
//! when it is done.
//!
//! What was begun is also ended, though nobody waits for the answer any more ([`to_the_end`]): otherwise
//! whoever hangs up at the right moment would change something and leave no row.

use airlock_model::{
    audit::{AuditAction, AuditEntry},
    id::{BundleName, Scope, TeamName},
    port::StoredDag,
};
use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Request},
    http::Method,
    middleware::Next,
    response::Response,
};
use serde_json::{Value, json};

use crate::{auth::Operator, extract::body_error, problem::ApiError, state::ApiState};

/// Something that was done.
#[derive(Debug)]
pub(crate) struct Change {
    action: AuditAction,
    subject: String,
    team: Option<TeamName>,
    bundle: Option<BundleName>,
    detail: Value,
}

impl Change {
    /// This was done to `subject`.
    pub(crate) fn new(action: AuditAction, subject: impl Into<String>) -> Self {
        Self {
            action,
            subject: subject.into(),
            team: None,
            bundle: None,
            detail: json!({}),
        }
    }

    /// To something of a DAG's.
    pub(crate) fn of_dag(self, dag: &StoredDag) -> Self {
        Self {
            bundle: Some(dag.bundle.clone()),
            ..self.of_team(&dag.team)
        }
    }

    /// To something of a team's.
    pub(crate) fn of_team(self, team: &TeamName) -> Self {
        Self {
            team: Some(team.clone()),
            ..self
        }
    }

    /// To something of a team's, or of everyone's.
    pub(crate) fn of(self, scope: &Scope) -> Self {
        match scope {
            Scope::Global => self,
            Scope::Team(team) => self.of_team(team),
        }
    }

    /// In more words. Never with a value that is a secret or may be one: rows are exported, and stay.
    pub(crate) fn with(self, detail: Value) -> Self {
        Self { detail, ..self }
    }

    /// Writes it down as this person's doing.
    ///
    /// # Errors
    /// [`ApiError::Unaudited`] when it cannot be written. What was done, was done.
    pub(crate) async fn by(self, operator: Operator, state: &ApiState) -> Result<(), ApiError> {
        let (actor, now) = (operator.actor(), state.clock.now());
        let entry = AuditEntry::new(now, actor, self.action, &self.subject)
            .of_team(self.team)
            .of_bundle(self.bundle)
            .with(&self.detail);
        match state.audit.append_audit(&[entry]).await {
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::error!(action = %self.action, subject = %self.subject.escape_debug(), %error, "done and not audited");
                Err(ApiError::Unaudited(error))
            }
        }
    }
}

/// Lets a request that may change something run to its end once it is there whole, also when its client hangs
/// up or waited as long as it may. The body is read before: what waits for a client is not to outlive it.
pub(crate) async fn to_the_end(request: Request, next: Next) -> Result<Response, ApiError> {
    if request.method() == Method::GET {
        return Ok(next.run(request).await);
    }
    let (parts, body) = request.into_parts();
    // The bound on bodies is one of the extensions.
    let mut whole = Request::new(body);
    *whole.extensions_mut() = parts.extensions.clone();
    let body = Bytes::from_request(whole, &())
        .await
        .map_err(|error| body_error(&error))?;
    let request = Request::from_parts(parts, Body::from(body));
    let done = tokio::spawn(next.run(request)).await;
    done.map_err(|_| ApiError::Internal("the request failed".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use axum::{Router, middleware::from_fn, routing::delete};
    use tokio::sync::Notify;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_change_whose_client_went_away_is_ended() {
        let [begun, go, done] = [(); 3].map(|()| Arc::new(Notify::new()));
        let inner = (begun.clone(), go.clone(), done.clone());
        let change = async move || {
            let (begun, go, done) = inner;
            begun.notify_one();
            go.notified().await;
            done.notify_one();
        };
        let router = Router::new()
            .route("/", delete(change))
            .layer(from_fn(to_the_end));
        let request = Request::delete("/").body(Body::empty()).unwrap();
        let client = tokio::spawn(router.oneshot(request));
        begun.notified().await;
        client.abort();
        assert!(client.await.unwrap_err().is_cancelled());
        go.notify_one();
        let patience = Duration::from_secs(60);
        tokio::time::timeout(patience, done.notified())
            .await
            .unwrap();
    }
}
