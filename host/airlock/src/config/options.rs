//! The options that stand once in the file: one table, from which the structs, their defaults, the checks,
//! `airlock config list` and the reference in `docs/configuration.md` all come.

use std::{net::SocketAddr, time::Duration};

use airlock_confine::Required;
use airlock_sandbox::{CompileLimits, TeamLimits};
use airlock_scheduler::{CallbackOptions, TriggerOptions};

use super::{
    section::section,
    value::{ByteSize, DatabaseUrl, LogFilter, choice},
};

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

const fn days(count: u64) -> Duration {
    seconds(count * 86_400)
}

section! {
    /// The API.
    Server in "[server]" {
        /// Where the API listens. Keep it on loopback, or put a proxy with TLS before it: the token that
        /// opens the API crosses this connection.
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 8080));
        /// Host names under which the API may be reached, besides `localhost` and addresses. A request for another
        /// host is refused, so that no web page can reach the API through a name of its own.
        allowed_hosts: Vec<String> = Vec::new();
        /// Whether /metrics answers without the token. The figures name teams, pools and DAG counts.
        public_metrics: bool = false;
        /// The largest request body.
        body_limit: ByteSize = ByteSize::mib(2), in ByteSize::kib(16)..=ByteSize::mib(64);
        /// How long a request may take, other than one that follows a log.
        request_timeout: Duration = seconds(30), in seconds(1)..=seconds(600);
    }
}

section! {
    /// The database.
    Database in "[database]" {
        /// `sqlite:PATH` or `postgres://USER:PASSWORD@HOST/DATABASE`. When unset, SQLite in the file
        /// `airlock.db` of the home folder. Better than a password here is one in the environment variable
        /// AIRLOCK__DATABASE__URL.
        url: Option<DatabaseUrl> = None;
    }
}

section! {
    /// The scheduler.
    Scheduler in "[scheduler]" {
        /// Tasks that run at once, over all teams.
        parallelism: u32 = 32, in 1..=100_000;
        /// Runs of one DAG at once, where the DAG does not say.
        max_active_runs_per_dag: u32 = 16, in 1..=100_000;
        /// Tasks at once in one run, where the DAG does not say.
        max_active_tasks_per_dag: u32 = 16, in 1..=100_000;
        /// The most elements of a list that a task may return for others to be mapped over; a longer one fails
        /// the task. It bounds each list, not their product.
        max_map_length: u32 = 1024, in 1..=100_000;
        /// XComs with more bytes than this are kept in files and not in the database.
        xcom_spill_bytes: ByteSize = ByteSize::kib(64), in ByteSize::kib(1)..=ByteSize::mib(1);
        /// How often tries are looked for whose host stopped answering.
        zombie_detection_interval: Duration = seconds(30), in seconds(1)..=seconds(3600);
        /// How often a scheduler renews its lease on what it runs.
        heartbeat: Duration = seconds(10), in seconds(1)..=seconds(3600);
        /// How long a lease holds without being renewed; then another scheduler takes over. At least two
        /// heartbeats.
        lease: Duration = seconds(30), in seconds(2)..=seconds(7200);
        /// How long running tasks may finish when the server is asked to stop. Then, or when it is asked a second
        /// time, they are left, and run again at the next start.
        drain_timeout: Duration = seconds(30), in seconds(0)..=seconds(86_400);
    }
}

section! {
    /// Triggers of bundles' own, for deferred tasks and watchers, and files that somebody waits for. What one poll may
    /// use is among the `[limits]`.
    Triggers in "[triggers]" {
        /// Polls at once, over all teams.
        parallelism: u32 = 64, in 1..=100_000;
        /// Polls of one team at once.
        per_team: u32 = 16, in 1..=100_000;
        /// How long a trigger that is being polled stays claimed without a sign of life of its host.
        lease: Duration = seconds(10), in seconds(1)..=seconds(3600);
        /// The pause after a poll that failed and may go better; it doubles with each further one in a row.
        retry_delay: Duration = seconds(1), in millis(1)..=seconds(3600);
        /// The pause between two looks at files that somebody waits for.
        file_interval: Duration = seconds(1), in millis(100)..=seconds(3600);
        /// How long the keys of what watchers have seen are remembered; of changes with one key, one counts.
        remember: Duration = days(90), in seconds(3600)..=days(3650);
    }
}

