//! Compiling, in a process of its own.
//!
//! How long the compiler takes, and how much memory, is up to whoever wrote the component; so it runs in a
//! child that limits and confines itself before it looks at the first byte, and that is killed when it takes too
//! long or does what no compiler does. The child is this same program, started again with a hidden argument, with
//! an empty environment and nothing open but its three streams. It answers machine code, which only a child of
//! ours may do: compiled code from elsewhere is never accepted.

use std::{
    ffi::OsString,
    io::{self, Read, Write},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitCode, ExitStatus, Stdio},
    time::Duration,
};

use airlock_confine::{Required, TooSoft, confine_compiler};
use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::Command,
};
use wasmtime::Engine;

use crate::{config, limits};

/// The argument that makes the program compile.
pub const COMPILE_ARGUMENT: &str = "compile-component";
/// What is kept of the child's complaint, in bytes.
const COMPLAINT_BYTES: u64 = 16 << 10;
/// How much less urgent the child is than its parent.
const NICENESS: i32 = 10;

/// How much the compilation of one component may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileLimits {
    /// Address space of the child, in bytes.
    pub memory: u64,
    /// CPU time, in whole seconds, over all its threads.
    pub cpu_time: Duration,
    /// Wall time.
    pub wall_time: Duration,
    /// The machine code, in bytes.
    pub code_bytes: u64,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self {
            memory: 3 << 30,
            cpu_time: Duration::from_secs(60),
            wall_time: Duration::from_secs(300),
            code_bytes: 512 << 20,
        }
    }
}

/// Why there is no machine code.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The compiler does not want it: it is invalid, or uses what is switched off.
    #[error("AL-0530: the component cannot be compiled: {0}")]
    Rejected(String),
    /// It took too much.
    #[error(
        "AL-0531: compiling the component took more than {0}; make it smaller, or raise the limit in `[compile]`"
    )]
    Limit(String),
    /// The child could not be started, or ended in a way that says nothing about the component.
    #[error("AL-0532: the compiler could not run: {0}")]
    Unavailable(String),
    /// It did what no compiler does.
    #[error(
        "AL-0543: the compiler made a system call that it never needs, and was ended for it; the component may have been made to attack the compiler, so find out who made it"
    )]
    Forbidden,
}

impl CompileError {
    /// Whether the same bytes would fail again.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        !matches!(self, Self::Unavailable(_))
    }
}

/// Starts children that compile.
#[derive(Debug, Clone)]
pub struct Compiler {
    program: PathBuf,
    arguments: Vec<OsString>,
    limits: CompileLimits,
    /// How far a child has to have confined itself; none where it need not try.
    confinement: Option<Required>,
}

impl Compiler {
    /// This program, which must call [`compile_child_main`] when its first argument is
    /// [`COMPILE_ARGUMENT`].
    ///
    /// # Errors
    /// When the program cannot be found.
    pub fn this_program(limits: CompileLimits) -> io::Result<Self> {
        // The running program itself, even if its file was replaced by a newer one since.
        let own = Path::new("/proc/self/exe");
        let program = if own.exists() {
            own.to_owned()
        } else {
            std::env::current_exe()?
        };
        Ok(Self::new(program, [COMPILE_ARGUMENT], limits))
    }

    /// Another program that does nothing but call [`compile_child_main`].
    pub fn new(
        program: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
        limits: CompileLimits,
    ) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            limits,
            confinement: Some(Required::None),
        }
    }

    /// How far a child has to confine itself before it looks at a component: as far as the kernel allows, if nothing
    /// else is said, and not at all with none.
    #[must_use]
    pub const fn confined(mut self, confinement: Option<Required>) -> Self {
        self.confinement = confinement;
        self
    }

    /// Compiles a component.
    pub(crate) async fn compile(&self, wasm: &[u8]) -> Result<Vec<u8>, CompileError> {
        let unavailable = |e: io::Error| CompileError::Unavailable(e.to_string());
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(unavailable)?;
        let (Some(mut input), Some(output), Some(complaint)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(CompileError::Unavailable("no pipes".to_owned()));
        };
        let header = Header::of(&self.limits, self.confinement).to_bytes();
        let (mut code, mut said) = (Vec::new(), Vec::new());
        let talk = async {
            let feed = async {
                // A child that ended early has said why elsewhere.
                let _ = input.write_all(&header).await;
                let _ = input.write_all(wasm).await;
                drop(input);
            };
            let most = self.limits.code_bytes.saturating_add(1);
            let ((), read, heard) = tokio::join!(
                feed,
                read_at_most(output, most, &mut code),
                read_at_most(complaint, COMPLAINT_BYTES, &mut said)
            );
            read.and(heard)?;
            child.wait().await
        };
        let status = tokio::time::timeout(self.limits.wall_time, talk)
            .await
            .map_err(|_| CompileError::Limit(format!("{} s", self.limits.wall_time.as_secs_f64())))?
            .map_err(unavailable)?;
        if u64::try_from(code.len()).unwrap_or(u64::MAX) > self.limits.code_bytes {
            let most = usize::try_from(self.limits.code_bytes).unwrap_or(usize::MAX);
            return Err(CompileError::Limit(format!(
                "{} of machine code",
                limits::bytes(most)
            )));
        }
        if status.success() {
            return Ok(code);
        }
        Err(self.blame(status, String::from_utf8_lossy(&said).trim()))
    }

    /// What a child meant that ended without success.
    fn blame(&self, status: ExitStatus, said: &str) -> CompileError {
        // What the standard library says where memory, or room for a thread's stack, runs out.
        let out_of_memory = [
            "memory allocation of",
            "out of memory",
            "Cannot allocate memory",
            "Resource temporarily unavailable",
        ]
        .iter()
        .any(|words| said.contains(words));
        let is = |signal: Signal| status.signal() == Some(signal.as_raw());
        if is(Signal::SYS) {
            return CompileError::Forbidden;
        }
        if is(Signal::XCPU) || is(Signal::KILL) {
            return CompileError::Limit(format!(
                "{} s of CPU time",
                self.limits.cpu_time.as_secs_f64()
            ));
        }
        if out_of_memory {
            let most = usize::try_from(self.limits.memory).unwrap_or(usize::MAX);
            return CompileError::Limit(format!("{} of memory", limits::bytes(most)));
        }
        if status.code() == Some(i32::from(REJECTED)) {
            return CompileError::Rejected(said.to_owned());
        }
        CompileError::Unavailable(format!("{status}: {said}"))
    }
}

