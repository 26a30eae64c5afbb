//! What one instance has of the host: its store's data.
//!
//! The WASI context gives nothing by itself: no environment, no arguments, streams into the log, and only
//! directories that the grant names. For a parse, time stands still and randomness repeats, so that the
//! same bytes and the same variables give the same DAGs on every host.

use std::{
    fs, io,
    path::PathBuf,
    sync::{Arc, LazyLock},
};

use airlock_grant::{Directory, Mode, Phase};
use airlock_model::log::Source;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{Deterministic, FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::{
    adapter::{Call, FrozenClock, Http, Pushed, Standing},
    budget::{Budget, TeamMemory},
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

/// A granted directory that cannot be shown to the guest.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DirectoryError {
    /// It cannot be opened.
    #[error(
        "AL-0543: the granted directory `{path}` cannot be opened at {}: {source}; create it, or correct the grant",
        host.display()
    )]
    Open {
        /// As the guest names it.
        path: String,
        /// Where it should be.
        host: PathBuf,
        /// What failed.
        #[source]
        source: io::Error,
    },
    /// A symbolic link leads out of the folder that it has to be in.
    #[error(
        "AL-0544: the directory `{path}` lies outside of the bundle's own folder {}; grant it by its real place instead",
        within.display()
    )]
    Outside {
        /// As the guest names it.
        path: String,
        /// Where it should be.
        within: PathBuf,
    },
}

/// The data of one store.
pub(crate) struct Context {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Http,
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
        Ok(Self {
            table,
            wasi: wasi(standing, files)?,
            http: WasiHttpCtx::new(),
            hooks: Http(Arc::clone(standing)),
            budget: Budget::new(memory, limits),
            call: Call {
                standing: Arc::clone(standing),
                pushed: Pushed::new(limits.xcom_bytes),
            },
        })
    }

    /// Whether the instance runs in a phase that must not depend on when and where it runs.
    pub(crate) fn is_pure(&self) -> bool {
        self.call.standing.caller.phase == Phase::Parse
    }
}

fn wasi(standing: &Arc<Standing>, files: bool) -> Result<WasiCtx, DirectoryError> {
    let stream = |source| LogStream {
        log: Arc::clone(&standing.log),
        source,
    };
    let mut wasi = WasiCtxBuilder::new();
    // The threads are the team's own: a slow disk keeps its other instances waiting and nobody else's, and
    // a file operation costs no way to another thread and back.
    wasi.stdout(stream(Source::Stdout))
        .stderr(stream(Source::Stderr))
        .allow_blocking_current_thread(true)
        .max_random_size(RANDOM_BYTES);
    match standing.caller.phase {
        Phase::Parse => {
            wasi.wall_clock(FrozenClock)
                .monotonic_clock(FrozenClock)
                .secure_random(Deterministic::new(PARSE_RANDOM.clone()))
                .insecure_random(Deterministic::new(PARSE_RANDOM.clone()))
                .insecure_random_seed(PARSE_SEED);
        }
        Phase::Task if files => {
            for permit in standing.effective.directories(&standing.caller) {
                show(&mut wasi, permit.item())?;
            }
        }
        Phase::Task => {}
    }
    Ok(wasi.build())
}

/// Where the guest sees a directory.
pub(crate) fn guest_path(directory: &Directory) -> String {
    format!("/{}", directory.path().as_str())
}

fn show(wasi: &mut WasiCtxBuilder, directory: &Directory) -> Result<(), DirectoryError> {
    let path = directory.path().as_str();
    let wrong = |source: io::Error| DirectoryError::Open {
        path: path.to_owned(),
        host: directory.host().to_owned(),
        source,
    };
    let host = match directory.within() {
        None => directory.host().to_owned(),
        Some(within) => {
            let real = fs::canonicalize(directory.host()).map_err(wrong)?;
            if !real.starts_with(fs::canonicalize(within).map_err(wrong)?) {
                return Err(DirectoryError::Outside {
                    path: path.to_owned(),
                    within: within.to_owned(),
                });
            }
            real
        }
    };
    let permissions = match directory.mode() {
        Mode::Read => FsPerms::ReadOnly,
        Mode::ReadWrite => FsPerms::ReadWrite,
    };
    wasi.preopened_dir(host, guest_path(directory), permissions)
        .map_err(|error| wrong(io_error(error)))?;
    Ok(())
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
