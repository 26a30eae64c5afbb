//! Landlock: which files a process may reach, whatever its user may.
//!
//! Rules name what is allowed; everything else of what Landlock knows is refused: also to signal processes outside, and
//! to connect to abstract sockets that processes outside have made. Rights that came after the ABI that this was tested
//! with are left alone.

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus,
    PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, make_bitflags,
};

use crate::{Gap, Mode, Roots, Standing, system};

/// All that is asked for.
const WANTED: ABI = ABI::V7;
/// What may be done with a folder and what is in it, in [`Mode::Read`].
const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});
/// The same, in [`Mode::ReadWrite`]. Links may be made, since bundles may make them: whoever opens decides whether to
/// follow. Devices, sockets and pipes are no data.
const WRITE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    ReadFile | ReadDir | WriteFile | Truncate | RemoveDir | RemoveFile | MakeDir | MakeReg | MakeSym | Refer
});
/// What of that a single file has.
const OF_A_FILE: BitFlags<AccessFs> =
    make_bitflags!(AccessFs::{Execute | ReadFile | WriteFile | Truncate});

const fn rights(mode: Mode) -> BitFlags<AccessFs> {
    match mode {
        Mode::Read => READ,
        Mode::ReadWrite => WRITE,
    }
}

/// Leaves the host the roots and what it needs of the system.
pub(crate) fn host(roots: &Roots) -> (Standing, Vec<Gap>) {
    let mut gaps = Vec::new();
    let standing = moving_is_known().and_then(|()| {
        let mut rules = wanted()?.create()?;
        for path in system::read() {
            rules = allow(rules, &path, READ)?.0;
        }
        for path in system::run() {
            rules = allow(rules, &path, AccessFs::Execute | AccessFs::ReadFile)?.0;
        }
        let null = AccessFs::ReadFile | AccessFs::WriteFile;
        rules = allow(rules, Path::new("/dev/null"), null)?.0;
        for (path, mode) in roots.iter() {
            let (more, found) = allow(rules, path, rights(mode))?;
            rules = more;
            if found || roots.covers(path, mode) {
                continue;
            }
            let mut opened = Roots::stand_in(path);
            if let Some(parent) = &opened {
                let (more, found) = allow(rules, parent, rights(mode))?;
                rules = more;
                opened = opened.filter(|_| found);
            }
            gaps.push(Gap {
                path: path.to_owned(),
                opened,
            });
        }
        rules.restrict_self()
    });
    (told(standing), gaps)
}

/// Leaves no file and no connection at all.
pub(crate) fn nothing() -> Standing {
    told((|| {
        let network = wanted()?.handle_access(AccessNet::from_all(WANTED))?;
        network.create()?.restrict_self()
    })())
}

fn wanted() -> Result<Ruleset, RulesetError> {
    Ruleset::default()
        .handle_access(AccessFs::from_all(WANTED))?
        .scope(Scope::from_all(WANTED))
}

/// Landlock's first version forbids to move any file from one folder to another, which tasks do: there, none is better.
fn moving_is_known() -> Result<(), RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::Refer)
        .map(drop)
}

/// Adds a rule for what is there now, and tells whether it is.
fn allow(
    rules: RulesetCreated,
    path: &Path,
    rights: impl Into<BitFlags<AccessFs>>,
) -> Result<(RulesetCreated, bool), RulesetError> {
    let rights = rights.into();
    let Ok(opened) = PathFd::new(path) else {
        return Ok((rules, false));
    };
    let rights = if path.is_dir() {
        rights
    } else {
        rights & OF_A_FILE
    };
    Ok((rules.add_rule(PathBeneath::new(opened, rights))?, true))
}

/// What became of it, in words.
fn told(outcome: Result<RestrictionStatus, RulesetError>) -> Standing {
    let status = match outcome {
        Ok(status) => status,
        Err(error) => return missing(&error),
    };
    match (status.ruleset, status.landlock) {
        (RulesetStatus::FullyEnforced, _) => Standing::Whole,
        (RulesetStatus::PartiallyEnforced, LandlockStatus::Available { effective_abi, .. }) => {
            Standing::Partial(lacks(effective_abi))
        }
        (_, status) => Standing::Missing(unavailable(&status)),
    }
}

/// What a kernel with this ABI does not refuse.
fn lacks(abi: ABI) -> String {
    let parts = [
        (ABI::V3, "truncating files"),
        (ABI::V5, "commands to devices"),
        (ABI::V6, "signals and abstract sockets to processes outside"),
    ];
    let parts: Vec<&str> = parts
        .iter()
        .filter(|(since, _)| abi < *since)
        .map(|(_, part)| *part)
        .collect();
    format!(
        "this kernel has ABI {abi}, which does not restrict {}; ABI 6 came with Linux 6.12",
        parts.join(", ")
    )
}

fn unavailable(status: &LandlockStatus) -> String {
    match status {
        LandlockStatus::NotEnabled => {
            "this kernel was started without it; add `landlock` to the kernel's parameter `lsm=`"
                .to_owned()
        }
        LandlockStatus::NotImplemented => {
            "this kernel was built without it, or a container's profile takes it away".to_owned()
        }
        LandlockStatus::Available { effective_abi, .. } => format!(
            "this kernel has ABI {effective_abi}, with which no file can be moved to another folder; ABI 2 came with Linux 5.19"
        ),
    }
}

/// Why there are no rules: the kernel does not have them, or it refused.
fn missing(error: &RulesetError) -> Standing {
    if moving_is_known().is_ok() {
        return Standing::Missing(format!("the system refuses: {error}"));
    }
    // On such a kernel this restricts nothing, and tells which it is.
    let asked = Ruleset::default()
        .handle_access(AccessFs::Refer)
        .and_then(Ruleset::create)
        .and_then(RulesetCreated::restrict_self);
    Standing::Missing(match asked {
        Ok(status) => unavailable(&status.landlock),
        Err(error) => error.to_string(),
    })
}
