//! What crosses the border, generated from the published WIT: the host has no other description of it.

/// What a guest may import.
mod imports {
    wasmtime::component::bindgen!({
        path: ["../../wit/capability", "../../wit/bundle"],
        world: "airlock:bundle/capabilities",
        imports: {
            "airlock:capability/xcom.pull": async,
            "airlock:capability/variables": async,
            "airlock:capability/connections": async,
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
        with: { "airlock:capability": super::imports::airlock::capability },
    });
}

/// A guest that has timetables.
mod timetables {
    wasmtime::component::bindgen!({
        path: ["../../wit/capability", "../../wit/bundle"],
        world: "airlock:bundle/timetable-bundle",
        exports: { default: async },
        with: { "airlock:capability": super::imports::airlock::capability },
    });
}

pub(crate) use dags::{
    DagBundlePre, airlock::bundle::definitions, airlock::bundle::units as parse_units,
};
pub(crate) use imports::airlock::capability::{
    connections, directories, errors, log, variables, xcom,
};
pub(crate) use tasks::{
    TaskBundlePre, airlock::bundle::units as task_units,
    exports::airlock::bundle::tasks as task_phase,
};
pub(crate) use timetables::{
    TimetableBundlePre, airlock::bundle::units as timetable_units,
    exports::airlock::bundle::timetables as timetable_phase,
};
