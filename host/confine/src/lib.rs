//! The second wall: what a process takes away from itself before it works, so that whoever breaks out of the sandbox
//! finds a process that can reach little more than its work needs.
//!
//! There are three layers, each of which the kernel enforces and nothing can take off again: no new privileges, Landlock
//! for files, and filters of system calls. They hold for the calling thread and all that it starts from then on, which is
//! why they are put on before a process has other threads. None of them needs root.
//!
//! A layer that the kernel does not have is left out and told of in the [`Report`]; whoever needs it asks the report
//! ([`Report::require`]) and does not start.

mod report;
mod roots;

#[cfg(target_os = "linux")]
mod compiler_calls;
#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod filter;
#[cfg(target_os = "linux")]
mod host_calls;
#[cfg(target_os = "linux")]
mod system;

pub use report::{Layer, Report, Required, Standing, TooSoft};
pub use roots::{Gap, Mode, Roots};

/// Restricts this thread, and what it starts, to what a host needs: files below the roots and those of the system that
/// the host and its libraries read, its own program to run as the compiler's child, and no system call that a
/// scheduler never makes. The network stays open, since bundles may be granted any server.
///
/// Whatever was opened before stays open.
#[must_use]
pub fn confine_host(roots: &Roots) -> Report {
    #[cfg(target_os = "linux")]
    {
        let privileges = no_new_privileges();
        let (files, gaps) = files::host(roots);
        let calls = filter::standing(host_calls::install());
        Report::new([privileges, files, calls], gaps)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = roots;
        Report::nothing("only Linux has it")
    }
}

/// Restricts this thread, and what it starts, to computing on what is open: no file, no socket, no program, no memory
/// that can be executed. What tries all the same is killed, or told no where libraries ask and can do without.
#[must_use]
pub fn confine_compiler() -> Report {
    #[cfg(target_os = "linux")]
    {
        let privileges = no_new_privileges();
        let files = files::nothing();
        let calls = filter::standing(compiler_calls::install());
        Report::new([privileges, files, calls], Vec::new())
    }
    #[cfg(not(target_os = "linux"))]
    {
        Report::nothing("only Linux has it")
    }
}

/// From now on no program that this thread starts gets rights that the thread has not: neither by a set-user-id bit nor
/// by capabilities of the file. Landlock and filters ask for it.
#[cfg(target_os = "linux")]
fn no_new_privileges() -> Standing {
    match rustix::thread::set_no_new_privs(true) {
        Ok(()) => Standing::Whole,
        Err(error) => Standing::Missing(format!("the system refuses: {error}")),
    }
}
