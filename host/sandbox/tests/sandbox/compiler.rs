//! What the compiler's child is before it gets to see a component.

use std::{
    io::Write as _,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// A child that has read its limits, and waits for the component.
struct Waiting(Child);

impl Waiting {
    fn start(confinement: u64) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_airlock-compile-component"))
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let header: [u64; 4] = [3 << 30, 60, 1 << 20, confinement];
        let bytes: Vec<u8> = header
            .iter()
            .flat_map(|field| field.to_le_bytes())
            .collect();
        let input = child.stdin.as_mut().unwrap();
        input.write_all(&bytes).unwrap();
        input.flush().unwrap();
        Self(child)
    }

    /// What the kernel says of it.
    fn status(&self, field: &str) -> String {
        let file = format!("/proc/{}/status", self.0.id());
        let text = std::fs::read_to_string(file).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(field));
        line.unwrap().trim().to_owned()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn the_compiler_is_confined_before_it_gets_to_see_a_component() {
    for confinement in [1, 2, 3] {
        let child = Waiting::start(confinement);
        // The last filter is the one that lets no other be put on.
        until("three filters", || child.status("Seccomp_filters:") == "3");
        assert_eq!(child.status("NoNewPrivs:"), "1");
        assert_eq!(child.status("Seccomp:"), "2");
        assert_eq!(child.status("Threads:"), "1");
    }
}
