//! Attacks on the processor.

use crate::ask;

/// `(a+)+b` against a long row of `a`, as a matcher that tries every way does it.
fn backtrack(text: &[u8]) -> bool {
    let mut end = 0;
    while text.get(end) == Some(&b'a') {
        end += 1;
        let rest = text.get(end..).unwrap_or_default();
        if rest.first() == Some(&b'b') || backtrack(rest) {
            return true;
        }
    }
    false
}

pub(crate) fn attack(which: &str) -> String {
    match which {
        "loop" => loop {
            std::hint::black_box(());
        },
        // 2^64 ways.
        "regex" => format!("{}", backtrack(&std::hint::black_box([b'a'; 64]))),
        // One instruction each, which copies or fills megabytes before the next look at the clock.
        "bulk" => {
            let (mut a, mut b) = (vec![1_u8; 8 << 20], vec![2_u8; 8 << 20]);
            loop {
                a.copy_from_slice(&b);
                b.fill(std::hint::black_box(3));
                std::hint::black_box((&a, &b));
            }
        }
        // Each crosses the border and comes back at once.
        "storm" => loop {
            std::hint::black_box(ask::variable("no such variable"));
        },
        "clock_storm" => loop {
            std::hint::black_box(std::time::Instant::now());
        },
        other => format!("there is no cpu `{other}`"),
    }
}
