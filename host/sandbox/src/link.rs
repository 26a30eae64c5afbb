//! Which interface is linked for whom.
//!
//! The linker of a bundle holds what its grant lets it import, one interface at a time, and nothing else.
//! There is no list of what to leave out: an interface that is not named below cannot be linked at all, and
//! `wasi:sockets` is not named.

use airlock_grant::{Effective, Interface};
use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime_wasi::{
    WasiView,
    cli::{WasiCli, WasiCliView},
    filesystem::{WasiFilesystem, WasiFilesystemView},
    p2::bindings::{cli, clocks, filesystem, io, random},
    random::{WasiRandom, WasiRandomView},
};
use wasmtime_wasi_http::{WasiHttp, WasiHttpView, p2::bindings as wasi_http};

use crate::{
    adapter::{Call, Clocks, sql::Databases},
    bindings::{connections, directories, log, sql, variables, xcom},
    context::Context,
    engine::TeamEngine,
};

/// A linker with all that this bundle may import.
pub(crate) fn linker(
    engine: &TeamEngine,
    effective: &Effective,
) -> wasmtime::Result<Linker<Context>> {
    let mut linker = Linker::new(engine.get());
    for interface in effective.interfaces() {
        link(&mut linker, interface)?;
    }
    Ok(linker)
}

fn link(linker: &mut Linker<Context>, interface: &Interface) -> wasmtime::Result<()> {
    fn call(context: &mut Context) -> &mut Call {
        &mut context.call
    }
    fn table(context: &mut Context) -> &mut ResourceTable {
        context.ctx().table
    }
    type Own = HasSelf<Call>;
    type Io = HasSelf<ResourceTable>;
    let l = linker;
    match (interface.package, interface.name) {
        ("airlock:capability", "log") => log::add_to_linker::<_, Own>(l, call),
        ("airlock:capability", "xcom") => xcom::add_to_linker::<_, Own>(l, call),
        ("airlock:capability", "variables") => variables::add_to_linker::<_, Own>(l, call),
        ("airlock:capability", "connections") => connections::add_to_linker::<_, Own>(l, call),
        ("airlock:capability", "sql") => sql::add_to_linker::<_, Databases>(l, Databases::of),
        ("airlock:capability", "directories") => directories::add_to_linker::<_, Own>(l, call),
        // Types have no functions: there is nothing to link. Of `tasks`, whose failures are a callback's too,
        // only the types: nobody calls a task but the host.
        ("airlock:capability", "errors")
        | ("airlock:bundle", "units" | "waits" | "definitions" | "tasks") => Ok(()),
        ("wasi:io", "error") => io::error::add_to_linker::<_, Io>(l, table),
        ("wasi:io", "poll") => io::poll::add_to_linker::<_, Io>(l, table),
        ("wasi:io", "streams") => io::streams::add_to_linker::<_, Io>(l, table),
        ("wasi:cli", "environment") => {
            cli::environment::add_to_linker::<_, WasiCli>(l, Context::cli)
        }
        ("wasi:cli", "exit") => cli::exit::add_to_linker::<_, WasiCli>(l, Context::cli),
        ("wasi:cli", "stdin") => cli::stdin::add_to_linker::<_, WasiCli>(l, Context::cli),
        ("wasi:cli", "stdout") => cli::stdout::add_to_linker::<_, WasiCli>(l, Context::cli),
        ("wasi:cli", "stderr") => cli::stderr::add_to_linker::<_, WasiCli>(l, Context::cli),
        ("wasi:cli", "terminal-input") => {
            cli::terminal_input::add_to_linker::<_, WasiCli>(l, Context::cli)
        }
        ("wasi:cli", "terminal-output") => {
            cli::terminal_output::add_to_linker::<_, WasiCli>(l, Context::cli)
        }
        ("wasi:cli", "terminal-stdin") => {
            cli::terminal_stdin::add_to_linker::<_, WasiCli>(l, Context::cli)
        }
        ("wasi:cli", "terminal-stdout") => {
            cli::terminal_stdout::add_to_linker::<_, WasiCli>(l, Context::cli)
        }
        ("wasi:cli", "terminal-stderr") => {
            cli::terminal_stderr::add_to_linker::<_, WasiCli>(l, Context::cli)
        }
        ("wasi:clocks", "wall-clock") => {
            clocks::wall_clock::add_to_linker::<_, Clocks>(l, Clocks::of)
        }
        ("wasi:clocks", "monotonic-clock") => {
            clocks::monotonic_clock::add_to_linker::<_, Clocks>(l, Clocks::of)
        }
        ("wasi:random", "random") => {
            random::random::add_to_linker::<_, WasiRandom>(l, Context::random)
        }
        ("wasi:random", "insecure") => {
            random::insecure::add_to_linker::<_, WasiRandom>(l, Context::random)
        }
        ("wasi:random", "insecure-seed") => {
            random::insecure_seed::add_to_linker::<_, WasiRandom>(l, Context::random)
        }
        ("wasi:filesystem", "types") => {
            filesystem::types::add_to_linker::<_, WasiFilesystem>(l, Context::filesystem)
        }
        ("wasi:filesystem", "preopens") => {
            filesystem::preopens::add_to_linker::<_, WasiFilesystem>(l, Context::filesystem)
        }
        ("wasi:http", "types") => {
            let options = wasi_http::LinkOptions::default();
            let options = (&options).into();
            wasi_http::http::types::add_to_linker::<_, WasiHttp>(l, &options, Context::http)
        }
        ("wasi:http", "outgoing-handler") => {
            wasi_http::http::outgoing_handler::add_to_linker::<_, WasiHttp>(l, Context::http)
        }
        (package, name) => Err(wasmtime::Error::msg(format!(
            "{package}/{name} is granted, but this host cannot link it"
        ))),
    }
}
