//! Attacks on the stack.

/// Fills the machine's stack: nothing of it lies in the guest's memory.
fn recurse(depth: u64) -> u64 {
    match depth {
        u64::MAX => 0,
        _ => recurse(depth + 1).wrapping_mul(31) ^ depth,
    }
}

/// Fills the guest's own stack, which lies in its memory.
fn recurse_in_memory(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    if frame[5] == u64::MAX {
        return 0;
    }
    frame[3] + recurse_in_memory(depth + 1) + std::hint::black_box(frame[7])
}

pub(crate) fn attack(which: &str) -> String {
    match which {
        "recurse" => recurse(std::hint::black_box(0)).to_string(),
        "recurse_in_memory" => recurse_in_memory(std::hint::black_box(0)).to_string(),
        other => format!("there is no stack `{other}`"),
    }
}
