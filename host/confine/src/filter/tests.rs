//! A filter's answer without asking a kernel: its program is run as the kernel would run it. So tests can ask for calls
//! that nobody should make.

use seccompiler::BpfProgram;

/// The kernel lets the call through.
pub(crate) const ALLOWED: u32 = libc::SECCOMP_RET_ALLOW;
/// The kernel ends the process.
pub(crate) const KILLED: u32 = libc::SECCOMP_RET_KILL_PROCESS;

/// The kernel refuses the call with this error.
pub(crate) fn refused(error: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | error.unsigned_abs()
}

/// What a filter sees of a call.
pub(crate) struct Call([u8; 64]);

impl Call {
    /// A call of this architecture.
    pub(crate) fn new(number: libc::c_long, arguments: &[u64]) -> Self {
        let mut seen = [0; 64];
        let number = u32::try_from(number).unwrap();
        seen[..4].copy_from_slice(&number.to_ne_bytes());
        let architecture: u32 = match std::env::consts::ARCH {
            "x86_64" => 0xc000_003e,
            "aarch64" => 0xc000_00b7,
            "riscv64" => 0xc000_00f3,
            other => panic!("there is no filter for {other}"),
        };
        seen[4..8].copy_from_slice(&architecture.to_ne_bytes());
        for (at, argument) in arguments.iter().enumerate() {
            let at = 16 + 8 * at;
            seen[at..at + 8].copy_from_slice(&argument.to_ne_bytes());
        }
        Self(seen)
    }
}

/// The answer of several filters: the strictest counts.
pub(crate) fn answer(programs: &[BpfProgram], call: &Call) -> u32 {
    // As signed numbers, the kernel's answers are ordered from the strictest to the mildest.
    programs
        .iter()
        .map(|program| run(program, call))
        .min_by_key(|answer| (answer & libc::SECCOMP_RET_ACTION_FULL).cast_signed())
        .unwrap()
}

fn run(program: &BpfProgram, call: &Call) -> u32 {
    let (mut at, mut value) = (0, 0);
    loop {
        let step = &program[at];
        at += 1;
        let jump = |holds: bool| usize::from(if holds { step.jt } else { step.jf });
        match step.code {
            // ld [k]
            0x20 => {
                let from = usize::try_from(step.k).unwrap();
                value = u32::from_ne_bytes(call.0[from..from + 4].try_into().unwrap());
            }
            // ja, jeq, jgt, jge
            0x05 => at += usize::try_from(step.k).unwrap(),
            0x15 => at += jump(value == step.k),
            0x25 => at += jump(value > step.k),
            0x35 => at += jump(value >= step.k),
            // and
            0x54 => value &= step.k,
            // ret
            0x06 => return step.k,
            code => panic!("an instruction that no filter has: {code:#x}"),
        }
    }
}

#[test]
fn another_architecture_is_killed() {
    let program = super::program(
        super::always(&[libc::SYS_getpid]),
        super::SeccompAction::Errno(1),
        super::SeccompAction::Allow,
    );
    let program = program.unwrap();
    let mut call = Call::new(libc::SYS_getpid, &[]);
    assert_eq!(run(&program, &call), refused(1));
    call.0[4] ^= 1;
    assert_eq!(run(&program, &call), KILLED);
}
