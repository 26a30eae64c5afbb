//! Whose memory: jemalloc's. glibc keeps the garbage of a large batch in the arenas of the threads that made it;
//! this one gives back to the system what nobody has used for some seconds.

use tikv_jemalloc_ctl::background_thread;
use tracing::warn;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Lets threads of the allocator give memory back, also where nobody else does anything. Not before the process has
/// restricted itself, since a thread that is there already would stay outside of that wall.
pub(crate) fn give_back() {
    if let Err(error) = background_thread::write(true) {
        warn!(%error, "memory goes back to the system only while the host is busy");
    }
}
