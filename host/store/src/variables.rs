//! Variables, sealed.

use airlock_model::{
    id::{Scope, VariableKey},
    port::{SealedVariable, StoreError, VariableStore},
};
use async_trait::async_trait;
use sqlx::{FromRow, QueryBuilder};

use crate::{
    Store,
    column::{self, scope_text},
    database::{read, write},
};

#[derive(FromRow)]
struct VariableRecord {
    team: String,
    name: String,
    sealed: Vec<u8>,
    description: Option<String>,
}

impl TryFrom<VariableRecord> for SealedVariable {
    type Error = StoreError;
    fn try_from(row: VariableRecord) -> Result<Self, StoreError> {
        Ok(Self {
            scope: column::scope(&row.team)?,
            key: column::name(&row.name)?,
            sealed: row.sealed,
            description: row.description,
        })
    }
}

#[async_trait]
impl VariableStore for Store {
    async fn variable(
        &self,
        scope: &Scope,
        key: &VariableKey,
    ) -> Result<Option<SealedVariable>, StoreError> {
        let row: Option<VariableRecord> = read!(self, db => {
            Ok(sqlx::query_as("SELECT * FROM variable WHERE team = $1 AND name = $2")
                .bind(scope_text(scope))
                .bind(key.as_str())
                .fetch_optional(db)
                .await?)
        })?;
        row.map(SealedVariable::try_from).transpose()
    }

    async fn variables(&self, scopes: &[Scope]) -> Result<Vec<SealedVariable>, StoreError> {
        if scopes.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<VariableRecord> = read!(self, db => {
            let mut query = QueryBuilder::new("SELECT * FROM variable WHERE team IN (");
            let mut teams = query.separated(", ");
            for scope in scopes {
                teams.push_bind(scope_text(scope).to_owned());
            }
            query.push(") ORDER BY name, team");
            Ok(query.build_query_as().fetch_all(db).await?)
        })?;
        rows.into_iter().map(SealedVariable::try_from).collect()
    }

    async fn set_variable(&self, variable: &SealedVariable) -> Result<(), StoreError> {
        write!(self, db => {
            sqlx::query(
                "INSERT INTO variable (team, name, sealed, description) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (team, name) DO UPDATE
                 SET sealed = excluded.sealed, description = excluded.description",
            )
            .bind(scope_text(&variable.scope))
            .bind(variable.key.as_str())
            .bind(variable.sealed.as_slice())
            .bind(variable.description.as_deref().map(column::plain))
            .execute(&mut *db)
            .await?;
            Ok(())
        })
    }

    async fn delete_variable(&self, scope: &Scope, key: &VariableKey) -> Result<(), StoreError> {
        write!(self, db => {
            let done = sqlx::query("DELETE FROM variable WHERE team = $1 AND name = $2")
                .bind(scope_text(scope))
                .bind(key.as_str())
                .execute(&mut *db)
                .await?;
            match done.rows_affected() {
                0 => Err(StoreError::NotFound(format!("the variable `{key}`")).into()),
                _ => Ok(()),
            }
        })
    }
}
