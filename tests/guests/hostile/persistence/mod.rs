//! Ways in which one call might leave something for the next.

use std::{
    env, fs,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::ask;

static CALLS: AtomicU32 = AtomicU32::new(0);
/// What fresh memory holds.
static PATTERN: u8 = 0xa5;

/// Files where a program leaves something, each written and then read; and what stands there already.
fn files() -> String {
    let places = [
        "/tmp/left",
        "/var/tmp/left",
        "/dev/shm/left",
        "left",
        "./left",
        "/left",
        "/same/../left",
    ];
    let mut told = Vec::new();
    for place in places {
        let before = fs::read_to_string(place).is_ok();
        let written = fs::write(place, "left").is_ok();
        told.push(format!("{before}/{written}"));
    }
    told.join(" ")
}

pub(crate) fn attack(which: &str) -> String {
    match which {
        "memory" => CALLS.fetch_add(1, Ordering::Relaxed).to_string(),
        // Pages that the allocator has not written to are zero, or somebody's who was here before.
        "pages" => {
            let layout = std::alloc::Layout::from_size_align(8 << 20, 65_536);
            let Ok(layout) = layout else {
                return "no layout".to_owned();
            };
            let dirty = dirty(layout);
            format!("{dirty} bytes were somebody's")
        }
        "files" => files(),
        "environment" => {
            let before = env::var("LEFT").is_ok();
            // It is one instance with one thread.
            #[expect(unsafe_code, reason = "the standard library has it so")]
            unsafe {
                env::set_var("LEFT", "left");
            }
            format!("{before} {}", env::vars().count())
        }
        "xcom" => {
            let before = ask::pull("", "", "task");
            format!("{before} {}", ask::push("left", "1"))
        }
        other => format!("there is no persistence `{other}`"),
    }
}

/// How many bytes of fresh memory are not zero; all are then filled.
#[expect(unsafe_code, reason = "memory is looked at before it is written")]
fn dirty(layout: std::alloc::Layout) -> usize {
    let pages = core::arch::wasm32::memory_grow::<0>(layout.size() / 65_536);
    if pages == usize::MAX {
        return usize::MAX;
    }
    let start = (pages * 65_536) as *mut u8;
    // The pages were just added, and belong to nobody else.
    let all = unsafe { std::slice::from_raw_parts_mut(start, layout.size()) };
    let dirty = all.iter().filter(|byte| **byte != 0).count();
    all.fill(PATTERN);
    std::hint::black_box(all);
    dirty
}
