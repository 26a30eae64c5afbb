//! Contents that nothing needs any more.
//!
//! Deleting a run notes the contents of its large XComs, in its own transaction. Files are removed at a start
//! only, before anything is written: while the scheduler works, a try may be about to refer to a content that
//! it has just put. Only what was noted is looked at, so that a host that is pointed at the wrong database
//! removes nothing.

use airlock_model::{id::BundleHash, port::StoreError};

use crate::{
    BlobFiles, Store, column,
    database::{read, write},
};

const UNNEEDED: &str = "
SELECT hash FROM dropped_content AS d
WHERE NOT EXISTS (SELECT 1 FROM xcom AS x WHERE x.spilled = d.hash)
  AND NOT EXISTS (SELECT 1 FROM bundle_version AS v WHERE v.hash = d.hash)";

impl Store {
    /// Removes the contents that were needed by deleted runs alone, and says how many. To be called before the
    /// scheduler starts, by the one host that works in these files' home.
    ///
    /// # Errors
    /// When the database or a file fails; what was removed until then stays removed.
    pub async fn remove_dropped_contents(&self, files: &BlobFiles) -> Result<u64, StoreError> {
        let unneeded: Vec<Vec<u8>> =
            read!(self, db => { Ok(sqlx::query_scalar(UNNEEDED).fetch_all(db).await?) })?;
        let hashes: Vec<BundleHash> = unneeded
            .iter()
            .map(|hash| column::hash(hash))
            .collect::<Result<_, _>>()?;
        for hash in &hashes {
            files.remove(hash).await?;
        }
        // What something else still needs is noted again when that goes.
        write!(self, db => {
            sqlx::query("DELETE FROM dropped_content").execute(&mut *db).await?;
            Ok(())
        })?;
        Ok(hashes.len() as u64)
    }
}
