//! One small DAG, or a few, for each feature. Each module begins with what it shows.

mod assets;
mod branch;
mod callbacks;
mod deadline;
mod deferral;
mod depends_on_past;
mod fail_fast;
mod http_login;
mod latest_only;
mod mapped_group;
mod mapping;
mod params;
mod pools_priority;
mod retries;
mod sensor;
mod sensor_deferred;
mod setup_teardown;
mod short_circuit;
mod timetable_custom;
mod wait_for_time;
mod watch_files;
mod watch_http;

airlock_sdk::bundle!(
    assets::produce,
    assets::consume,
    assets::either_or_daily,
    branch::branch,
    callbacks::callbacks,
    callbacks::callbacks_of_success,
    deadline::deadline_example,
    deferral::deferral,
    depends_on_past::balance,
    fail_fast::fail_fast,
    http_login::http_login,
    latest_only::latest_only_example,
    mapped_group::mapped_group,
    mapping::mapping,
    mapping::mapping_more,
    params::params,
    pools_priority::pools_priority,
    retries::retries,
    sensor::sensor,
    sensor_deferred::sensor_deferred,
    setup_teardown::setup_teardown,
    short_circuit::short_circuit,
    timetable_custom::month_end,
    timetable_custom::office_hours,
    wait_for_time::wait_for_time,
    watch_files::watch_files,
    watch_http::watch_http,
);