impl Triggers {
    /// As the scheduler takes them.
    pub(crate) const fn options(&self) -> TriggerOptions {
        TriggerOptions {
            parallelism: self.parallelism,
            per_team: self.per_team,
            lease: self.lease,
            retry_delay: self.retry_delay,
            file_interval: self.file_interval,
            remember: self.remember,
        }
    }
}

section! {
    /// Callbacks of tasks, runs and deadlines. What one try of a callback may use is among the `[limits]`.
    Callbacks in "[callbacks]" {
        /// Callbacks that run at once, over all teams.
        parallelism: u32 = 32, in 1..=100_000;
        /// Callbacks of one team that run at once.
        per_team: u32 = 8, in 1..=100_000;
        /// How often a callback is tried, the first time included. Then it is kept as failed, for somebody to retry.
        tries: u32 = 4, in 1..=100;
        /// The pause before the second try; it doubles with each further one.
        retry_delay: Duration = seconds(5), in millis(1)..=days(1);
        /// The longest pause between two tries; no shorter than `retry_delay`.
        max_retry_delay: Duration = seconds(300), in millis(1)..=days(7);
        /// How long a callback that runs stays claimed without a sign of life of its host.
        lease: Duration = seconds(10), in seconds(1)..=seconds(3600);
    }
}

impl Callbacks {
    /// As the scheduler takes them.
    pub(crate) const fn options(&self) -> CallbackOptions {
        CallbackOptions {
            parallelism: self.parallelism,
            per_team: self.per_team,
            tries: self.tries,
            retry_delay: self.retry_delay,
            max_retry_delay: self.max_retry_delay,
            lease: self.lease,
        }
    }
}

choice! {
    /// How far the host has to have restricted itself.
    RequireHardening {
        /// As far as the kernel allows.
        None = "none",
        /// In each of the three ways, if only in part.
        Partial = "partial",
        /// In each of the three ways as a whole.
        Full = "full",
    }
}

section! {
    /// What the host takes away from itself at its start, against whoever breaks out of the sandbox: new privileges,
    /// files (Landlock), system calls. The files that are left are those below the home folder, the granted
    /// directories, the folders of bundles and the folder of the database, and what the system's libraries read.
    Security in "[security]" {
        /// Whether the host restricts itself, as far as the kernel allows. `false` is for finding out whether a
        /// problem comes from it; the host warns as long as it is off. The compiler's child goes with it.
        hardening: bool = true;
        /// How far it must have come, or the host does not start: `none` starts in any case and warns of what is
        /// missing, `partial` wants all three, if only as far as an older kernel knows them, `full` wants all of
        /// each (Linux 6.12 or later), and no granted directory that is missing at the start without a root around it.
        require_hardening: RequireHardening = RequireHardening::None;
        /// Folders that are left to the host besides, to read and write. A directory or a bundle's folder that is
        /// made or replaced while the host works has to lie below one; who may do what there remains with the grants.
        roots: Vec<std::path::PathBuf> = Vec::new();
    }
}

section! {
    /// Where connections and variables are looked up. A team's own come first, whatever the order; what belongs to all
    /// teams counts where a team has none of the name.
    Secrets in "[secrets]" {
        /// A folder with a file for each: `TEAM/connections/ID` (Airflow's JSON, or its URI) and `TEAM/variables/KEY`, those
        /// of all teams below `_global`; a `/` in an id is `%2F` in a file's name, and a `.` in front `%2E`. A file is read when
        /// it is asked for, has at most 1 MiB, and is refused where others may write it or its folder.
        files: Option<std::path::PathBuf> = None;
        /// Which is asked first: `configuration` (airlock.toml, and the environment, which wins over it), `files` or
        /// `database`. Each stands here once. What is asked before the database cannot be changed through the API.
        backends: airlock_secret::Order = airlock_secret::Order::default();
    }
}

