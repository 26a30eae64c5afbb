//! The host's filter: what a scheduler never asks of a kernel is refused with EPERM. Most holes in kernels are in what
//! few programs use, and most ways out of a container begin with one of these calls.
//!
//! It is a list of what is refused, not of what is allowed, since the libraries of a host ask for more from version to
//! version, and a call that is missing by mistake would stop all teams. The compiler's filter is the other way round.

use libc::{SYS_clone, SYS_clone3, SYS_ioctl, SYS_socket, c_long};
use seccompiler::{BackendError, BpfProgram, Error, SeccompAction, SeccompCmpOp, SeccompRule};

use crate::filter::{Calls, all, always, argument, install as install_programs, program};

/// Refused whatever the arguments.
const NEVER: [c_long; 82] = [
    // Other processes' memory, files and execution.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    // Kernels, their modules and their programs.
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_syslog,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
    // File systems, and files by other ways than their path.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    OPEN_TREE_ATTR,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    // Namespaces; `clone` has rules of its own.
    libc::SYS_unshare,
    libc::SYS_setns,
    // The machine.
    libc::SYS_reboot,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_vhangup,
    libc::SYS_personality,
    // Keys of the kernel.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // Becoming somebody else. A host that was started as root stays root, with the other walls around it.
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_setgroups,
    libc::SYS_capset,
    // Files that are run without a path that Landlock could look at; the compiler's child is run by its path.
    libc::SYS_execveat,
    // Queues and shared memory between users' processes.
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_semget,
    libc::SYS_semctl,
    libc::SYS_semtimedop,
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_msgctl,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    libc::SYS_memfd_secret,
    libc::SYS_remap_file_pages,
];

/// `open_tree_attr`: the same number on every architecture, and newer than the list of names.
const OPEN_TREE_ATTR: c_long = 467;

/// What only this architecture has.
#[cfg(target_arch = "x86_64")]
const NEVER_HERE: [c_long; 8] = [
    libc::SYS_kexec_file_load,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS_sysfs,
    libc::SYS__sysctl,
];
/// `kexec_file_load`, which not every C library has a name for.
#[cfg(not(target_arch = "x86_64"))]
const NEVER_HERE: [c_long; 1] = [294];

/// Kinds of sockets that are left: local ones, those of the two internet protocols, and, for libraries that ask which
/// addresses this machine has, netlink.
const FAMILIES: [i32; 4] = [
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
];
/// The old way to packets of all kinds, by a socket of the internet.
const SOCK_PACKET: u64 = 10;
/// Of a socket's type, the part that is not flags.
const TYPE_MASK: u64 = 0xf;

/// New namespaces by way of `clone`.
const NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// What types into, or pastes into, the terminal that the host was started from.
const TERMINAL: [u64; 2] = [TIOCSTI, TIOCLINUX];
const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541c;

/// On x86-64 a kernel may know all calls a second time, under numbers with this bit, for programs of 32-bit pointers.
#[cfg(target_arch = "x86_64")]
const X32: c_long = 0x4000_0000;
/// The calls that have other numbers there.
#[cfg(target_arch = "x86_64")]
const X32_ONLY: std::ops::RangeInclusive<c_long> = 512..=547;

/// Puts the filters on.
pub(crate) fn install() -> Result<(), Error> {
    install_programs(&programs()?)
}

fn programs() -> Result<[BpfProgram; 2], BackendError> {
    let refuse = |number: i32| SeccompAction::Errno(number.unsigned_abs());
    Ok([
        // Its arguments are in memory, where a filter cannot look. Whoever hears that there is no such call uses
        // `clone`, which a filter can look at.
        program(
            always(&[SYS_clone3]),
            refuse(libc::ENOSYS),
            SeccompAction::Allow,
        )?,
        program(refused()?, refuse(libc::EPERM), SeccompAction::Allow)?,
    ])
}

fn refused() -> Result<Calls, BackendError> {
    let mut calls = always(&NEVER);
    calls.extend(always(&NEVER_HERE));
    calls.insert(SYS_socket, sockets()?);
    let namespaces = NAMESPACES.iter().map(|flag| {
        let flag = u64::from(flag.unsigned_abs());
        all([argument(0, SeccompCmpOp::MaskedEq(flag), flag)])
    });
    calls.insert(SYS_clone, namespaces.collect::<Result<_, _>>()?);
    let terminal = TERMINAL
        .iter()
        .map(|command| all([argument(1, SeccompCmpOp::Eq, *command)]));
    calls.insert(SYS_ioctl, terminal.collect::<Result<_, _>>()?);
    #[cfg(target_arch = "x86_64")]
    {
        let same = calls
            .keys()
            .copied()
            .chain([SYS_clone3])
            .map(|number| number | X32);
        let others = X32_ONLY.map(|number| number | X32);
        let second: Vec<c_long> = same.chain(others).collect();
        calls.extend(always(&second));
    }
    Ok(calls)
}

