//! `wasi:clocks`: the machine's clocks for tasks; for a parse, clocks that stand still.
//!
//! A parse must not depend on when it runs, and cannot wait: with a clock that stands still no time ever
//! comes, so a pause is over at once.

use std::time::Duration;

use wasmtime::component::{HasData, Resource};
use wasmtime_wasi::{
    HostMonotonicClock, HostWallClock,
    clocks::{WasiClocksCtxView, WasiClocksView},
    p2::{
        DynPollable,
        bindings::clocks::{
            monotonic_clock::{self, Duration as Nanoseconds, Instant},
            wall_clock::{self, Datetime},
        },
    },
};

use crate::context::Context;

/// A clock that shows 1970-01-01T00:00:00Z, and zero.
pub(crate) struct FrozenClock;

impl HostWallClock for FrozenClock {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }
    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for FrozenClock {
    fn resolution(&self) -> u64 {
        1
    }
    fn now(&self) -> u64 {
        0
    }
}

/// Names [`ClocksView`] to the linker.
pub(crate) struct Clocks;

impl HasData for Clocks {
    type Data<'a> = ClocksView<'a>;
}

/// The clocks of one instance.
pub(crate) struct ClocksView<'a> {
    clocks: WasiClocksCtxView<'a>,
    frozen: bool,
}

impl Clocks {
    pub(crate) fn of(context: &mut Context) -> ClocksView<'_> {
        let frozen = context.is_pure();
        ClocksView {
            clocks: context.clocks(),
            frozen,
        }
    }
}

impl wall_clock::Host for ClocksView<'_> {
    fn now(&mut self) -> wasmtime::Result<Datetime> {
        wall_clock::Host::now(&mut self.clocks)
    }
    fn resolution(&mut self) -> wasmtime::Result<Datetime> {
        wall_clock::Host::resolution(&mut self.clocks)
    }
}

impl monotonic_clock::Host for ClocksView<'_> {
    fn now(&mut self) -> wasmtime::Result<Instant> {
        monotonic_clock::Host::now(&mut self.clocks)
    }
    fn resolution(&mut self) -> wasmtime::Result<Nanoseconds> {
        monotonic_clock::Host::resolution(&mut self.clocks)
    }
    fn subscribe_instant(&mut self, when: Instant) -> wasmtime::Result<Resource<DynPollable>> {
        let when = if self.frozen { 0 } else { when };
        self.clocks.subscribe_instant(when)
    }
    fn subscribe_duration(
        &mut self,
        duration: Nanoseconds,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        let duration = if self.frozen { 0 } else { duration };
        self.clocks.subscribe_duration(duration)
    }
}
