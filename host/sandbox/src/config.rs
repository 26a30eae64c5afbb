//! The one constructor of `wasmtime::Config`.
//!
//! Every engine of the house is made from it: each team's, and that of the child process which compiles.
//! What decides about machine code is the same in all of them, so that code is compiled once for all teams
//! and phases, and a parse gives the same on every host. What differs is only the pool, whose size follows
//! from the team's limits and which no machine code depends on.
//!
//! Everything that a guest does not need to tell its DAGs and to run its tasks is off; threads, garbage
//! collection and exceptions are not even compiled in.

use std::num::NonZeroUsize;

use wasmtime::{
    Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails,
};

use crate::limits::TeamLimits;

/// Frames that a backtrace holds at most.
const BACKTRACE_FRAMES: usize = 32;
/// Stack of a guest. Interpreters compiled to wasm recurse deeply: at the usual 512 KiB, Python and
/// JavaScript trap where at 3 MiB they raise an error of their own.
const WASM_STACK: usize = 3 << 20;
/// Stack of a call, of which what is beyond [`WASM_STACK`] is left for host functions.
const CALL_STACK: usize = 4 << 20;
/// Core instances in one component. A Python guest has 14, a JavaScript one 9, a Rust one 3.
const CORE_INSTANCES: u32 = 40;
/// Linear memories in one component.
const MEMORIES: u32 = 2;
/// Tables in one component.
pub(crate) const TABLES: u32 = 24;
/// Metadata of one component instance. A Python guest has 0.4 MB.
const INSTANCE_BYTES: usize = 4 << 20;
/// Bytes at the start of a memory that are reset by copying instead of being given back to the system.
/// It covers what a small guest touches, so that its next instance takes no page faults there.
const KEEP_RESIDENT: usize = 64 << 10;

/// What every engine shares.
fn shared() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .shared_memory(false)
        .wasm_memory64(false)
        .wasm_gc(false)
        .wasm_relaxed_simd(false)
        .wasm_stack_switching(false)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        // Else an environment variable would decide whether a guest's debug information is read.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(NonZeroUsize::new(BACKTRACE_FRAMES))
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(CALL_STACK)
        .async_stack_zeroing(true)
        .memory_guaranteed_dense_image_size(16 << 20)
        .guard_before_linear_memory(true);
    config
}

/// For the process that compiles: without a pool, which would reserve more address space than that process
/// may have.
pub(crate) fn compiler() -> Config {
    let mut config = shared();
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    config
}

/// The configuration of a team's engine, whose pool is exactly as large as its limits say. It is public so
/// that a call can be measured against the same call without the sandbox around it.
#[must_use]
pub fn engine_config(limits: &TeamLimits) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    let instances = limits.instances;
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES))
        .total_memories(instances.saturating_mul(MEMORIES))
        .total_tables(instances.saturating_mul(TABLES))
        .total_stacks(instances)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_tables_per_module(TABLES)
        .max_component_instance_size(INSTANCE_BYTES)
        .max_core_instance_size(INSTANCE_BYTES)
        .max_memory_size(limits.memory_per_instance)
        .table_elements(limits.table_elements)
        .max_unused_warm_slots(instances)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(KEEP_RESIDENT)
        .async_stack_keep_resident(KEEP_RESIDENT)
        .pagemap_scan(Enabled::Auto);
    let mut config = shared();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}