/// Which sockets are refused.
fn sockets() -> Result<Vec<SeccompRule>, BackendError> {
    let family =
        |comparison, family: i32| argument(0, comparison, u64::from(family.unsigned_abs()));
    let netlink = |comparison| family(comparison, libc::AF_NETLINK);
    let others = FAMILIES.map(|known| family(SeccompCmpOp::Ne, known));
    let raw = u64::from(libc::SOCK_RAW.unsigned_abs());
    let kind = |kind| argument(1, SeccompCmpOp::MaskedEq(TYPE_MASK), kind);
    let route = u64::from(libc::NETLINK_ROUTE.unsigned_abs());
    Ok(vec![
        all(others)?,
        // All netlink sockets are raw.
        all([netlink(SeccompCmpOp::Ne), kind(raw)])?,
        all([netlink(SeccompCmpOp::Ne), kind(SOCK_PACKET)])?,
        all([
            netlink(SeccompCmpOp::Eq),
            argument(2, SeccompCmpOp::Ne, route),
        ])?,
    ])
}

#[cfg(test)]
mod tests {
    use crate::filter::tests::{ALLOWED, Call, answer, refused as errno};

    use super::*;

    fn ask(number: c_long, arguments: &[u64]) -> u32 {
        answer(&programs().unwrap(), &Call::new(number, arguments))
    }

    #[test]
    fn what_a_scheduler_never_asks_for_is_refused() {
        for number in NEVER.into_iter().chain(NEVER_HERE) {
            assert_eq!(ask(number, &[]), errno(libc::EPERM), "{number}");
            #[cfg(target_arch = "x86_64")]
            assert_eq!(
                ask(number | X32, &[]),
                errno(libc::EPERM),
                "{number} of x32"
            );
        }
        assert_eq!(ask(SYS_clone3, &[]), errno(libc::ENOSYS));
        #[cfg(target_arch = "x86_64")]
        for number in X32_ONLY.chain([SYS_clone, SYS_clone3, SYS_socket, SYS_ioctl]) {
            assert_eq!(
                ask(number | X32, &[]),
                errno(libc::EPERM),
                "{number} of x32"
            );
        }
    }

    #[test]
    fn what_a_host_lives_on_is_let_through() {
        for number in [
            libc::SYS_read,
            libc::SYS_openat,
            libc::SYS_execve,
            libc::SYS_mmap,
            libc::SYS_mprotect,
            libc::SYS_futex,
            libc::SYS_epoll_pwait,
            libc::SYS_connect,
            libc::SYS_kill,
            libc::SYS_memfd_create,
            libc::SYS_seccomp,
            libc::SYS_landlock_restrict_self,
            libc::SYS_setpriority,
            libc::SYS_prlimit64,
            libc::SYS_clock_gettime,
            libc::SYS_fsync,
            libc::SYS_inotify_add_watch,
        ] {
            assert_eq!(ask(number, &[]), ALLOWED, "{number}");
        }
    }

    #[test]
    fn no_namespace_comes_with_a_new_process_and_threads_and_processes_still_do() {
        let of = |flags: i32| u64::from(flags.unsigned_abs());
        for flag in NAMESPACES {
            let with_signal = of(flag) | of(libc::SIGCHLD);
            assert_eq!(ask(SYS_clone, &[with_signal]), errno(libc::EPERM));
        }
        let thread = of(libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_SIGHAND)
            | of(libc::CLONE_THREAD | libc::CLONE_SYSVSEM | libc::CLONE_SETTLS)
            | of(libc::CLONE_PARENT_SETTID | libc::CLONE_CHILD_CLEARTID);
        let spawned = of(libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD);
        for flags in [thread, spawned, of(libc::SIGCHLD)] {
            assert_eq!(ask(SYS_clone, &[flags]), ALLOWED);
        }
    }

    #[test]
    fn sockets_are_local_or_of_the_internet_and_never_raw() {
        let of = |value: i32| u64::from(value.unsigned_abs());
        let cloexec = of(libc::SOCK_CLOEXEC);
        let socket = |family, kind: i32, protocol| {
            ask(SYS_socket, &[of(family), of(kind) | cloexec, protocol])
        };
        for family in [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6] {
            assert_eq!(socket(family, libc::SOCK_STREAM, 0), ALLOWED);
            assert_eq!(socket(family, libc::SOCK_DGRAM, 0), ALLOWED);
            assert_eq!(socket(family, libc::SOCK_RAW, 0), errno(libc::EPERM));
        }
        assert_eq!(socket(libc::AF_NETLINK, libc::SOCK_RAW, 0), ALLOWED);
        let netfilter = of(libc::NETLINK_NETFILTER);
        let denied = socket(libc::AF_NETLINK, libc::SOCK_RAW, netfilter);
        assert_eq!(denied, errno(libc::EPERM));
        for family in [
            libc::AF_ALG,
            libc::AF_PACKET,
            libc::AF_VSOCK,
            libc::AF_BLUETOOTH,
        ] {
            assert_eq!(socket(family, libc::SOCK_STREAM, 0), errno(libc::EPERM));
        }
    }

    #[test]
    fn nothing_is_typed_into_the_terminal() {
        // The kernel looks at the lower half of the number only, and so must the filter.
        for command in [TIOCSTI, TIOCLINUX, TIOCSTI | 1 << 32] {
            assert_eq!(ask(SYS_ioctl, &[0, command]), errno(libc::EPERM));
        }
        assert_eq!(ask(SYS_ioctl, &[0, libc::TIOCGWINSZ]), ALLOWED);
    }
}
