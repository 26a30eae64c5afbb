//! What `airlock compile-component` is, as a program of its own: for the tests and figures of this room,
//! which have no `airlock` at hand.

fn main() -> std::process::ExitCode {
    airlock_sandbox::compile_child_main()
}
