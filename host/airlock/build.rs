//! Builds anew when a part of the SDK changes, which the binary carries as it is.

fn main() {
    for part in [
        "guest-sdk/rust/sdk",
        "guest-sdk/rust/macros",
        "guest-sdk/rust/template",
        "wit",
    ] {
        println!("cargo:rerun-if-changed=../../{part}");
    }
}
