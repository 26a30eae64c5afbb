//! Pools, and how full they are.
//!
//! A pool remembers whether the configuration made it. Only such a one goes when the configuration no longer
//! names it; what somebody made or changed through the API is theirs.

use std::collections::{BTreeMap, HashMap};

use airlock_model::{
    connection::Pool,
    id::{PoolName, Scope},
    port::{PoolLoad, PoolLoads, PoolStore, StoreError},
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
    configured: bool,
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
                "INSERT INTO pool (team, name, slots, description, include_deferred, configured)
                 VALUES ($1, $2, $3, $4, $5, FALSE)
                 ON CONFLICT (team, name) DO UPDATE SET slots = excluded.slots,
                     description = excluded.description, include_deferred = excluded.include_deferred,
                     configured = excluded.configured",
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

/// What waits and what runs, in runs that have not ended.
const LOADS: &str = "SELECT r.team, t.pool, t.state, CAST(SUM(t.pool_slots) AS BIGINT) AS slots
     FROM dag_run r JOIN task_instance t ON t.run = r.key
     WHERE r.state IN ('queued', 'running') AND t.state IN ('scheduled', 'queued', 'running', 'deferred')
     GROUP BY r.team, t.pool, t.state";

#[derive(FromRow)]
struct LoadRecord {
    team: String,
    pool: String,
    state: String,
    slots: i64,
}

#[async_trait]
impl PoolLoads for Store {
    async fn pool_loads(&self) -> Result<Vec<PoolLoad>, StoreError> {
        let rows: Vec<LoadRecord> = read!(self, db => {
            Ok(sqlx::query_as(LOADS).fetch_all(db).await?)
        })?;
        let mut loads: BTreeMap<(String, String), [u64; 4]> = BTreeMap::new();
        for row in rows {
            let slots = u64::try_from(row.slots).unwrap_or_default();
            let [scheduled, queued, running, deferred] =
                loads.entry((row.team, row.pool)).or_default();
            match row.state.as_str() {
                "scheduled" => *scheduled = slots,
                "queued" => *queued = slots,
                "deferred" => *deferred = slots,
                _ => *running = slots,
            }
        }
        loads
            .into_iter()
            .map(|((team, pool), [scheduled, queued, running, deferred])| {
                Ok(PoolLoad {
                    team: column::name(&team)?,
                    pool: column::name(&pool)?,
                    scheduled,
                    queued,
                    running,
                    deferred,
                })
            })
            .collect()
    }
}

impl Store {
    /// Makes `pools`, those of the configuration, as it says, and `defaults` as they are unless somebody
    /// changed them through the API. Any other pool that the configuration made once, and nobody changed
    /// since, is removed and given back. Where all is as it was, nothing is written.
    ///
    /// # Errors
    /// When the database cannot be read or written.
    pub async fn configure_pools(
        &self,
        pools: &[Pool],
        defaults: &[Pool],
    ) -> Result<Vec<(Scope, PoolName)>, StoreError> {
        let rows: Vec<PoolRecord> =
            read!(self, db => { Ok(sqlx::query_as("SELECT * FROM pool").fetch_all(db).await?) })?;
        let mut there = HashMap::new();
        for row in rows {
            let made_here = row.configured;
            let pool = Pool::try_from(row)?;
            there.insert((pool.scope.clone(), pool.name.clone()), (pool, made_here));
        }
        let mut wanted = Vec::new();
        for (pool, is_default) in
            (pools.iter().map(|pool| (pool, false))).chain(defaults.iter().map(|pool| (pool, true)))
        {
            match there.remove(&(pool.scope.clone(), pool.name.clone())) {
                Some((old, made_here)) if old == *pool || (is_default && !made_here) => {}
                _ => wanted.push(pool),
            }
        }
        let gone: Vec<_> = (there.into_iter())
            .filter_map(|(key, (_, made_here))| made_here.then_some(key))
            .collect();
        if wanted.is_empty() && gone.is_empty() {
            return Ok(gone);
        }
        write!(self, db => {
            for (scope, name) in &gone {
                sqlx::query("DELETE FROM pool WHERE team = $1 AND name = $2")
                    .bind(scope_text(scope))
                    .bind(name.as_str())
                    .execute(&mut *db)
                    .await?;
            }
            for pool in &wanted {
                // Whose a pool is that was there before stays as it is: what was made through the API is
                // not lost when the configuration names it for a while.
                sqlx::query(
                    "INSERT INTO pool (team, name, slots, description, include_deferred, configured)
                     VALUES ($1, $2, $3, $4, $5, TRUE)
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
            }
            Ok(())
        })?;
        Ok(gone)
    }
}
