//! CPU time: how much of it an instance has used, and the end of those that used all of theirs.
//!
//! A call is polled in stretches: from a poll's begin to its end, or to the tick of the epoch that makes it
//! yield. The thread's own CPU clock is read at both ends, so that what is counted is what the instance
//! and the host's work for it cost, whoever else wanted the core in the meantime.

use std::{cell::Cell, future::Future, pin::pin, task::Poll, time::Duration};

use rustix::time::{ClockId, Timespec, clock_gettime};
use wasmtime::UpdateDeadline;

use crate::limits::Reached;

/// One stretch of a call on this thread.
#[derive(Clone, Copy)]
struct Stretch {
    since: Duration,
    before: Duration,
}

thread_local! {
    static STRETCH: Cell<Option<Stretch>> = const { Cell::new(None) };
}

/// The CPU time of this thread.
fn now() -> Duration {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(tv_sec).unwrap_or(0),
        u32::try_from(tv_nsec).unwrap_or(0),
    )
}

/// Runs a call and counts its CPU time into `used`. `paused` is called each time it waits.
pub(crate) async fn metered<F: Future>(
    call: F,
    used: &mut Duration,
    mut paused: impl FnMut(),
) -> F::Output {
    let mut call = pin!(call);
    std::future::poll_fn(move |cx| {
        let since = now();
        STRETCH.set(Some(Stretch {
            since,
            before: *used,
        }));
        let poll = call.as_mut().poll(cx);
        STRETCH.set(None);
        *used += now().saturating_sub(since);
        if poll.is_pending() {
            paused();
        }
        match poll {
            Poll::Ready(output) => Poll::Ready(output),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// What an instance does at a tick: it ends if it has used all its time; else it yields, to the other
/// instances of its team and to the other threads of the machine.
pub(crate) fn tick(limit: (Duration, &'static str)) -> wasmtime::Result<UpdateDeadline> {
    let used = STRETCH.get().map_or(Duration::ZERO, |stretch| {
        stretch.before + now().saturating_sub(stretch.since)
    });
    if used >= limit.0 {
        return Err(Reached::cpu_time(limit).into());
    }
    rustix::thread::sched_yield();
    Ok(UpdateDeadline::YieldCustom(
        1,
        Box::pin(tokio::task::yield_now()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn burn(time: Duration) {
        let since = now();
        while now() - since < time {
            std::hint::spin_loop();
        }
    }

    #[tokio::test]
    async fn only_time_on_the_cpu_counts_and_all_stretches_are_summed() {
        let (mut used, mut pauses) = (Duration::ZERO, 0);
        let step = Duration::from_millis(3);
        let call = async {
            burn(step);
            tokio::time::sleep(Duration::from_millis(40)).await;
            burn(step);
            assert!(tick((Duration::from_secs(1), "task_cpu_time")).is_ok());
            assert!(tick((step * 2, "task_cpu_time")).is_err());
        };
        metered(call, &mut used, || pauses += 1).await;
        assert_eq!(pauses, 1);
        assert!(used >= step * 2, "{used:?}");
        assert!(used < Duration::from_millis(40), "{used:?}");
    }
}
