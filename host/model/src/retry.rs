//! How long to wait before the next try (Airflow 3.3.2, `TaskInstance.next_retry_datetime`).

use std::time::Duration;

use sha1::{Digest, Sha1};

use crate::{dag::TaskSpec, time::Timestamp};

/// The longest pause between two tries (Airflow 3.3.2, `[core] max_task_retry_delay`).
pub const MAX_DELAY: Duration = Duration::from_secs(86_400);

/// The pause after try number `try_number` has failed.
///
/// Without back-off it is `retry_delay`. With a multiplier m it is `b + h mod b`, where
/// `b = max(1 s, ⌈retry_delay · m^(try − 1)⌉)` and h is a SHA-1 of DAG, task, logical date and try: at
/// least b, less than 2 b, the same on every host, and different for tasks that failed together. It is
/// bounded by [`MAX_DELAY`] and, with back-off only, by `max_retry_delay`.
#[must_use]
pub fn delay(
    task: &TaskSpec,
    dag_id: &str,
    logical_date: Option<Timestamp>,
    try_number: u32,
) -> Duration {
    let multiplier = task.retry_exponential_backoff;
    #[expect(
        clippy::float_cmp,
        reason = "exactly 0 and exactly 1 mean: no back-off"
    )]
    if multiplier == 0.0 || multiplier == 1.0 {
        return task.retry_delay.min(MAX_DELAY);
    }
    let power = i32::try_from(try_number.saturating_sub(1)).unwrap_or(i32::MAX);
    let grown = (task.retry_delay.as_secs_f64() * multiplier.powi(power)).ceil();
    // Beyond the cap the base no longer matters, only that it is large.
    let base = if grown.is_finite() {
        grown.clamp(1.0, 1e15)
    } else {
        1e15
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 1..=1e15"
    )]
    let base = base as u64;
    let date =
        logical_date.map_or_else(|| "None".to_owned(), |at| at.to_string().replace('T', " "));
    let digest = Sha1::digest(format!("{dag_id}#{}#{date}#{try_number}", task.task_id));
    let jitter = digest.iter().fold(0_u64, |rest, &byte| {
        // The digest as one large number, modulo the base, digit by digit.
        let wide = (u128::from(rest) << 8 | u128::from(byte)) % u128::from(base);
        u64::try_from(wide).unwrap_or(0)
    });
    Duration::from_secs(base + jitter)
        .min(MAX_DELAY)
        .min(task.max_retry_delay.unwrap_or(MAX_DELAY))
}

/// Whether a failed try is followed by another: `retries` is not zero and they are not used up.
#[must_use]
pub const fn has_another_try(try_number: u32, max_tries: u32) -> bool {
    max_tries != 0 && try_number <= max_tries
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Case {
        retry_delay_s: u64,
        retry_exponential_backoff: f64,
        max_retry_delay_s: Option<u64>,
        try_number: u32,
        dag_id: String,
        task_id: String,
        logical_date: String,
        delay_s: f64,
    }

    #[test]
    fn pauses_are_airflows_to_the_second() {
        let cases: Vec<Case> =
            serde_json::from_str(include_str!("../tests/vectors/retry_backoff.json")).unwrap();
        for case in cases {
            let mut task = crate::dag::tests::task(&case.task_id, &[]);
            task.retry_delay = Duration::from_secs(case.retry_delay_s);
            task.retry_exponential_backoff = case.retry_exponential_backoff;
            task.max_retry_delay = case.max_retry_delay_s.map(Duration::from_secs);
            let date = case.logical_date.replace(' ', "T").parse().unwrap();
            let told = delay(&task, &case.dag_id, Some(date), case.try_number).as_secs_f64();
            assert!(
                (told - case.delay_s).abs() < 1e-9,
                "try {}: {told} is not {}",
                case.try_number,
                case.delay_s
            );
        }
    }
}
