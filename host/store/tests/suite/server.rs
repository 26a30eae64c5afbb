//! The PostgreSQL to test on.

use std::process::Command;

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

/// The server to test on: the one of `AIRLOCK_TEST_POSTGRES_URL`, else a private one, else the reason why
/// there is none.
pub(crate) fn postgres_url() -> Result<String, String> {
    if let Ok(url) = std::env::var("AIRLOCK_TEST_POSTGRES_URL") {
        return Ok(url);
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/postgres");
    let done = Command::new(script)
        .arg("start")
        .output()
        .map_err(|e| format!("{script}: {e}"))?;
    match done.status.success() {
        true => Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned()),
        false => Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()),
    }
}

/// A schema of its own on the test server, dropped by [`Schema::drop`].
pub(crate) struct Schema {
    server: String,
    name: String,
}

impl Schema {
    /// None, said aloud, where there is no server.
    pub(crate) async fn create() -> Option<Self> {
        let server = postgres_url()
            .map_err(|reason| eprintln!("SKIPPED on PostgreSQL: {reason}"))
            .ok()?;
        let name = format!("test_{}", Uuid::now_v7().simple());
        let schema = Self { server, name };
        schema.execute("CREATE SCHEMA").await;
        Some(schema)
    }

    async fn execute(&self, verb: &str) {
        let mut connection = PgConnection::connect(&self.server).await.unwrap();
        let statement = format!(
            "{verb} {} {}",
            self.name,
            if verb.starts_with("DROP") {
                "CASCADE"
            } else {
                ""
            }
        );
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut connection)
            .await
            .unwrap();
    }

    pub(crate) fn url(&self) -> String {
        self.url_of(&self.server)
    }

    pub(crate) fn url_of(&self, server: &str) -> String {
        let and = if server.contains('?') { '&' } else { '?' };
        format!("{server}{and}options[search_path]={}", self.name)
    }

    pub(crate) async fn drop(self) {
        self.execute("DROP SCHEMA").await;
    }
}
