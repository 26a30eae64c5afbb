//! `/metrics`: figures of the scheduler, the store and the instance pools, per team.
//!
//! Nothing is counted twice: the figures are asked for at each scrape from those who keep them. Only the
//! requests are counted here. No label holds what authors write, so that the number of series depends on the
//! configuration, with one exception: triggers that fail are named, and their number is bounded.

mod waiting;

use std::{collections::HashMap, time::Duration};

use airlock_model::{
    callback::CallbackState,
    id::{DagId, TeamName},
    port::{DagFilter, Page, SchedulerHealth, TeamLoad, TriggerRow},
    state::RunState,
};
use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder, text},
    metrics::{
        MetricType,
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::ConstGauge,
        histogram::Histogram,
    },
    registry::{Registry, Unit},
};

use crate::{
    problem::ApiError,
    state::{ApiState, PoolFigures},
};

/// Upper bounds of the classes of request durations, in seconds.
const DURATIONS: [f64; 8] = [0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    /// The route, with names in place of ids.
    path: String,
    status: u16,
}

/// Requests that were answered.
#[derive(Clone)]
pub struct RequestFigures {
    count: Family<RequestLabels, Counter>,
    duration: Histogram,
}

impl Default for RequestFigures {
    fn default() -> Self {
        Self {
            count: Family::default(),
            duration: Histogram::new(DURATIONS),
        }
    }
}

impl std::fmt::Debug for RequestFigures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestFigures").finish_non_exhaustive()
    }
}

/// Counts a request once it is answered.
pub(crate) async fn count(
    State(figures): State<RequestFigures>,
    request: Request,
    next: Next,
) -> Response {
    let began = tokio::time::Instant::now();
    let path = request.extensions().get::<MatchedPath>();
    let path = path.map_or_else(|| "unknown".to_owned(), |path| path.as_str().to_owned());
    // A method is the client's text; only those that routes have become a label.
    let method = match request.method().as_str() {
        known @ ("GET" | "POST" | "PATCH" | "DELETE") => known.to_owned(),
        _ => "other".to_owned(),
    };
    let response = next.run(request).await;
    let labels = RequestLabels {
        method,
        path,
        status: response.status().as_u16(),
    };
    figures.count.get_or_create(&labels).inc();
    figures.duration.observe(began.elapsed().as_secs_f64());
    response
}

/// What a scrape shows.
#[derive(Debug)]
struct Snapshot {
    health: SchedulerHealth,
    silence: Duration,
    /// DAGs per team.
    dags: HashMap<TeamName, u64>,
    /// Runs per team and state.
    runs: HashMap<(TeamName, RunState), u64>,
    /// Import errors per team.
    import_errors: HashMap<TeamName, u64>,
    /// Callbacks that are not done, per team and state.
    callbacks: HashMap<(TeamName, CallbackState), u64>,
    /// Triggers whose polls fail.
    failing: Vec<TriggerRow>,
    pools: Vec<PoolFigures>,
    teams: Vec<TeamName>,
}

impl Snapshot {
    async fn of(state: &ApiState) -> Result<Self, ApiError> {
        let health = state.control.health();
        let filter = DagFilter {
            include_stale: true,
            ..DagFilter::default()
        };
        let mut owners: HashMap<DagId, TeamName> = HashMap::new();
        let mut dags: HashMap<TeamName, u64> = HashMap::new();
        for dag in state.dags.dags(&filter, Page::ALL).await?.items {
            if !dag.is_stale {
                *dags.entry(dag.team.clone()).or_default() += 1;
            }
            owners.insert(dag.dag_id, dag.team);
        }
        let mut runs = HashMap::new();
        for (dag_id, run_state, count) in state.runs.run_counts().await? {
            if let Some(team) = owners.get(&dag_id) {
                *runs.entry((team.clone(), run_state)).or_default() += count;
            }
        }
        let mut import_errors = HashMap::new();
        for error in state.dags.import_errors(None).await? {
            *import_errors.entry(error.team).or_default() += 1;
        }
        Ok(Self {
            silence: state.clock.now().since(health.last_heartbeat),
            health,
            dags,
            runs,
            import_errors,
            callbacks: waiting::callbacks(state).await?,
            failing: waiting::failing(state).await?,
            pools: state.instances.figures(),
            teams: state.teams.iter().map(|team| team.name.clone()).collect(),
        })
    }
}

/// Writes series of one name, each with its labels.
fn series<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help, kind): (&str, &str, MetricType),
    values: impl IntoIterator<Item = (Vec<(&'static str, &'a str)>, u64)>,
) -> Result<(), std::fmt::Error> {
    let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
    for (labels, value) in values {
        let labels: Vec<(&str, &str)> = labels;
        let family = metric.encode_family(&labels)?;
        write(kind, value, family)?;
    }
    Ok(())
}

/// Writes the one series of a name.
fn single(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help, kind): (&str, &str, MetricType),
    value: u64,
) -> Result<(), std::fmt::Error> {
    let metric = encoder.encode_descriptor(name, help, None, kind)?;
    write(kind, value, metric)
}

