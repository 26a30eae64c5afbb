//! One suite, two databases: every test runs on SQLite and on PostgreSQL.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod around;
mod assets;
mod audit;
mod backfills;
mod batches;
mod bundles;
mod concurrency;
mod crash;
mod dags;
mod expansion;
mod fixture;
mod grants;
mod lost_connection;
mod migration;
mod ownership;
mod reading;
mod schema;
mod server;
mod settings;
mod versions;
mod waiting;
mod xcoms;

/// Makes each of these functions a test on each database.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                crate::fixture::on_sqlite(super::$name).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                crate::fixture::on_postgres(super::$name).await;
            })*
        }
    };
}
pub(crate) use on_both;
