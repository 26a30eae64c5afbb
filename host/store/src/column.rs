//! Between the model's types and the columns of both databases.
//!
//! Numbers are signed 64-bit, times microseconds, ids and states their own names. What is read is checked
//! again on the way in: a database that somebody edited must not put an unsafe id into the house.

use std::{borrow::Cow, fmt::Display, str::FromStr, sync::Arc, time::Duration};

use airlock_model::{
    dag::AssetRef,
    id::{AuditHash, BundleHash, DefinitionHash, Scope, TeamName, Token},
    outcome::FailureKind,
    port::{AssetRole, StoreError},
    time::Timestamp,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::error::corrupt;

/// An id, state or other name.
pub(crate) fn name<T: FromStr<Err: Display>>(text: &str) -> Result<T, StoreError> {
    text.parse().map_err(corrupt)
}

/// A point in time.
pub(crate) fn time(micros: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_micros(micros).map_err(corrupt)
}

/// A point in time that may be missing.
pub(crate) fn maybe_time(micros: Option<i64>) -> Result<Option<Timestamp>, StoreError> {
    micros.map(time).transpose()
}

/// A data interval, both ends or none.
pub(crate) fn interval(
    start: Option<i64>,
    end: Option<i64>,
) -> Result<Option<(Timestamp, Timestamp)>, StoreError> {
    start
        .zip(end)
        .map(|(start, end)| Ok((time(start)?, time(end)?)))
        .transpose()
}

/// A number of a narrower type.
pub(crate) fn number<T: TryFrom<i64, Error: Display>>(value: i64) -> Result<T, StoreError> {
    T::try_from(value).map_err(corrupt)
}

/// A fencing token.
pub(crate) fn token(value: i64) -> Result<Token, StoreError> {
    number(value).map(Token::stored)
}

/// A count or position as the databases take it.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The hash of content.
pub(crate) fn hash(bytes: &[u8]) -> Result<BundleHash, StoreError> {
    hash_bytes(bytes).map(BundleHash::from_bytes)
}

/// The hash of a definition.
pub(crate) fn definition(bytes: &[u8]) -> Result<DefinitionHash, StoreError> {
    hash_bytes(bytes).map(DefinitionHash::from_bytes)
}

/// The hash of an audit row.
pub(crate) fn audit_hash(bytes: &[u8]) -> Result<AuditHash, StoreError> {
    hash_bytes(bytes).map(AuditHash::from_bytes)
}

fn hash_bytes(bytes: &[u8]) -> Result<[u8; 32], StoreError> {
    bytes
        .try_into()
        .map_err(|_| corrupt(format!("a hash of {} bytes", bytes.len())))
}

/// A scope as a column: the team's name, or nothing. No team's name is empty.
pub(crate) fn scope_text(scope: &Scope) -> &str {
    match scope {
        Scope::Global => "",
        Scope::Team(team) => team.as_str(),
    }
}

/// A scope from its column.
pub(crate) fn scope(text: &str) -> Result<Scope, StoreError> {
    if text.is_empty() {
        return Ok(Scope::Global);
    }
    TeamName::new(text).map(Scope::Team).map_err(corrupt)
}

/// Text that both databases can hold. PostgreSQL has no NUL in texts, and a guest must not be able to spoil
/// a batch with one, so it becomes the replacement character in both.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        text.replace('\0', "\u{FFFD}").into()
    } else {
        text.into()
    }
}

/// What ended a try: `trap`, or `limit.memory` for one of the limits.
pub(crate) fn failure_text(kind: FailureKind) -> String {
    match serde_json::to_value(kind) {
        Ok(Value::String(kind)) => kind,
        Ok(Value::Object(limit)) => limit
            .iter()
            .map(|(key, value)| format!("{key}.{}", value.as_str().unwrap_or_default()))
            .collect(),
        _ => String::new(),
    }
}

/// What ended a try, from its column.
pub(crate) fn failure(text: &str) -> Result<FailureKind, StoreError> {
    let value = match text.split_once('.') {
        Some((key, limit)) => json!({ key: limit }),
        None => json!(text),
    };
    serde_json::from_value(value).map_err(corrupt)
}

/// What the model says of itself, as JSON text.
pub(crate) fn json_text<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// What the model says of itself, from a column.
pub(crate) fn of_json<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(corrupt)
}

/// The same, where it may be missing.
pub(crate) fn maybe_json<T: DeserializeOwned>(
    text: Option<&str>,
) -> Result<Option<Arc<T>>, StoreError> {
    text.map(|text| of_json(text).map(Arc::new)).transpose()
}

/// A span of time in nanoseconds.
pub(crate) fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

/// A span of time, from its column.
pub(crate) fn span(nanos: i64) -> Result<Duration, StoreError> {
    number(nanos).map(Duration::from_nanos)
}

/// What stands for a name of any length in an index.
pub(crate) fn name_hash(name: &str) -> String {
    blake3::hash(name.as_bytes()).to_hex().to_string()
}

/// A reference to an asset: its kind, and the text.
pub(crate) fn reference_text(asset: &AssetRef) -> (&'static str, &str) {
    match asset {
        AssetRef::Name(name) => ("name", name),
        AssetRef::Uri(uri) => ("uri", uri),
        AssetRef::Alias(alias) => ("alias", alias),
    }
}

/// A reference to an asset, from its columns.
pub(crate) fn reference(kind: &str, text: String) -> Result<AssetRef, StoreError> {
    match kind {
        "name" => Ok(AssetRef::Name(text)),
        "uri" => Ok(AssetRef::Uri(text)),
        "alias" => Ok(AssetRef::Alias(text)),
        other => Err(corrupt(format!("a reference of kind `{other}`"))),
    }
}

/// What is done with an asset.
pub(crate) const fn role_text(role: AssetRole) -> &'static str {
    match role {
        AssetRole::Declared => "declared",
        AssetRole::Schedule => "schedule",
        AssetRole::Inlet => "inlet",
        AssetRole::Outlet => "outlet",
    }
}

/// What is done with an asset, from its column.
pub(crate) fn role(text: &str) -> Result<AssetRole, StoreError> {
    use AssetRole::{Declared, Inlet, Outlet, Schedule};
    let roles = [Declared, Schedule, Inlet, Outlet];
    let found = roles.into_iter().find(|role| role_text(*role) == text);
    found.ok_or_else(|| corrupt(format!("a use of kind `{text}`")))
}

/// What stands for an alias and an asset's name together.
pub(crate) fn pair(alias: &str, name: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(alias.len() as u64).to_le_bytes());
    hasher.update(alias.as_bytes()).update(name.as_bytes());
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use airlock_model::outcome::Limit;

    use super::*;

    #[test]
    fn every_kind_of_failure_survives_its_column() {
        for kind in [
            FailureKind::Error,
            FailureKind::Final,
            FailureKind::Limit(Limit::TeamMemory),
            FailureKind::Killed,
        ] {
            assert_eq!(failure(&failure_text(kind)).unwrap(), kind);
        }
        assert_eq!(
            failure_text(FailureKind::Limit(Limit::CpuTime)),
            "limit.cpu_time"
        );
        assert!(failure("limit.").is_err());
    }

    #[test]
    fn a_scope_of_a_team_never_reads_as_the_global_one() {
        let team = Scope::Team(TeamName::default_team());
        assert_eq!(scope(scope_text(&team)).unwrap(), team);
        assert_eq!(scope(scope_text(&Scope::Global)).unwrap(), Scope::Global);
        assert!(scope("a/b").is_err());
    }
}
