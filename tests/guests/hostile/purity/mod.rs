//! Time and randomness, where there should be none.

use std::{
    collections::HashMap,
    time::{Duration, Instant, SystemTime},
};

pub(crate) fn attack(which: &str) -> String {
    match which {
        "time" => {
            let (wall, began) = (SystemTime::now(), Instant::now());
            std::thread::sleep(Duration::from_millis(20));
            let mut spun = 0_u64;
            for number in 0..3_000_000_u64 {
                spun = std::hint::black_box(spun.wrapping_mul(31) ^ number);
            }
            let passed = wall.elapsed().map_or(0, |passed| passed.as_nanos());
            let since = wall
                .duration_since(SystemTime::UNIX_EPOCH)
                .map_or(0, |since| since.as_nanos());
            format!("{since} {passed} {}", began.elapsed().as_nanos())
        }
        "randomness" => {
            let bytes = wasip2::random::random::get_random_bytes(16);
            let insecure = wasip2::random::insecure::get_insecure_random_u64();
            let seed = wasip2::random::insecure_seed::insecure_seed();
            let map: HashMap<u32, u32> = (0..16).map(|n| (n, n)).collect();
            let order: Vec<_> = map.keys().collect();
            format!("{bytes:?} {insecure} {seed:?} {order:?}")
        }
        other => format!("there is no purity `{other}`"),
    }
}
