//! Granted directories that lie inside of each other.
//!
//! Whoever may write in a directory can rename what is in it, and put a link there: the path of a directory inside
//! of it leads where they want at the next try, out of all that was granted. So one may lie inside of another only
//! where both belong to one team and neither may be written. The same directory granted twice is no such case: its
//! own path is in nobody's hands.

use std::path::{Component, Path, PathBuf};

use airlock_grant::{DirectoryGrant, Mode};
use airlock_model::id::TeamName;

/// A granted directory.
pub(crate) struct Place {
    team: Option<TeamName>,
    mode: Mode,
    /// As it is written, with relative paths taken from the file's folder.
    written: PathBuf,
    /// Where that leads today, and the way there as it is written: whoever may write on it, a link that stands
    /// there can be replaced too.
    ways: [PathBuf; 2],
}

impl Place {
    /// Where a team's grant leads. It asks the file system.
    pub(crate) fn new(team: Option<&TeamName>, directory: &DirectoryGrant) -> Self {
        let host = &directory.host;
        Self {
            team: team.cloned(),
            mode: directory.mode,
            written: host.clone(),
            ways: [real(host), plain(PathBuf::new(), host)],
        }
    }

    /// Whose it is.
    pub(crate) const fn team(&self) -> Option<&TeamName> {
        self.team.as_ref()
    }

    /// Where it lies, as it is written.
    pub(crate) fn written(&self) -> &Path {
        &self.written
    }

    /// Whether one of the two lies inside of the other and must not.
    pub(crate) fn conflicts(&self, other: &Self) -> bool {
        let inside = |a: &Path, b: &Path| a != b && a.starts_with(b);
        let mut pairs = self
            .ways
            .iter()
            .flat_map(|way| other.ways.iter().map(move |others| (way, others)));
        pairs.any(|(a, b)| inside(a, b) || inside(b, a))
            && (self.team != other.team || [self.mode, other.mode] != [Mode::Read; 2])
    }

    /// Whether it lies in this folder, or this folder in it.
    pub(crate) fn meets(&self, folder: &Path) -> bool {
        let folder = real(folder);
        let mut ways = self.ways.iter();
        ways.any(|way| way.starts_with(&folder) || folder.starts_with(way))
    }
}

/// Where a path leads, as far as it is there; the rest as it is written.
fn real(path: &Path) -> PathBuf {
    let there = path
        .ancestors()
        .find_map(|ancestor| Some((std::fs::canonicalize(ancestor).ok()?, ancestor)));
    match there {
        Some((real, ancestor)) => plain(real, path.strip_prefix(ancestor).unwrap_or(path)),
        None => plain(PathBuf::new(), path),
    }
}

/// A path below another, without `.` and `..`.
fn plain(mut from: PathBuf, rest: &Path) -> PathBuf {
    for part in rest.components() {
        match part {
            Component::ParentDir => {
                from.pop();
            }
            Component::CurDir => {}
            part => from.push(part),
        }
    }
    from
}