impl Security {
    /// How far the host and the compiler's child have to restrict themselves; none where they need not try.
    pub(crate) fn required(&self) -> Option<Required> {
        self.hardening.then_some(match self.require_hardening {
            RequireHardening::None => Required::None,
            RequireHardening::Partial => Required::Partial,
            RequireHardening::Full => Required::Full,
        })
    }
}

choice! {
    /// How log lines are written.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object per line.
        Json = "json",
    }
}

section! {
    /// The server's own log, on standard error. The logs of tasks are kept per try in the home folder.
    Log in "[log]" {
        /// What is logged: `error`, `warn`, `info`, `debug` or `trace`, or such a word per module, as in
        /// `info,airlock_scheduler=debug`.
        filter: LogFilter = LogFilter("info".to_owned());
        /// `text` for people, `json` for machines: one object per line.
        format: LogFormat = LogFormat::Text;
    }
}

section! {
    /// The limits of each team's instance pool that `[team.pool]` does not set, and of the one team that is there
    /// when no `[[team]]` is. Every limit holds whatever a team's code does; an instance that reaches one ends,
    /// and its log names the limit.
    Limits in "[limits]" {
        /// Instances at once, over all phases. Each reserves about 8 GiB of address space, and no memory.
        instances: u32 = 32, in 1..=10_000;
        /// Tries that may wait for an instance; what is dispatched beyond fails.
        queue: usize = 100_000, in 1..=10_000_000;
        /// Memory of one instance.
        memory_per_instance: ByteSize = ByteSize::mib(64), in ByteSize::mib(1)..=ByteSize::gib(4);
        /// Memory of all the team's instances together.
        memory: ByteSize = ByteSize::gib(1), in ByteSize::mib(1)..=ByteSize::gib(4096);
        /// Threads that run the team's code: its share of the machine when all teams are busy.
        threads: usize = 2, in 1..=1024;
        /// CPU time of one parse of a bundle.
        parse_cpu_time: Duration = seconds(10), in millis(1)..=seconds(3600);
        /// Wall time of one parse of a bundle.
        parse_wall_time: Duration = seconds(30), in millis(1)..=seconds(3600);
        /// CPU time of one question to a timetable of a bundle's own.
        timetable_cpu_time: Duration = seconds(1), in millis(1)..=seconds(3600);
        /// Wall time of one question to a timetable of a bundle's own.
        timetable_wall_time: Duration = seconds(5), in millis(1)..=seconds(3600);
        /// CPU time of one try of a task.
        task_cpu_time: Duration = seconds(60), in millis(1)..=seconds(86_400);
        /// Wall time of one try of a task, also where the task has no `execution_timeout`.
        task_wall_time: Duration = seconds(3600), in millis(1)..=seconds(604_800);
        /// CPU time of one poll of a trigger of a bundle's own.
        trigger_cpu_time: Duration = seconds(1), in millis(1)..=seconds(3600);
        /// Wall time of one poll of a trigger of a bundle's own.
        trigger_wall_time: Duration = seconds(5), in millis(1)..=seconds(3600);
        /// What a wait may keep: a trigger's state with the events that it listens to, or what a task defers to, with
        /// all that it wants to find when it goes on.
        trigger_state_bytes: ByteSize = ByteSize::kib(64), in ByteSize::kib(1)..=ByteSize::mib(1);
        /// CPU time of one try of a callback.
        callback_cpu_time: Duration = seconds(10), in millis(1)..=seconds(86_400);
        /// Wall time of one try of a callback.
        callback_wall_time: Duration = seconds(30), in millis(1)..=seconds(86_400);
        /// Table elements (function pointers, mostly) of one instance, over all its tables.
        table_elements: usize = 20_000, in 1..=10_000_000;
        /// What one call of a bundle into the host, or a try's answer, may hand over.
        host_call_bytes: ByteSize = ByteSize::mib(8), in ByteSize::kib(64)..=ByteSize::gib(1);
        /// Log of one try; what is beyond is dropped, and the log says so.
        log_bytes: ByteSize = ByteSize::mib(10), in ByteSize::kib(1)..=ByteSize::gib(16);
        /// XComs of one try, keys and values together.
        xcom_bytes: ByteSize = ByteSize::mib(1), in ByteSize::kib(1)..=ByteSize::gib(1);
        /// HTTP connections at once, over all instances. A call beyond waits for one to be closed, as long as it
        /// may take to reach the server, and fails then.
        egress_connections: usize = 64, in 1..=10_000;
        /// A component file.
        component_bytes: ByteSize = ByteSize::mib(32), in ByteSize::kib(1)..=ByteSize::gib(1);
        /// What one parse may answer; a task takes about 500 bytes.
        definition_bytes: ByteSize = ByteSize::mib(64), in ByteSize::kib(1)..=ByteSize::gib(1);
        /// Tasks that one parse may answer, over all DAGs of the bundle.
        definition_tasks: usize = 100_000, in 1..=10_000_000;
    }
}

