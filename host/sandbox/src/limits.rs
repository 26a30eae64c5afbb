//! How much a team and each of its instances may use, and what is said when it is not enough.
//!
//! A limit that ends an instance is a [`Reached`]: its kind for the machine, and one sentence for people
//! with a stable code, the value, and the option that raises it. Options are named as they stand in
//! `[team.pool]` of the configuration.

use std::{fmt, time::Duration};

use airlock_model::outcome::Limit;

use crate::errand::Errand;

/// A team's pool and the limits of its instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamLimits {
    /// Instances at once, over all phases. Each reserves about 8 GiB of address space, and no memory.
    pub instances: u32,
    /// Tries that may wait for an instance; what is dispatched beyond fails.
    pub queue: usize,
    /// Linear memory of one instance, in bytes.
    pub memory_per_instance: usize,
    /// Linear memory of all instances together, in bytes.
    pub memory: usize,
    /// Worker threads: the team's share of the machine when others want it too.
    pub threads: usize,
    /// CPU time of one parse.
    pub parse_cpu_time: Duration,
    /// Wall time of one parse.
    pub parse_wall_time: Duration,
    /// CPU time of one question to a timetable.
    pub timetable_cpu_time: Duration,
    /// Wall time of one question to a timetable.
    pub timetable_wall_time: Duration,
    /// CPU time of one try.
    pub task_cpu_time: Duration,
    /// Wall time of one try, also where the task has no `execution_timeout`.
    pub task_wall_time: Duration,
    /// CPU time of one poll of a trigger.
    pub trigger_cpu_time: Duration,
    /// Wall time of one poll of a trigger.
    pub trigger_wall_time: Duration,
    /// What a wait may keep, in bytes of text: a trigger's state with what it listens to, or a deferral with all
    /// that it says.
    pub trigger_state_bytes: usize,
    /// CPU time of one callback.
    pub callback_cpu_time: Duration,
    /// Wall time of one callback.
    pub callback_wall_time: Duration,
    /// Table elements of one instance, over all its tables.
    pub table_elements: usize,
    /// What one call of the guest into the host, or a try's answer, may hand over, in bytes of the host.
    pub host_call_bytes: usize,
    /// Log of one call, in bytes of text; what is beyond is dropped, and the log says so.
    pub log_bytes: u64,
    /// XComs of one try, in bytes of keys and values together.
    pub xcom_bytes: usize,
    /// A component file, in bytes.
    pub component_bytes: usize,
    /// What one parse may answer, in bytes of the host (a task takes about 500).
    pub definition_bytes: usize,
    /// Tasks that one parse may answer, over all DAGs.
    pub definition_tasks: usize,
}

impl Default for TeamLimits {
    fn default() -> Self {
        Self {
            instances: 32,
            queue: 100_000,
            memory_per_instance: 64 << 20,
            memory: 1 << 30,
            threads: 2,
            parse_cpu_time: Duration::from_secs(10),
            parse_wall_time: Duration::from_secs(30),
            timetable_cpu_time: Duration::from_secs(1),
            timetable_wall_time: Duration::from_secs(5),
            task_cpu_time: Duration::from_secs(60),
            task_wall_time: Duration::from_secs(3600),
            trigger_cpu_time: Duration::from_secs(1),
            trigger_wall_time: Duration::from_secs(5),
            trigger_state_bytes: 64 << 10,
            callback_cpu_time: Duration::from_secs(10),
            callback_wall_time: Duration::from_secs(30),
            table_elements: 20_000,
            host_call_bytes: 8 << 20,
            log_bytes: 10 << 20,
            xcom_bytes: 1 << 20,
            component_bytes: 32 << 20,
            definition_bytes: 64 << 20,
            definition_tasks: 100_000,
        }
    }
}

impl TeamLimits {
    /// CPU time of one call of this kind, and the option that sets it.
    pub(crate) const fn cpu_time(&self, errand: Errand) -> (Duration, &'static str) {
        match errand {
            Errand::Parse => (self.parse_cpu_time, "parse_cpu_time"),
            Errand::Timetable => (self.timetable_cpu_time, "timetable_cpu_time"),
            Errand::Task => (self.task_cpu_time, "task_cpu_time"),
            Errand::Trigger => (self.trigger_cpu_time, "trigger_cpu_time"),
            Errand::Callback => (self.callback_cpu_time, "callback_cpu_time"),
        }
    }

    /// Wall time of one call of this kind, and the option that sets it.
    pub(crate) const fn wall_time(&self, errand: Errand) -> (Duration, &'static str) {
        match errand {
            Errand::Parse => (self.parse_wall_time, "parse_wall_time"),
            Errand::Timetable => (self.timetable_wall_time, "timetable_wall_time"),
            Errand::Task => (self.task_wall_time, "task_wall_time"),
            Errand::Trigger => (self.trigger_wall_time, "trigger_wall_time"),
            Errand::Callback => (self.callback_wall_time, "callback_wall_time"),
        }
    }

    /// Bytes that cross the border at once in a call of this kind, and the option that sets it.
    pub(crate) const fn border(&self, errand: Errand) -> (usize, &'static str) {
        match errand {
            Errand::Parse => (self.definition_bytes, "definition_bytes"),
            _ => (self.host_call_bytes, "host_call_bytes"),
        }
    }
}

/// A limit that ended an instance.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Reached {
    /// Which.
    pub(crate) limit: Limit,
    /// Code, value, and the option that raises it.
    pub(crate) message: String,
}