fn write(kind: MetricType, value: u64, metric: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
    match kind {
        MetricType::Counter => ConstCounter::new(value).encode(metric),
        _ => ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(metric),
    }
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        use MetricType::{Counter as Count, Gauge};
        let encoder = &mut encoder;
        let health = &self.health;
        let silence = encoder.encode_descriptor(
            "scheduler_heartbeat_age",
            "Since the scheduler's loop last came round",
            Some(&Unit::Seconds),
            Gauge,
        )?;
        ConstGauge::new(self.silence.as_secs_f64()).encode(silence)?;
        single(
            encoder,
            (
                "store_up",
                "Whether the last write to the store succeeded",
                Gauge,
            ),
            u64::from(health.store_ok),
        )?;
        single(
            encoder,
            ("active_runs", "Runs that have not ended", Gauge),
            health.active_runs,
        )?;
        single(
            encoder,
            ("commits", "Batches written to the store", Count),
            health.commits,
        )?;

        let teams = |value: fn(&TeamLoad) -> u64| {
            health
                .teams
                .iter()
                .map(move |load| (vec![("team", load.team.as_str())], value(load)))
        };
        series(
            encoder,
            ("tries_running", "Tries on their way or running", Gauge),
            teams(|load| load.running),
        )?;
        series(
            encoder,
            (
                "tasks_scheduled",
                "Task instances that wait for a slot",
                Gauge,
            ),
            teams(|load| load.scheduled),
        )?;
        series(
            encoder,
            (
                "tasks_deferred",
                "Task instances that wait for a trigger",
                Gauge,
            ),
            teams(|load| load.deferred),
        )?;
        let tries = health.teams.iter().flat_map(|load| {
            let team = load.team.as_str();
            [
                ("success", load.tally.succeeded),
                ("failed", load.tally.failed),
                ("fenced", load.tally.fenced),
            ]
            .map(|(outcome, count)| (vec![("team", team), ("outcome", outcome)], count))
        });
        series(
            encoder,
            (
                "tries",
                "Tries that ended; fenced: of a superseded claim, and refused",
                Count,
            ),
            tries,
        )?;
        self.waiting(encoder)?;

        let per_team =
            |counts: &'_ HashMap<TeamName, u64>| -> Vec<(Vec<(&'static str, &str)>, u64)> {
                self.teams
                    .iter()
                    .map(|team| {
                        (
                            vec![("team", team.as_str())],
                            counts.get(team).copied().unwrap_or(0),
                        )
                    })
                    .collect()
            };
        series(
            encoder,
            ("dags", "DAGs that are live", Gauge),
            per_team(&self.dags),
        )?;
        series(
            encoder,
            (
                "import_errors",
                "Bundles and DAGs that could not be imported",
                Gauge,
            ),
            per_team(&self.import_errors),
        )?;
        let runs = self.teams.iter().flat_map(|team| {
            RunState::ALL.iter().map(|state| {
                let count = self.runs.get(&(team.clone(), *state)).copied().unwrap_or(0);
                (
                    vec![("team", team.as_str()), ("state", state.as_str())],
                    count,
                )
            })
        });
        series(encoder, ("dag_runs", "Runs by state", Gauge), runs)?;

        let pools = |value: fn(&PoolFigures) -> u64| {
            self.pools
                .iter()
                .map(move |pool| (vec![("team", pool.team.as_str())], value(pool)))
        };
        series(
            encoder,
            ("instances", "Instances of the team's pool", Gauge),
            pools(|pool| pool.instances),
        )?;
        series(
            encoder,
            ("instances_limit", "Instances that the pool may have", Gauge),
            pools(|pool| pool.instances_limit),
        )?;
        series(
            encoder,
            (
                "instances_waiting",
                "Calls that wait for an instance",
                Gauge,
            ),
            pools(|pool| pool.waiting),
        )?;
        series(
            encoder,
            (
                "instance_memory_bytes",
                "Linear memory of the team's instances",
                Gauge,
            ),
            pools(|pool| pool.memory),
        )?;
        series(
            encoder,
            (
                "instance_memory_limit_bytes",
                "Linear memory that they may have",
                Gauge,
            ),
            pools(|pool| pool.memory_limit),
        )?;
        series(
            encoder,
            (
                "instance_cpu_microseconds",
                "CPU time of the team's instances",
                Count,
            ),
            pools(|pool| pool.cpu_micros),
        )?;
        let denials = self.pools.iter().flat_map(|pool| {
            let labels =
                |capability| vec![("team", pool.team.as_str()), ("capability", capability)];
            let counted = pool.denials.iter();
            counted.map(move |(capability, count)| (labels(*capability), *count))
        });
        series(
            encoder,
            (
                "denials",
                "Calls of a bundle that its grant did not allow",
                Count,
            ),
            denials,
        )?;
        let ends = self.pools.iter().flat_map(|pool| {
            pool.ends
                .iter()
                .map(|(end, count)| (vec![("team", pool.team.as_str()), ("end", *end)], *count))
        });
        series(
            encoder,
            ("calls", "Calls into instances by how they ended", Count),
            ends,
        )
    }
}

/// All figures, as OpenMetrics text.
pub(crate) async fn scrape(state: &ApiState) -> Result<String, ApiError> {
    let mut registry = Registry::with_prefix("airlock");
    registry.register_collector(Box::new(Snapshot::of(state).await?));
    let requests = &state.requests;
    registry.register(
        "http_requests",
        "Requests by route and status",
        requests.count.clone(),
    );
    registry.register_with_unit(
        "http_request_duration",
        "How long requests took",
        Unit::Seconds,
        requests.duration.clone(),
    );
    let mut out = String::new();
    text::encode(&mut out, &registry)
        .map_err(|_| ApiError::Internal("the figures could not be written".to_owned()))?;
    Ok(out)
}
