//! Which events of watchers have been told of.

use airlock_model::{
    port::{AssetKey, StoreError},
    time::Timestamp,
};

use crate::{
    Store,
    column::{json_text, pair, plain},
    database::{read, write},
};

/// Places of the array that are known.
const SEEN_SQLITE: &str = "
SELECT n.key FROM jsonb_each($2) AS n CROSS JOIN seen_key AS s
    ON s.team = $1 AND s.pair = unhex(n.value ->> 0)";
const SEEN_POSTGRES: &str = "
SELECT n.place - 1 FROM jsonb_array_elements($2::text::jsonb) WITH ORDINALITY AS n(value, place)
JOIN seen_key AS s ON s.team = $1 AND s.pair = decode(n.value ->> 0, 'hex')";

const FORGET: &str = "DELETE FROM seen_key WHERE at < $1";

impl Store {
    pub(super) async fn remove_seen_keys(&self, before: Timestamp) -> Result<u64, StoreError> {
        write!(self, db => {
            let gone = sqlx::query(FORGET).bind(before.micros()).execute(&mut *db).await?;
            Ok(gone.rows_affected())
        })
    }

    pub(super) async fn read_seen_keys(
        &self,
        asset: &AssetKey,
        keys: &[String],
    ) -> Result<Vec<String>, StoreError> {
        let statement = self.dialect(SEEN_SQLITE, SEEN_POSTGRES);
        let name = plain(&asset.name);
        let pairs = keys.iter().map(|key| [pair(&plain(key), &name)]);
        let pairs = json_text(&pairs.collect::<Vec<_>>());
        let places: Vec<i64> = read!(self, db => {
            Ok(sqlx::query_scalar(statement)
                .bind(asset.team.as_str())
                .bind(pairs.as_str())
                .fetch_all(db)
                .await?)
        })?;
        let key = |place: &i64| keys.get(usize::try_from(*place).ok()?).cloned();
        Ok(places.iter().filter_map(key).collect())
    }
}

/// What the scheduler asks on SQLite.
#[cfg(test)]
pub(crate) fn sqlite_plans() -> Vec<&'static str> {
    vec![SEEN_SQLITE, FORGET]
}

/// The same on PostgreSQL.
#[cfg(test)]
pub(crate) fn postgres_plans() -> Vec<&'static str> {
    vec![SEEN_POSTGRES, FORGET]
}
