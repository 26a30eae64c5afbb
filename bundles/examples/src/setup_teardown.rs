//! A setup makes what others need; its teardown puts it away, whatever became of them. The tasks in between
//! are those that come after the setup and before the teardown. If a task fails, the teardown still runs, and
//! the run fails nevertheless: a teardown does not hide what happened.

use airlock_sdk::prelude::*;

/// Computes on a cluster that exists only meanwhile.
#[dag]
pub fn setup_teardown() {
    let cluster = create_cluster();
    let result = compute(&cluster);
    let checked = check(result);
    delete_cluster(&cluster)
        .as_teardown(&cluster)
        .after(checked);
}

#[task(setup)]
fn create_cluster() -> String {
    info!("the cluster is there");
    "cluster-1".to_owned()
}

#[task]
fn compute(cluster: &str) -> u32 {
    info!("computing on {cluster}");
    42
}

#[task]
fn check(result: u32) -> Result<()> {
    ensure!(result == 42, "{result} is not the answer");
    Ok(())
}

/// With `on_failure_fail_dagrun`, a cluster that could not be deleted fails the run.
#[task(teardown, on_failure_fail_dagrun, retries = 3, retry_delay = "10s")]
fn delete_cluster(cluster: &str) {
    info!("{cluster} is gone");
}
