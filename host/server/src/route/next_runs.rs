//! The runs that a DAG's timetable will make.

use airlock_model::{
    dag::CustomSchedule,
    id::{DagId, TeamName},
    port::{StoredDag, TimetableCode},
    timetable::{Answer, NextRun, Restriction, Timetable},
};
use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{list_query, scope::Whose};
use crate::{
    auth::Operator,
    extract::{Path, Query},
    problem::{ApiError, ErrorBody},
    state::ApiState,
};

/// A run to come.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ComingRun {
    /// The time that it stands for.
    logical_date: String,
    data_interval_start: String,
    data_interval_end: String,
    /// It does not start earlier.
    run_after: String,
}

impl From<NextRun> for ComingRun {
    fn from(run: NextRun) -> Self {
        let (start, end) = run.interval;
        Self {
            logical_date: run.logical_date().to_string(),
            data_interval_start: start.to_string(),
            data_interval_end: end.to_string(),
            run_after: run.run_after.to_string(),
        }
    }
}

/// Runs to come, the next first. How many there are altogether nobody can tell.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ComingRuns {
    dag_id: String,
    next_runs: Vec<ComingRun>,
}

/// The most runs that a timetable is asked for which is a bundle's own code: each is a call of it.
const MOST_ASKED: u32 = 100;

list_query! {
    /// How many; of a timetable that is the bundle's own code, the first 100 at most.
    NextRunsQuery {
        /// On behalf of this team: what is another team's is not found.
        #[param(value_type = Option<String>)]
        team: Option<TeamName>,
    }
}

/// List the runs that a DAG's timetable makes next.
#[utoipa::path(get, operation_id = "list_next_runs", path = "/api/v2/dags/{dag_id}/nextRuns", tag = "DAG",
    params(("dag_id" = String, Path), NextRunsQuery),
    responses((status = 200, body = ComingRuns), (status = "4XX", body = ErrorBody)))]
pub(crate) async fn list(
    _: Operator,
    State(state): State<ApiState>,
    Path(dag_id): Path<DagId>,
    Query(query): Query<NextRunsQuery>,
) -> Result<Json<ComingRuns>, ApiError> {
    let page = query.page().page();
    let dag = Whose::of(query.team).dag(&state, &dag_id).await?;
    let unreadable = |error| {
        ApiError::Internal(format!(
            "the schedule of DAG `{dag_id}` is not one: {error}"
        ))
    };
    let timetable = Timetable::new(&dag.spec).map_err(unreadable)?;
    let progress = state.runs.progress().await?;
    let last = progress.iter().find(|progress| progress.dag_id == dag_id);
    let last = last.map(|progress| NextRun {
        interval: progress.last_interval,
        run_after: progress.last_run_after,
    });
    let size = |count| usize::try_from(count).unwrap_or(usize::MAX);
    let (bounds, now) = (Restriction::from(&dag.spec), state.clock.now());
    let runs: Vec<NextRun> = match timetable.next_runs(last.map(|last| last.interval), bounds, now)
    {
        _ if dag.is_stale => Vec::new(),
        Answer::Known(runs) => runs
            .skip(size(page.offset))
            .take(size(page.limit))
            .collect(),
        Answer::Ask(schedule) => {
            let until = page.offset.saturating_add(page.limit);
            if until > MOST_ASKED {
                return Err(ApiError::Invalid(format!(
                    "the timetable of DAG `{dag_id}` is its bundle's own code, which is asked for the next {MOST_ASKED} runs at most; ask for fewer"
                )));
            }
            let mut runs = asked(&state, &dag, schedule, last, until).await?;
            runs.drain(..size(page.offset).min(runs.len()));
            runs
        }
    };
    Ok(Json(ComingRuns {
        dag_id: dag_id.to_string(),
        next_runs: runs.into_iter().map(ComingRun::from).collect(),
    }))
}

/// What a bundle's own timetable says, run after run.
async fn asked(
    state: &ApiState,
    dag: &StoredDag,
    schedule: &CustomSchedule,
    mut last: Option<NextRun>,
    count: u32,
) -> Result<Vec<NextRun>, ApiError> {
    let code = TimetableCode {
        team: dag.team.clone(),
        bundle: dag.bundle.clone(),
        hash: dag.hash,
        schedule: schedule.clone(),
    };
    let (bounds, now) = (Restriction::from(&dag.spec), state.clock.now());
    let mut runs = Vec::new();
    for _ in 0..count {
        let next = state.timetables.next_run(&code, last, bounds, now).await;
        let next = next.map_err(|failure| ApiError::Timetable {
            dag_id: dag.dag_id.clone(),
            failure,
        })?;
        let Some(next) = next else { break };
        last = Some(next);
        runs.push(next);
    }
    Ok(runs)
}
