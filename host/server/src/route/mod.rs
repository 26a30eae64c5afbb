//! The API's addresses, one module per subject. Each holds its wire types and its handlers; no type of the
//! model is sent as it is.

pub(crate) mod asset_events;
pub(crate) mod assets;
pub(crate) mod audit;
pub(crate) mod backfills;
pub(crate) mod bundles;
pub(crate) mod callbacks;
pub(crate) mod connections;
pub(crate) mod dags;
pub(crate) mod deadlines;
pub(crate) mod explanation;
pub(crate) mod grants;
pub(crate) mod import_errors;
pub(crate) mod logs;
pub(crate) mod monitor;
pub(crate) mod next_runs;
pub(crate) mod ownership;
pub(crate) mod pools;
pub(crate) mod queued_events;
pub(crate) mod repairs;
pub(crate) mod runs;
pub(crate) mod scope;
pub(crate) mod shares;
pub(crate) mod task_instances;
pub(crate) mod teams;
pub(crate) mod triggers;
pub(crate) mod variables;
pub(crate) mod waits;
pub(crate) mod xcoms;

use airlock_model::time::Timestamp;

use crate::problem::ApiError;

/// A time in a request, as `2012-01-15` or `2012-01-15T06:00:00Z`.
pub(crate) fn time(text: Option<&str>) -> Result<Option<Timestamp>, ApiError> {
    text.map(str::parse).transpose().map_err(ApiError::invalid)
}

/// Times cross as Airflow writes them.
pub(crate) fn text(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.to_string())
}

/// Seconds from one time to another.
pub(crate) fn seconds(from: Option<Timestamp>, to: Option<Timestamp>) -> Option<f64> {
    Some(to?.since(from?).as_secs_f64())
}

/// Declares the query of a list: its filters, and which part of it is asked for. A parameter that is not
/// declared is refused.
macro_rules! list_query {
    ($(#[$meta:meta])* $name:ident { $( $(#[$field_meta:meta])* $field:ident: $type:ty, )* }) => {
        $(#[$meta])*
        #[derive(Debug, Default, serde::Deserialize, utoipa::IntoParams)]
        #[serde(default, deny_unknown_fields)]
        #[into_params(parameter_in = Query)]
        pub(crate) struct $name {
            $( $(#[$field_meta])* $field: $type, )*
            /// How many entries at most; 50 where nothing is said, and never more than 1,000.
            limit: Option<u32>,
            /// How many entries to leave out.
            offset: Option<u32>,
        }

        impl $name {
            fn page(&self) -> $crate::extract::Part {
                $crate::extract::Part::new(self.limit, self.offset)
            }
        }
    };
}
pub(crate) use list_query;
