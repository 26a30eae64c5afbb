//! Logs of tries, in parts or followed as they grow.

use std::time::Duration;

use airlock_model::{
    id::{DagId, MapIndex, RunId, TaskId, TeamName},
    log::{Line, TryKey},
    port::{RunRow, TaskRow},
    state::TaskState,
};
use axum::{
    Json,
    body::Body,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::stream;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{scope::Whose, task_instances::instance};
use crate::{
    auth::Operator,
    extract::{Path, Query},
    problem::{ApiError, ErrorBody},
    state::ApiState,
};

/// How often a follower looks whether the try has ended, where its log does not grow. New lines are sent as
/// they come and do not wait for it.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A line of a log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LogLine {
    timestamp: String,
    /// The text as the bundle wrote it, with secrets masked. Escape it where it is shown.
    event: String,
    level: String,
    logger: String,
    /// `task`, `stdout`, `stderr` or `airlock`.
    source: String,
    filename: Option<String>,
    lineno: Option<u32>,
}

/// Part of a log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LogPart {
    content: Vec<LogLine>,
    /// Where to read on; null when the try has ended and this was the last part.
    continuation_token: Option<String>,
}

/// Which part of a log.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LogsQuery {
    /// Which instance of a mapped task; -1 for a task that is not mapped.
    map_index: i32,
    /// The `continuation_token` of the part before.
    token: Option<String>,
    /// Stay connected and send lines as they come, one JSON object per line (`application/x-ndjson`), until
    /// the try ends.
    follow: bool,
    /// On behalf of this team: what is another team's is not found.
    #[param(value_type = Option<String>)]
    team: Option<TeamName>,
}

impl Default for LogsQuery {
    fn default() -> Self {
        Self {
            map_index: MapIndex::UNMAPPED.0,
            token: None,
            follow: false,
            team: None,
        }
    }
}

impl From<Line> for LogLine {
    fn from(line: Line) -> Self {
        use airlock_model::log::Source;
        let source = match line.source {
            Source::Task => "task",
            Source::Stdout => "stdout",
            Source::Stderr => "stderr",
            Source::Airlock => "airlock",
        };
        let (filename, lineno) = line.location.map(|at| (at.file, at.line)).unzip();
        Self {
            timestamp: line.at.to_string(),
            event: line.message,
            level: line.level.to_string(),
            logger: line.target,
            source: source.to_owned(),
            filename,
            lineno,
        }
    }
}

/// Nothing more will be written to the log of this try.
fn has_ended(task: &TaskRow, try_number: u32) -> bool {
    let over = task.fields.state.is_some_and(|state| {
        state.is_terminal() || matches!(state, TaskState::UpForRetry | TaskState::UpForReschedule)
    });
    task.fields.try_number > try_number || over
}

/// Read the log of a try.
#[utoipa::path(get, operation_id = "get_log", path = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/logs/{try_number}",
    tag = "Task Instance",
    params(("dag_id" = String, Path), ("dag_run_id" = String, Path), ("task_id" = String, Path),
        ("try_number" = u32, Path, description = "Counted from 1"), LogsQuery),
    responses((status = 200, body = LogPart), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn read(
    _: Operator,
    State(state): State<ApiState>,
    Path((dag_id, run_id, task_id, try_number)): Path<(DagId, RunId, TaskId, u32)>,
    Query(query): Query<LogsQuery>,
) -> Result<Response, ApiError> {
    let from = match &query.token {
        None => 0,
        Some(token) => token.parse().map_err(|_| {
            ApiError::Invalid("`token` is not the continuation_token of an earlier part".to_owned())
        })?,
    };
    let whose = Whose::of(query.team);
    let run = whose.run(&state, &dag_id, &run_id).await?;
    let task = instance(&state, &run, &task_id, MapIndex(query.map_index)).await?;
    if try_number == 0 || try_number > task.fields.try_number.max(1) {
        let name = format!("{dag_id}/{run_id}/{task_id}, try {try_number}");
        return Err(ApiError::not_found("try", name));
    }
    let of = TryKey {
        team: run.team.clone(),
        dag_id,
        run_id,
        task_id,
        map_index: task.map_index,
        try_number,
    };
    if query.follow {
        return Ok(follow(state, run, of, from));
    }
    // Whether it has ended is asked before reading: what was written until then is in what is read.
    let ended = has_ended(&task, try_number);
    let part = state.logs.read(&of, from).await?;
    let last = ended && part.lines.is_empty();
    Ok(Json(LogPart {
        content: part.lines.into_iter().map(LogLine::from).collect(),
        continuation_token: (!last).then(|| part.next.to_string()),
    })
    .into_response())
}

/// Where a follower stands.
struct Follower {
    state: ApiState,
    run: RunRow,
    of: TryKey,
    from: u64,
}

impl Follower {
    /// The next lines as ndjson; none when the try has ended and all of its log was sent, or the server stops.
    async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            let key = &self.of;
            let task = instance(&self.state, &self.run, &key.task_id, key.map_index).await?;
            let ended = has_ended(&task, key.try_number);
            let part = self.state.logs.read(key, self.from).await?;
            self.from = part.next;
            if !part.lines.is_empty() {
                let mut text = Vec::new();
                for line in part.lines {
                    serde_json::to_writer(&mut text, &LogLine::from(line))
                        .map_err(|error| ApiError::Internal(error.to_string()))?;
                    text.push(b'\n');
                }
                return Ok(Some(text.into()));
            }
            if ended {
                return Ok(None);
            }
            tokio::select! {
                () = self.state.logs.grown(key, self.from) => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
                () = self.state.shutdown.cancelled() => return Ok(None),
            }
        }
    }
}

fn follow(state: ApiState, run: RunRow, of: TryKey, from: u64) -> Response {
    let follower = Follower {
        state,
        run,
        of,
        from,
    };
    let lines = stream::try_unfold(follower, |mut follower| async move {
        let lines = follower.next().await;
        if let Err(error) = &lines {
            // The answer has begun: the connection breaks off, and the reason is in the server's log.
            tracing::error!("a followed log broke off: {error}");
        }
        Ok::<_, ApiError>(lines?.map(|lines| (lines, follower)))
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (kind, Body::from_stream(lines)).into_response()
}
