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
    extract::Request,
    http::Method,
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::{auth::Operator, problem::ApiError, state::ApiState};

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

/// Lets a request that may change something run to its end, also when its client hangs up or waited as long
/// as it may.
pub(crate) async fn to_the_end(request: Request, next: Next) -> Response {
    if request.method() == Method::GET {
        return next.run(request).await;
    }
    let done = tokio::spawn(next.run(request)).await;
    done.unwrap_or_else(|_| ApiError::Internal("the request failed".to_owned()).into_response())
}
