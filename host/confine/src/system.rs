//! What a host reads and runs of the system itself: found by following what it and its libraries open.

use std::{fs, path::PathBuf};

/// Read only.
///
/// - `/etc`: `resolv.conf`, `hosts`, `nsswitch.conf`, `services`, `localtime`, `passwd` for name look-ups. All of it,
///   because these files are replaced by renaming, and a rule for a file that is gone lets nothing through.
/// - The folders of libraries, out of which name look-ups load theirs, and the compiler's child all of its own.
/// - The folders below `/run` where `resolv.conf` may really be, and where name services listen.
/// - `/proc/self`: which folder is open under which number (granted directories are opened through it), the control
///   group that says how many processors there are. What it holds of memory is this process's own.
/// - What allocators and thread pools ask of the machine.
const READ: [&str; 20] = [
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/share/zoneinfo",
    "/run/systemd/resolve",
    "/run/NetworkManager",
    "/run/resolvconf",
    "/run/nscd",
    "/proc/self",
    "/proc/sys/vm/overcommit_memory",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
    "/sys/kernel/mm/transparent_hugepage",
    "/dev/random",
    "/dev/urandom",
];

/// The running program itself, also after its file was replaced.
const PROGRAM: &str = "/proc/self/exe";

/// What may be read.
pub(crate) fn read() -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = READ.iter().map(PathBuf::from).collect();
    // Where the resolver's configuration is a link out of `/etc`, its folder: it is replaced by renaming too.
    let resolver = fs::canonicalize("/etc/resolv.conf").ok();
    paths.extend(resolver.and_then(|file| Some(file.parent()?.to_owned())));
    // Libraries that stand elsewhere, as on systems with a store of packages.
    paths.extend(libraries().filter_map(|file| Some(file.parent()?.to_owned())));
    paths
}

/// What may be read and run: this program, which compiles components in a child, and its loader.
pub(crate) fn run() -> Vec<PathBuf> {
    let is_loader = |file: &PathBuf| {
        file.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("ld"))
    };
    std::iter::once(PathBuf::from(PROGRAM))
        .chain(libraries().filter(is_loader))
        .collect()
}

/// The shared libraries that this process has loaded; the loader is one of them.
fn libraries() -> impl Iterator<Item = PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mut files: Vec<PathBuf> = maps
        .lines()
        .filter_map(|line| line.find('/').and_then(|at| line.get(at..)))
        .map(PathBuf::from)
        .filter(|file| {
            file.file_name()
                .is_some_and(|name| name.to_string_lossy().contains(".so"))
        })
        .collect();
    files.dedup();
    files.into_iter()
}