impl Reached {
    pub(crate) const fn new(limit: Limit, message: String) -> Self {
        Self { limit, message }
    }

    pub(crate) fn cpu_time((time, option): (Duration, &str)) -> Self {
        let message = format!(
            "AL-0501: it used its {} of CPU time; make it do less, or raise `{option}` of the team's pool",
            seconds(time)
        );
        Self::new(Limit::CpuTime, message)
    }

    pub(crate) fn wall_time((time, option): (Duration, &str)) -> Self {
        let message = format!(
            "AL-0502: it did not end within {}; make it wait less, or raise `{option}` of the team's pool",
            seconds(time)
        );
        Self::new(Limit::WallTime, message)
    }

    pub(crate) fn memory(most: usize) -> Self {
        let message = format!(
            "AL-0503: it wanted more than {} of memory; make it hold less at once, or raise `memory_per_instance` of the team's pool",
            bytes(most)
        );
        Self::new(Limit::Memory, message)
    }

    pub(crate) fn team_memory(most: usize) -> Self {
        let message = format!(
            "AL-0504: the team's instances together wanted more than {} of memory; run fewer at once, or raise `memory` of the team's pool",
            bytes(most)
        );
        Self::new(Limit::TeamMemory, message)
    }

    pub(crate) fn table_elements(most: usize) -> Self {
        let message = format!(
            "AL-0505: it wanted more than {most} table elements; raise `table_elements` of the team's pool"
        );
        Self::new(Limit::TableElements, message)
    }

    pub(crate) fn stack() -> Self {
        let message = "AL-0506: its calls nest deeper than the stack of 3 MiB allows, which usually is a recursion without end; recurse less".to_owned();
        Self::new(Limit::Stack, message)
    }

    pub(crate) fn border((most, option): (usize, &str)) -> Self {
        let message = format!(
            "AL-0507: it handed over more than {} at once; hand over less, or raise `{option}` of the team's pool",
            bytes(most)
        );
        Self::new(Limit::HostCall, message)
    }

    pub(crate) fn xcom(most: usize) -> Self {
        let message = format!(
            "AL-0508: its XComs hold more than {}; keep large data in a file and pass its name, or raise `xcom_bytes` of the team's pool",
            bytes(most)
        );
        Self::new(Limit::Xcom, message)
    }

    pub(crate) fn outlet_events(bytes_at_most: usize, events: usize) -> Self {
        let message = format!(
            "AL-0508: it told more than {events} asset events, or more than {} about them; keep large data in a file and tell its name, or raise `xcom_bytes` of the team's pool",
            bytes(bytes_at_most)
        );
        Self::new(Limit::Xcom, message)
    }

    pub(crate) fn wait(most: usize) -> Self {
        let message = format!(
            "AL-0555: its wait keeps more than {}; keep large data in a file and its name in the state, or raise `trigger_state_bytes` of the team's pool",
            bytes(most)
        );
        Self::new(Limit::HostCall, message)
    }

    pub(crate) fn listening(most: usize) -> Self {
        let message = format!(
            "AL-0556: it listens to more than {most} events at once; listen to fewer, or to a pattern"
        );
        Self::new(Limit::HostCall, message)
    }

    pub(crate) fn fired(most: usize) -> Self {
        let message = format!(
            "AL-0557: what it fired with has more than {}; keep large data in a file and tell its name, or raise `xcom_bytes` of the team's pool",
            bytes(most)
        );
        Self::new(Limit::Xcom, message)
    }

    pub(crate) fn sightings(bytes_at_most: usize, events: usize) -> Self {
        let message = format!(
            "AL-0558: one poll told more than {events} changes, or more than {} about them; tell the rest at the next poll, or raise `xcom_bytes` of the team's pool",
            bytes(bytes_at_most)
        );
        Self::new(Limit::Xcom, message)
    }

    pub(crate) fn queue(most: usize) -> Self {
        let message = format!(
            "AL-0509: {most} tries already wait for an instance; raise `queue` or `instances` of the team's pool"
        );
        Self::new(Limit::Instances, message)
    }

    pub(crate) fn definition_tasks(most: usize, found: usize) -> Self {
        let message = format!(
            "AL-0510: the bundle defines {found} tasks, more than {most}; split the bundle, or raise `definition_tasks` of the team's pool"
        );
        Self::new(Limit::Definition, message)
    }
}

fn seconds(time: Duration) -> impl fmt::Display {
    format!("{} s", time.as_secs_f64())
}

/// A number of bytes in the largest unit that leaves no remainder.
pub(crate) fn bytes(count: usize) -> String {
    match count {
        n if n > 0 && n.is_multiple_of(1 << 30) => format!("{} GiB", n >> 30),
        n if n > 0 && n.is_multiple_of(1 << 20) => format!("{} MiB", n >> 20),
        n if n > 0 && n.is_multiple_of(1 << 10) => format!("{} KiB", n >> 10),
        n => format!("{n} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reached_limit_names_its_code_its_value_and_its_option() {
        let text = Reached::memory(64 << 20).to_string();
        for part in ["AL-0503", "64 MiB", "`memory_per_instance`"] {
            assert!(text.contains(part), "{text}");
        }
        let limits = TeamLimits::default();
        let text = Reached::cpu_time(limits.cpu_time(Errand::Task)).to_string();
        assert!(
            text.contains("60 s") && text.contains("`task_cpu_time`"),
            "{text}"
        );
        assert_eq!(bytes(1500), "1500 bytes");
    }
}
