//! What one instance has of the host: its store's data.
//!
//! The WASI context gives nothing by itself: no environment, no arguments, streams into the log, and only
//! directories that the grant names. For a parse, time stands still and randomness repeats, so that the
//! same bytes and the same variables give the same DAGs on every host.

use std::{
    io,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, LazyLock},
};

use airlock_grant::{Directory, Mode, Permit, port::DirectoryError};
use airlock_model::log::Source;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{Deterministic, FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::{
    adapter::{Call, FrozenClock, Http, Pushed, Standing},
    budget::{Budget, TeamMemory},
    errand::Errand,
    limits::TeamLimits,
    log::LogStream,
};

/// Open files, streams and the like in one instance; each file is a descriptor of the host.
pub(crate) const RESOURCES: usize = 256;
/// Random bytes in one call.
const RANDOM_BYTES: u64 = 1 << 20;
/// What a guest's hash maps are seeded with while it is parsed.
const PARSE_SEED: u128 = 0x4149_524c_4f43_4b00;

/// The random bytes that every parse gets: long enough that a program which draws until it has enough
/// different ones comes to an end.
static PARSE_RANDOM: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut bytes = vec![0; 4096];
    let mut stream = blake3::Hasher::new();
    stream.update(b"the random numbers of every parse");
    stream.finalize_xof().fill(&mut bytes);
    bytes
});

/// The data of one store.
pub(crate) struct Context {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Http,
    /// The directories that the guest sees, until somebody takes them.
    pub(crate) shown: Vec<Directory>,
    pub(crate) budget: Budget,
    pub(crate) call: Call,
}

impl Context {
    /// # Errors
    /// When a granted directory cannot be opened; then nothing runs.
    pub(crate) fn new(
        standing: &Arc<Standing>,
        limits: &TeamLimits,
        memory: &Arc<TeamMemory>,
        files: bool,
    ) -> Result<Self, DirectoryError> {
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES);
        let (wasi, shown) = wasi(standing, files)?;
        Ok(Self {
            table,
            wasi,
            shown,
            http: WasiHttpCtx::new(),
            hooks: Http(Arc::clone(standing)),
            budget: Budget::new(memory, limits),
            call: Call {
                standing: Arc::clone(standing),
                pushed: Pushed::new(limits.xcom_bytes),
            },
        })
    }

    /// What the instance has open, and on whose behalf it runs.
    pub(crate) fn resources(&mut self) -> (&mut ResourceTable, &Standing) {
        (&mut self.table, &self.call.standing)
    }

    /// Whether the instance runs in a phase that must not depend on when and where it runs.
    pub(crate) fn is_pure(&self) -> bool {
        self.call.standing.errand.is_pure()
    }
}

/// What the guest has of WASI, and the directories that it is shown.
fn wasi(
    standing: &Arc<Standing>,
    files: bool,
) -> Result<(WasiCtx, Vec<Directory>), DirectoryError> {
    let stream = |source| LogStream {
        log: Arc::clone(&standing.log),
        source,
    };
    let (mut wasi, mut shown) = (WasiCtxBuilder::new(), Vec::new());
    // The threads are the team's own: a slow disk keeps its other instances waiting and nobody else's, and
    // a file operation costs no way to another thread and back.
    wasi.stdout(stream(Source::Stdout))
        .stderr(stream(Source::Stderr))
        .allow_blocking_current_thread(true)
        .max_random_size(RANDOM_BYTES);
    match standing.errand {
        Errand::Parse | Errand::Timetable => {
            wasi.wall_clock(FrozenClock)
                .monotonic_clock(FrozenClock)
                .secure_random(Deterministic::new(PARSE_RANDOM.clone()))
                .insecure_random(Deterministic::new(PARSE_RANDOM.clone()))
                .insecure_random_seed(PARSE_SEED);
        }
        Errand::Task | Errand::Trigger | Errand::Callback if files => {
            for permit in standing.effective().directories(&standing.caller) {
                shown.push(permit.item().clone());
                show(&mut wasi, standing, permit)?;
            }
        }
        Errand::Task | Errand::Trigger | Errand::Callback => {}
    }
    Ok((wasi.build(), shown))
}

/// Where the guest sees a directory.
pub(crate) fn guest_path(directory: &Directory) -> String {
    format!("/{}", directory.path().as_str())
}

fn show(
    wasi: &mut WasiCtxBuilder,
    standing: &Standing,
    permit: Permit<Directory>,
) -> Result<(), DirectoryError> {
    let directory = permit.item().clone();
    let opened = standing.ports.directories.open(permit)?;
    let permissions = match directory.mode() {
        Mode::Read => FsPerms::ReadOnly,
        Mode::ReadWrite => FsPerms::ReadWrite,
    };
    let place = place(&opened, &directory);
    wasi.preopened_dir(place, guest_path(&directory), permissions)
        .map_err(|error| DirectoryError::Unreadable {
            path: directory.path().to_string(),
            host: directory.host().to_owned(),
            source: io_error(error),
        })?;
    Ok(())
}

/// A path that leads to what was opened, since wasmtime opens directories by path only. It is valid as long as
/// `opened` is, and whatever stands at the directory's own path by now, it is not followed again.
#[cfg(target_os = "linux")]
fn place(opened: &OwnedFd, _: &Directory) -> PathBuf {
    use std::os::fd::AsRawFd as _;
    PathBuf::from(format!("/proc/self/fd/{}", opened.as_raw_fd()))
}

/// Only Linux has a path to what a process has opened. Elsewhere the directory's own path is followed a second
/// time, and whoever can rename or link at that place in between is followed too.
#[cfg(not(target_os = "linux"))]
fn place(_: &OwnedFd, directory: &Directory) -> PathBuf {
    directory.host().to_owned()
}

fn io_error(error: wasmtime::Error) -> io::Error {
    error
        .downcast::<io::Error>()
        .unwrap_or_else(|other| io::Error::other(other.to_string()))
}

impl WasiView for Context {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for Context {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.hooks,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}
