//! The filter of the compiler's child: it may compute, read and write what is open, and end. Any other call ends it at
//! once, and its parent sees by which signal.
//!
//! There are two kinds of exceptions, which are refused and not fatal. Libraries ask for files that they can do without
//! (how many processors the control group allows, how memory is to be handed out), and must hear that they may not. And
//! the C library asks for `clone3` first, whose arguments a filter cannot see, and then for `clone`.

use libc::{SYS_clone, SYS_mmap, SYS_mprotect, SYS_prctl, SYS_prlimit64, SYS_tgkill, c_long};
use seccompiler::{BackendError, BpfProgram, Error, SeccompAction, SeccompCmpOp};

use crate::filter::{Calls, all, always, argument, install as install_programs, program};

/// Allowed whatever the arguments.
const ALWAYS: [c_long; 44] = [
    // What is open. There are three pipes.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_lseek,
    libc::SYS_ppoll,
    // Memory; `mmap` and `mprotect` have rules of their own.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_mincore,
    libc::SYS_mlock,
    libc::SYS_munlock,
    libc::SYS_get_mempolicy,
    // Threads; `clone` has a rule of its own.
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    libc::SYS_membarrier,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getcpu,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    // Signals of its own: handlers, and the stack that they run on.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    // Time, and other harmless answers.
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_getrusage,
    // The end.
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// What only this architecture has.
#[cfg(target_arch = "x86_64")]
const ALWAYS_HERE: [c_long; 3] = [libc::SYS_poll, libc::SYS_time, libc::SYS_getrlimit];
#[cfg(target_arch = "riscv64")]
const ALWAYS_HERE: [c_long; 1] = [libc::SYS_riscv_flush_icache];
#[cfg(not(any(target_arch = "x86_64", target_arch = "riscv64")))]
const ALWAYS_HERE: [c_long; 0] = [];

/// Refused, and not fatal: asking for files.
const FILES: [c_long; 8] = [
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_readlinkat,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_getcwd,
];
#[cfg(target_arch = "x86_64")]
const FILES_HERE: [c_long; 5] = [
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
];
#[cfg(not(target_arch = "x86_64"))]
const FILES_HERE: [c_long; 0] = [];

/// What `prctl` is asked to do: to give a thread, or a piece of memory, a name.
const NAMES: [i32; 2] = [libc::PR_SET_NAME, libc::PR_SET_VMA];

/// Puts the filters on.
pub(crate) fn install() -> Result<(), Error> {
    install_programs(&programs(std::process::id())?)
}

fn programs(own: u32) -> Result<[BpfProgram; 3], BackendError> {
    let refuse = |number: i32| SeccompAction::Errno(number.unsigned_abs());
    let files = [always(&FILES), always(&FILES_HERE)].into_iter().flatten();
    Ok([
        program(
            always(&[libc::SYS_clone3]),
            refuse(libc::ENOSYS),
            SeccompAction::Allow,
        )?,
        program(files.collect(), refuse(libc::EACCES), SeccompAction::Allow)?,
        // The last, since it lets no further filter be put on.
        program(
            allowed(own)?,
            SeccompAction::Allow,
            SeccompAction::KillProcess,
        )?,
    ])
}

/// What is not fatal.
fn allowed(own: u32) -> Result<Calls, BackendError> {
    let lists: [&[c_long]; 4] = [&ALWAYS, &ALWAYS_HERE, &FILES, &FILES_HERE];
    let mut calls: Calls = lists.into_iter().flat_map(always).collect();
    calls.extend(always(&[libc::SYS_clone3]));
    let is = |index, value| argument(index, SeccompCmpOp::Eq, value);
    // No memory that can be executed: nothing of what the child makes is run in it.
    let exec = u64::from(libc::PROT_EXEC.unsigned_abs());
    for number in [SYS_mmap, SYS_mprotect] {
        let without = argument(2, SeccompCmpOp::MaskedEq(exec), 0);
        calls.insert(number, vec![all([without])?]);
    }
    // Threads, and no processes.
    let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
    let threads = argument(0, SeccompCmpOp::MaskedEq(thread), thread);
    calls.insert(SYS_clone, vec![all([threads])?]);
    // A signal to itself is how a process aborts.
    calls.insert(SYS_tgkill, vec![all([is(0, u64::from(own))])?]);
    // Its own limits, of which the hard ones hold: how large the stack of the first thread may be.
    calls.insert(
        SYS_prlimit64,
        vec![all([is(0, 0)])?, all([is(0, u64::from(own))])?],
    );
    let names = NAMES
        .iter()
        .map(|name| all([is(0, u64::from(name.unsigned_abs()))]));
    calls.insert(SYS_prctl, names.collect::<Result<_, _>>()?);
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use crate::filter::tests::{ALLOWED, Call, KILLED, answer, refused as errno};

    use super::*;

    const OWN: u32 = 4711;

    fn ask(number: c_long, arguments: &[u64]) -> u32 {
        answer(&programs(OWN).unwrap(), &Call::new(number, arguments))
    }

    #[test]
    fn a_compiler_computes_and_everything_else_ends_it() {
        for number in ALWAYS.into_iter().chain(ALWAYS_HERE) {
            assert_eq!(ask(number, &[]), ALLOWED, "{number}");
        }
        for number in FILES.into_iter().chain(FILES_HERE) {
            assert_eq!(ask(number, &[]), errno(libc::EACCES), "{number}");
        }
        assert_eq!(ask(libc::SYS_clone3, &[]), errno(libc::ENOSYS));
        for number in [
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_socket,
            libc::SYS_connect,
            libc::SYS_sendto,
            libc::SYS_kill,
            libc::SYS_tkill,
            libc::SYS_unlinkat,
            libc::SYS_renameat2,
            libc::SYS_mkdirat,
            libc::SYS_ftruncate,
            libc::SYS_ioctl,
            libc::SYS_ptrace,
            libc::SYS_memfd_create,
            libc::SYS_seccomp,
            libc::SYS_io_uring_setup,
            libc::SYS_setpriority,
            libc::SYS_unshare,
            libc::SYS_pidfd_open,
        ] {
            assert_eq!(ask(number, &[]), KILLED, "{number}");
        }
    }

    #[test]
    fn a_compiler_has_threads_and_no_processes_and_no_memory_to_execute() {
        let of = |flags: i32| u64::from(flags.unsigned_abs());
        let thread = of(libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND);
        assert_eq!(ask(SYS_clone, &[thread]), ALLOWED);
        assert_eq!(ask(SYS_clone, &[of(libc::SIGCHLD)]), KILLED);
        let vfork = of(libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD);
        assert_eq!(ask(SYS_clone, &[vfork]), KILLED);
        let data = of(libc::PROT_READ | libc::PROT_WRITE);
        for number in [SYS_mmap, SYS_mprotect] {
            assert_eq!(ask(number, &[0, 4096, data]), ALLOWED);
            assert_eq!(ask(number, &[0, 4096, data | of(libc::PROT_EXEC)]), KILLED);
        }
    }

    #[test]
    fn a_compiler_aborts_itself_and_signals_nobody_else() {
        assert_eq!(ask(SYS_tgkill, &[u64::from(OWN), 1, 6]), ALLOWED);
        assert_eq!(ask(SYS_tgkill, &[u64::from(OWN) + 1, 1, 6]), KILLED);
        assert_eq!(ask(SYS_prlimit64, &[1, 0]), KILLED);
        assert_eq!(
            ask(
                SYS_prctl,
                &[u64::from(libc::PR_SET_DUMPABLE.unsigned_abs())]
            ),
            KILLED
        );
    }
}