/// Reads a stream and closes it, so that whoever would write more cannot.
async fn read_at_most(
    stream: impl AsyncRead + Unpin,
    most: u64,
    into: &mut Vec<u8>,
) -> io::Result<usize> {
    stream.take(most).read_to_end(into).await
}

/// The child's exit code when the compiler does not want the component.
const REJECTED: u8 = 3;

/// What the child reads before the component: its limits.
struct Header {
    memory: u64,
    cpu_seconds: u64,
    code_bytes: u64,
    /// The place in [`CONFINEMENTS`].
    confinement: u64,
}

/// What a header can ask for; whatever else it says is taken for the last, the strictest.
const CONFINEMENTS: [Option<Required>; 4] = [
    None,
    Some(Required::None),
    Some(Required::Partial),
    Some(Required::Full),
];

impl Header {
    fn of(limits: &CompileLimits, confinement: Option<Required>) -> Self {
        let place = CONFINEMENTS.iter().position(|known| *known == confinement);
        Self {
            memory: limits.memory,
            cpu_seconds: limits.cpu_time.as_secs().max(1),
            code_bytes: limits.code_bytes,
            confinement: place
                .and_then(|place| u64::try_from(place).ok())
                .unwrap_or(u64::MAX),
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let fields = [
            self.memory,
            self.cpu_seconds,
            self.code_bytes,
            self.confinement,
        ];
        fields
            .iter()
            .flat_map(|field| field.to_le_bytes())
            .collect()
    }

    fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut field = || {
            let mut bytes = [0; 8];
            from.read_exact(&mut bytes)
                .map(|()| u64::from_le_bytes(bytes))
        };
        Ok(Self {
            memory: field()?,
            cpu_seconds: field()?,
            code_bytes: field()?,
            confinement: field()?,
        })
    }

    /// Binds this process to the limits.
    fn apply(&self) -> io::Result<()> {
        let hard = |most| Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        setrlimit(Resource::Core, hard(0))?;
        setrlimit(Resource::Fsize, hard(self.code_bytes))?;
        setrlimit(Resource::As, hard(self.memory))?;
        // The soft limit ends the process with a signal of its own; the hard one is a second later.
        setrlimit(
            Resource::Cpu,
            Rlimit {
                current: Some(self.cpu_seconds),
                maximum: Some(self.cpu_seconds + 1),
            },
        )?;
        Ok(())
    }

    /// Takes away from this process whatever a compiler does not need. It has to be the only thread.
    fn confine(&self) -> Result<(), ChildError> {
        let known = usize::try_from(self.confinement).ok();
        let wanted = known.and_then(|place| CONFINEMENTS.get(place).copied());
        match wanted.unwrap_or(Some(Required::Full)) {
            Some(required) => Ok(confine_compiler().require(required)?),
            None => Ok(()),
        }
    }
}

/// What the program does when its first argument is [`COMPILE_ARGUMENT`]: it reads limits and a component
/// from standard input, and writes machine code to standard output.
#[must_use]
pub fn compile_child_main() -> ExitCode {
    match compile_streams() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ (ChildError::Io(_) | ChildError::Confinement(_))) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
        Err(ChildError::Rejected(e)) => {
            eprintln!("{e:#}");
            ExitCode::from(REJECTED)
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum ChildError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Confinement(#[from] TooSoft),
    #[error("{0}")]
    Rejected(wasmtime::Error),
}

fn compile_streams() -> Result<(), ChildError> {
    let mut input = io::stdin().lock();
    let header = Header::read(&mut input)?;
    header.apply()?;
    // Being less urgent is a courtesy; where it is refused, the limits still hold.
    let _ = rustix::process::nice(NICENESS);
    header.confine()?;
    let mut wasm = Vec::new();
    input.read_to_end(&mut wasm)?;
    let code = Engine::new(&config::compiler())
        .and_then(|engine| engine.precompile_component(&wasm))
        .map_err(ChildError::Rejected)?;
    let mut output = io::stdout().lock();
    output.write_all(&code)?;
    output.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_child_that_is_ended_for_a_forbidden_call_is_told_of_as_such_and_not_tried_again() {
        let ends = ["-c", "kill -s SYS $$"];
        let compiler = Compiler::new("/bin/sh", ends, CompileLimits::default());
        let error = compiler.compile(b"").await.unwrap_err();
        assert!(matches!(error, CompileError::Forbidden), "{error}");
        assert!(error.is_final());
    }

    #[test]
    fn what_a_header_does_not_name_is_the_strictest() {
        for (confinement, place) in CONFINEMENTS.into_iter().zip(0..) {
            let header = Header::of(&CompileLimits::default(), confinement);
            assert_eq!(header.confinement, place);
            let read = Header::read(&mut header.to_bytes().as_slice()).unwrap();
            assert_eq!(read.confinement, place);
        }
        let unknown = usize::try_from(u64::MAX).ok();
        assert_eq!(unknown.and_then(|place| CONFINEMENTS.get(place)), None);
    }
}
