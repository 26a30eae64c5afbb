//! What the API says when it does not do what was asked: a status, a stable code, and a sentence.
//!
//! The body is `{"detail": "…", "code": "AL-nnnn"}`: Airflow's, with the code added.

use airlock_model::{
    id::DagId,
    port::{ControlError, StoreError, TimetableFailure},
};
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::granting::GrantingError;

/// The body of every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// What is wrong and what to do. May quote what the request held.
    pub detail: String,
    /// Stable: `AL-nnnn`.
    pub code: String,
}

/// Why a request was not done. Nothing was changed, but for [`Self::Unaudited`].
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No token, or another one.
    #[error(
        "AL-0801: this needs the token of this installation: send `Authorization: Bearer TOKEN` with what is in the file `token` of its home folder"
    )]
    Unauthorised,
    /// A reviewer's token, for what only the operator may.
    #[error(
        "AL-0851: a reviewer's token opens reviews, grants, bundle versions, import errors and the audit; this needs the installation's own"
    )]
    OperatorsOnly,
    /// The installation's token, for what only reviewers may.
    #[error(
        "AL-0852: here reviewers decide on grants, and this is not a reviewer's token; one of those that [[reviewer]] names is needed (for commands, in the file that AIRLOCK_TOKEN_FILE names)"
    )]
    ReviewersOnly,
    /// The Host header names a host that this is not.
    #[error(
        "AL-0802: `{}` is not a host name of this API; add it to `allowed_hosts` of [server] if it should be", .0.escape_debug()
    )]
    WrongHost(String),
    /// Part of the path, the query or the body is not what it should be.
    #[error("AL-0803: {0}")]
    Invalid(String),
    /// The body is larger than allowed.
    #[error("AL-0804: the body is larger than `body_limit` of [server] allows")]
    TooLarge,
    /// The body is not declared as JSON.
    #[error("AL-0805: send the body as JSON, with `Content-Type: application/json`")]
    WrongContentType,
    /// The body is no JSON at all.
    #[error("AL-0806: the body is not JSON: {0}")]
    NotJson(String),
    /// No such address.
    #[error("AL-0807: there is no such address; /openapi.json lists what there is")]
    NoSuchRoute,
    /// The address knows other methods.
    #[error("AL-0808: this address does not take that method; /openapi.json lists what it takes")]
    WrongMethod,
    /// It took too long.
    #[error("AL-0809: this took longer than `request_timeout` of [server]; ask for less")]
    TooSlow,
    /// What the path names is not there.
    #[error("AL-0810: {what} `{}` was not found", name.escape_debug())]
    NotFound {
        /// Which kind of thing.
        what: &'static str,
        /// Its name as it was asked for.
        name: String,
    },
    /// It is there already.
    #[error("AL-0811: {what} `{}` exists already", name.escape_debug())]
    Exists {
        /// Which kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// It stands in the configuration.
    #[error(
        "AL-0812: {what} `{}` stands in airlock.toml (a setting: or in the folder of `[secrets]`) and can only be changed there", name.escape_debug()
    )]
    Configured {
        /// Which kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// Nothing makes it.
    #[error(
        "AL-0817: no DAG has the asset `{}` as an outlet, so none can be run to make it; tell of its change with `airlock assets create-event`", .0.escape_debug()
    )]
    NoMaker(String),
    /// Several DAGs make it.
    #[error("AL-0818: several DAGs have the asset `{}` as an outlet: {dags}; trigger the one that you mean", asset.escape_debug())]
    ManyMakers {
        /// Its id.
        asset: String,
        /// They.
        dags: String,
    },
    /// A DAG's own timetable did not answer.
    #[error(
        "AL-0819: the timetable of DAG `{dag_id}` did not say when its next runs are due: {failure}"
    )]
    Timetable {
        /// The DAG.
        dag_id: DagId,
        /// Why not.
        #[source]
        failure: TimetableFailure,
    },
    /// It was done, and the audit does not know of it.
    #[error(
        "AL-0850: this was done, and could not be written to the audit: {0}; look whether it is as you want it, and do not simply send it again"
    )]
    Unaudited(#[source] StoreError),
    /// Something that the operator has to look at.
    #[error("AL-0813: {0}")]
    Internal(String),
    /// A grant was not proposed or decided.
    #[error(transparent)]
    Granting(GrantingError),
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The scheduler did not do it.
    #[error(transparent)]
    Control(#[from] ControlError),
}

impl From<GrantingError> for ApiError {
    fn from(error: GrantingError) -> Self {
        match error {
            GrantingError::Store(error) => Self::Store(error),
            error => Self::Granting(error),
        }
    }
}

impl ApiError {
    /// What is wrong with something that the request holds.
    pub(crate) fn invalid(reason: impl ToString) -> Self {
        Self::Invalid(reason.to_string())
    }

    /// What is wrong with a part of the request; an error that brings its own code says enough.
    pub(crate) fn within(part: &str, reason: String) -> Self {
        if reason.starts_with("AL-") {
            Self::Invalid(reason)
        } else {
            Self::Invalid(format!("in the {part}: {reason}"))
        }
    }

    /// A thing that is not there.
    pub(crate) fn not_found(what: &'static str, name: impl ToString) -> Self {
        Self::NotFound {
            what,
            name: name.to_string(),
        }
    }

    /// The HTTP status that stands for it.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorised => StatusCode::UNAUTHORIZED,
            Self::OperatorsOnly | Self::ReviewersOnly => StatusCode::FORBIDDEN,
            Self::WrongHost(_) => StatusCode::MISDIRECTED_REQUEST,
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::WrongContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NotJson(_) | Self::Control(ControlError::Params(_)) => StatusCode::BAD_REQUEST,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::NoSuchRoute
            | Self::NotFound { .. }
            | Self::NoMaker(_)
            | Self::Control(
                ControlError::NoSuchDag(_)
                | ControlError::NoSuchRun { .. }
                | ControlError::NoSuchCallback(_),
            ) => StatusCode::NOT_FOUND,
            Self::Exists { .. }
            | Self::Configured { .. }
            | Self::ManyMakers { .. }
            | Self::Control(ControlError::RunExists { .. } | ControlError::Refused(_)) => {
                StatusCode::CONFLICT
            }
            Self::Granting(error) => match error {
                GrantingError::Unknown(_) | GrantingError::Version { .. } => StatusCode::NOT_FOUND,
                GrantingError::Configured(_)
                | GrantingError::Automatic(_)
                | GrantingError::NothingMore(_) => StatusCode::CONFLICT,
                _ => StatusCode::UNPROCESSABLE_ENTITY,
            },
            Self::Timetable { failure, .. }
            | Self::Control(ControlError::Timetable { failure, .. }) => {
                if failure.is_transient() {
                    StatusCode::SERVICE_UNAVAILABLE
                } else {
                    StatusCode::CONFLICT
                }
            }
            Self::Control(ControlError::ShuttingDown) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) | Self::Unaudited(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Store(error) | Self::Control(ControlError::Store(error)) => match error {
                StoreError::Unavailable(_) | StoreError::Full(_) => StatusCode::SERVICE_UNAVAILABLE,
                StoreError::NotFound(_) => StatusCode::NOT_FOUND,
                StoreError::Exists(_) | StoreError::Refused(_) => StatusCode::CONFLICT,
                StoreError::Corrupt(_) | StoreError::Statement(_) => {
                    StatusCode::INTERNAL_SERVER_ERROR
                }
            },
        }
    }

    /// Splits the message into its code and its text.
    fn body(&self) -> ErrorBody {
        let text = self.to_string();
        let coded = text
            .split_once(": ")
            .filter(|(code, _)| code.starts_with("AL-"));
        let (code, detail) = coded.unwrap_or(("AL-0813", &text));
        // An inner code, such as that of an id, is the more telling one.
        let inner = detail
            .split_once(": ")
            .filter(|(code, _)| code.starts_with("AL-") && code.len() == "AL-0000".len());
        let (code, detail) = inner.unwrap_or((code, detail));
        ErrorBody {
            detail: detail.to_owned(),
            code: code.to_owned(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        if status.is_server_error() {
            let mut causes = String::new();
            let mut cause = std::error::Error::source(&self);
            while let Some(error) = cause {
                causes = format!("{causes}; because: {error}");
                cause = error.source();
            }
            tracing::error!("a request failed: {self}{}", causes.escape_debug());
        }
        let mut response = (status, Json(self.body())).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use airlock_model::id::DagId;

    use super::*;

    #[test]
    fn the_body_carries_the_most_telling_code_once() {
        let wrong = DagId::new("a b").unwrap_err();
        let body = ApiError::invalid(&wrong).body();
        assert_eq!(body.code, "AL-0303");
        assert!(
            body.detail.starts_with("`a b` is not a dag_id"),
            "{}",
            body.detail
        );
        let body = ApiError::from(StoreError::Refused("no".into())).body();
        assert_eq!(
            (body.code.as_str(), body.detail.as_str()),
            ("AL-0606", "no")
        );
    }
}
