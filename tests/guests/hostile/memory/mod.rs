//! Attacks on memory.

pub(crate) fn attack(which: &str) -> String {
    match which {
        "grow" => {
            let mut held = Vec::new();
            loop {
                held.push(vec![1_u8; 1 << 20]);
                std::hint::black_box(&held);
            }
        }
        // Four gibibytes at once.
        "huge" => {
            let mut held = Vec::<u8>::new();
            let asked: Vec<usize> = (0..4)
                .filter(|_| held.try_reserve_exact(0x7fff_0000).is_err())
                .collect();
            let grown = core::arch::wasm32::memory_grow::<0>(65_535);
            format!("{} refused, {}", asked.len(), grown == usize::MAX)
        }
        // Each small, all kept.
        "small" => {
            let mut held = Vec::new();
            loop {
                held.push(Box::new([1_u64; 2]));
                std::hint::black_box(&held);
            }
        }
        // Each second one is given back, and the next is larger than any gap.
        "fragments" => {
            let mut held = Vec::new();
            for size in (64..).step_by(64) {
                let (one, other) = (vec![1_u8; size], vec![1_u8; size]);
                drop(std::hint::black_box(one));
                held.push(other);
            }
            format!("{}", held.len())
        }
        other => format!("there is no memory `{other}`"),
    }
}
