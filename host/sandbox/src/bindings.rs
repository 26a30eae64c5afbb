//! What crosses the border, generated from the published WIT: the host has no other description of it.

/// What a guest may import.
mod imports {
    wasmtime::component::bindgen!({
        path: ["../../wit/capability", "../../wit/bundle"],
        world: "airlock:bundle/effects",
        imports: {
            "airlock:capability/xcom.pull": async,
            "airlock:capability/variables": async,
            "airlock:capability/connections": async,
            "airlock:capability/sql.[method]rows.columns": trappable,
            "airlock:capability/sql": async | trappable,
        },
        with: {
            "airlock:capability/sql.database": crate::adapter::sql::Database,
            "airlock:capability/sql.transaction": crate::adapter::sql::Transaction,
            "airlock:capability/sql.rows": crate::adapter::sql::Rows,
        },
    });
}

/// A guest that has DAGs.
mod dags {
    wasmtime::component::bindgen!({
        path: ["../../wit/capability", "../../wit/bundle"],
        world: "airlock:bundle/dag-bundle",
        exports: { default: async },
        with: { "airlock:capability": super::imports::airlock::capability },
    });
}

/// A guest that has tasks.
mod tasks {
    wasmtime::component::bindgen!({
        path: ["../../wit/capability", "../../wit/bundle"],
        world: "airlock:bundle/task-bundle",
        exports: { default: async },
        with: {
            "airlock:capability": super::imports::airlock::capability,
            "airlock:bundle/units": super::dags::airlock::bundle::units,
            "airlock:bundle/waits": super::dags::airlock::bundle::waits,
        },
    });
}

/// A guest that has timetables.
mod timetables {
    wasmtime::component::bindgen!({
        path: ["../../wit/capability", "../../wit/bundle"],
        world: "airlock:bundle/timetable-bundle",
        exports: { default: async },
        with: {
            "airlock:capability": super::imports::airlock::capability,
            "airlock:bundle/units": super::dags::airlock::bundle::units,
        },
    });
}

/// A guest that has triggers.
mod triggers {
    wasmtime::component::bindgen!({
        path: ["../../wit/capability", "../../wit/bundle"],
        world: "airlock:bundle/trigger-bundle",
        exports: { default: async },
        with: {
            "airlock:capability": super::imports::airlock::capability,
            "airlock:bundle/units": super::dags::airlock::bundle::units,
            "airlock:bundle/waits": super::dags::airlock::bundle::waits,
        },
    });
}

/// A guest that has callbacks. They fail as tasks do, so that the interface of tasks comes along.
mod callbacks {
    wasmtime::component::bindgen!({
        path: ["../../wit/capability", "../../wit/bundle"],
        world: "airlock:bundle/callback-bundle",
        exports: { default: async },
        with: {
            "airlock:capability": super::imports::airlock::capability,
            "airlock:bundle/units": super::dags::airlock::bundle::units,
            "airlock:bundle/waits": super::dags::airlock::bundle::waits,
            "airlock:bundle/definitions": super::dags::airlock::bundle::definitions,
        },
    });
}

pub(crate) use callbacks::{
    CallbackBundlePre, airlock::bundle::tasks::Failure as CallbackFailure,
    exports::airlock::bundle::callbacks as callback_phase,
};
pub(crate) use dags::{
    DagBundlePre,
    airlock::bundle::{definitions, units, waits},
};
pub(crate) use imports::airlock::capability::{
    connections, directories, errors, log, sql, variables, xcom,
};
pub(crate) use tasks::{TaskBundlePre, exports::airlock::bundle::tasks as task_phase};
pub(crate) use timetables::{
    TimetableBundlePre, exports::airlock::bundle::timetables as timetable_phase,
};
pub(crate) use triggers::{TriggerBundlePre, exports::airlock::bundle::triggers as trigger_phase};
