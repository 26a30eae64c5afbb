//! Pools.

use airlock_model::{
    connection::Pool,
    id::{PoolName, Scope},
    port::{PoolStore, StoreError},
};
use async_trait::async_trait;
use sqlx::FromRow;

use crate::{
    Store,
    column::{self, scope_text},
    database::{read, write},
};

#[derive(FromRow)]
struct PoolRecord {
    team: String,
    name: String,
    slots: i32,
    description: Option<String>,
    include_deferred: bool,
}

impl TryFrom<PoolRecord> for Pool {
    type Error = StoreError;
    fn try_from(row: PoolRecord) -> Result<Self, StoreError> {
        Ok(Self {
            scope: column::scope(&row.team)?,
            name: column::name(&row.name)?,
            slots: row.slots,
            description: row.description,
            include_deferred: row.include_deferred,
        })
    }
}

#[async_trait]
impl PoolStore for Store {
    async fn pools(&self) -> Result<Vec<Pool>, StoreError> {
        let rows: Vec<PoolRecord> = read!(self, db => {
            Ok(sqlx::query_as("SELECT * FROM pool ORDER BY name, team").fetch_all(db).await?)
        })?;
        rows.into_iter().map(Pool::try_from).collect()
    }

    async fn set_pool(&self, pool: &Pool) -> Result<(), StoreError> {
        write!(self, db => {
            sqlx::query(
                "INSERT INTO pool (team, name, slots, description, include_deferred)
                 VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (team, name) DO UPDATE SET slots = excluded.slots,
                     description = excluded.description, include_deferred = excluded.include_deferred",
            )
            .bind(scope_text(&pool.scope))
            .bind(pool.name.as_str())
            .bind(pool.slots)
            .bind(pool.description.as_deref().map(column::plain))
            .bind(pool.include_deferred)
            .execute(&mut *db)
            .await?;
            Ok(())
        })
    }

    async fn delete_pool(&self, scope: &Scope, name: &PoolName) -> Result<(), StoreError> {
        if *name == PoolName::default_pool() {
            return Err(StoreError::Refused(format!(
                "`{name}` is the pool of tasks that name none and cannot be deleted; change its slots instead"
            )));
        }
        write!(self, db => {
            let done = sqlx::query("DELETE FROM pool WHERE team = $1 AND name = $2")
                .bind(scope_text(scope))
                .bind(name.as_str())
                .execute(&mut *db)
                .await?;
            match done.rows_affected() {
                0 => Err(StoreError::NotFound(format!("the pool `{name}`")).into()),
                _ => Ok(()),
            }
        })
    }
}
