//! A process that restricts itself and then tries something, for the tests of this room: each attempt is real, and the
//! process that makes it is thrown away.
//!
//! `airlock-confined host|compiler [read=PATH|write=PATH]... -- ATTEMPT [PATH]` prints the report of what holds, then
//! `done` or the error of the attempt. `without-landlock` before it takes Landlock away first, as some containers do.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _},
    net::{TcpListener, UdpSocket},
    os::unix::net::UnixStream,
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use airlock_confine::{Mode, Roots, confine_compiler, confine_host};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if_eq("without-landlock").is_some() {
        // The same program once more, in which the kernel's calls for Landlock do not exist.
        return match without_landlock(arguments.collect()) {
            Ok(code) => code,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    let who = arguments.next().unwrap_or_default();
    let mut roots = Roots::default();
    for argument in arguments.by_ref().take_while(|argument| argument != "--") {
        match argument.split_once('=') {
            Some(("read", path)) => roots.add(path, Mode::Read),
            Some(("write", path)) => roots.add(path, Mode::ReadWrite),
            _ => return ExitCode::FAILURE,
        }
    }
    let report = match who.as_str() {
        "host" => confine_host(&roots),
        "compiler" => confine_compiler(),
        _ => return ExitCode::FAILURE,
    };
    println!("{}", report.holding());
    report.lacking().for_each(|line| println!("{line}"));
    report.gaps().iter().for_each(|gap| println!("{gap}"));
    let what = arguments.next().unwrap_or_default();
    let path = arguments.next().unwrap_or_default();
    match attempt(&what, Path::new(&path)) {
        Ok(()) => println!("done"),
        Err(error) => println!("{error}"),
    }
    ExitCode::SUCCESS
}

fn attempt(what: &str, path: &Path) -> io::Result<()> {
    match what {
        "nothing" => Ok(()),
        "read" => {
            File::open(path).and_then(|mut file| io::copy(&mut file, &mut io::sink()).map(drop))
        }
        "list" => path.read_dir().map(drop),
        "write" => OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .map(drop),
        "move" => std::fs::create_dir(path.join("there"))
            .and_then(|()| std::fs::write(path.join("file"), "moved"))
            .and_then(|()| std::fs::rename(path.join("file"), path.join("there/file"))),
        "pipe" => rustix::fs::mknodat(
            rustix::fs::CWD,
            path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .map_err(Into::into),
        "run" => Command::new(path).arg("--").status().map(drop),
        "run-self" => {
            let code = Command::new("/proc/self/exe")
                .args(["compiler", "--", "nothing"])
                .status()?;
            code.success()
                .then_some(())
                .ok_or_else(|| io::Error::other(code.to_string()))
        }
        "run-self-replaced" => std::fs::remove_file(path)
            .and_then(|()| std::fs::write(path, "another program"))
            .and_then(|()| attempt("run-self", path)),
        "end-child" => {
            let mut child = Command::new("/proc/self/exe")
                .args(["compiler", "--", "wait"])
                .stdout(Stdio::piped())
                .spawn()?;
            // It is confined when it says so.
            let mut said = [0];
            let output = child.stdout.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
            output.read_exact(&mut said)?;
            child.kill()?;
            child.wait().map(drop)
        }
        "wait" => loop {
            std::thread::park();
        },
        "chroot" => rustix::process::chroot(path).map_err(Into::into),
        "become-nobody" => {
            rustix::thread::set_thread_uid(rustix::fs::Uid::from_raw(65534)).map_err(Into::into)
        }
        "signal" => {
            let parent = rustix::process::getppid().ok_or(io::ErrorKind::NotFound)?;
            rustix::process::test_kill_process(parent).map_err(Into::into)
        }
        "listen" => TcpListener::bind("127.0.0.1:0").map(drop),
        "connect" => UnixStream::connect(path).map(drop),
        "socket" => UdpSocket::bind("127.0.0.1:0").map(drop),
        "look-up" => std::net::ToSocketAddrs::to_socket_addrs("localhost:80").map(drop),
        "threads" => {
            let threads: Vec<_> = (0..16)
                .map(|i| std::thread::spawn(move || vec![i; 1 << 20].len()))
                .collect();
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().map(drop))
                .map_err(|_| io::Error::other("a thread"))
        }
        "fork" => Command::new("/proc/self/exe").spawn().map(drop),
        #[expect(clippy::panic, reason = "what a panic says must be heard")]
        "panic" => panic!("a panic speaks"),
        "abort" => std::process::abort(),
        _ => Err(io::Error::other("nobody knows this attempt")),
    }
}

/// Starts this program again under a filter that makes Landlock's calls unknown.
#[cfg(target_os = "linux")]
fn without_landlock(arguments: Vec<String>) -> io::Result<ExitCode> {
    use seccompiler::{SeccompAction, SeccompFilter, apply_filter};
    let error = |error: String| io::Error::other(error);
    let architecture = std::env::consts::ARCH.try_into();
    let filter = SeccompFilter::new(
        [(libc::SYS_landlock_create_ruleset, Vec::new())].into(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS.unsigned_abs()),
        architecture.map_err(|e: seccompiler::BackendError| error(e.to_string()))?,
    );
    let program: seccompiler::BpfProgram = filter
        .and_then(TryInto::try_into)
        .map_err(|e| error(e.to_string()))?;
    apply_filter(&program).map_err(|e| error(e.to_string()))?;
    let status = Command::new("/proc/self/exe").args(arguments).status()?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[cfg(not(target_os = "linux"))]
fn without_landlock(_: Vec<String>) -> io::Result<ExitCode> {
    Err(io::ErrorKind::Unsupported.into())
}