impl Limits {
    /// As the sandbox takes them.
    pub(crate) fn team_limits(&self) -> TeamLimits {
        TeamLimits {
            instances: self.instances,
            queue: self.queue,
            memory_per_instance: self.memory_per_instance.in_memory(),
            memory: self.memory.in_memory(),
            threads: self.threads,
            parse_cpu_time: self.parse_cpu_time,
            parse_wall_time: self.parse_wall_time,
            timetable_cpu_time: self.timetable_cpu_time,
            timetable_wall_time: self.timetable_wall_time,
            task_cpu_time: self.task_cpu_time,
            task_wall_time: self.task_wall_time,
            trigger_cpu_time: self.trigger_cpu_time,
            trigger_wall_time: self.trigger_wall_time,
            trigger_state_bytes: self.trigger_state_bytes.in_memory(),
            callback_cpu_time: self.callback_cpu_time,
            callback_wall_time: self.callback_wall_time,
            table_elements: self.table_elements,
            host_call_bytes: self.host_call_bytes.in_memory(),
            log_bytes: self.log_bytes.get(),
            xcom_bytes: self.xcom_bytes.in_memory(),
            component_bytes: self.component_bytes.in_memory(),
            definition_bytes: self.definition_bytes.in_memory(),
            definition_tasks: self.definition_tasks,
        }
    }
}

section! {
    /// How much the compilation of one component may use, in a process of its own. A bundle is compiled once per
    /// version; the code is kept.
    Compile in "[compile]" {
        /// Address space of the process.
        memory: ByteSize = ByteSize::gib(3), in ByteSize::mib(256)..=ByteSize::gib(256);
        /// CPU time over all its threads, in whole seconds.
        cpu_time: Duration = seconds(60), in seconds(1)..=seconds(3600);
        /// Wall time.
        wall_time: Duration = seconds(120), in seconds(1)..=seconds(7200);
        /// The machine code.
        code_bytes: ByteSize = ByteSize::mib(512), in ByteSize::mib(1)..=ByteSize::gib(16);
    }
}

impl Compile {
    /// As the sandbox takes them.
    pub(crate) const fn limits(&self) -> CompileLimits {
        CompileLimits {
            memory: self.memory.get(),
            cpu_time: self.cpu_time,
            wall_time: self.wall_time,
            code_bytes: self.code_bytes.get(),
        }
    }
}

section! {
    /// Bundles without teams: while no `[[team]]` is configured, every component in this folder belongs to the
    /// team `default` and is granted what it asks for.
    Bundles in "[bundles]" {
        /// The folder. When unset, `bundles` in the home folder.
        folder: Option<std::path::PathBuf> = None;
    }
}
