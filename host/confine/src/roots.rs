//! The folders that the configuration names, and how far a process may go in each.
//!
//! Landlock knows files, not paths: what is to be reachable has to be there when the wall is built. A place that is
//! created later is reachable when it lies below a root that is there, and else through its parent folder, which is
//! opened for it: that is a gap, since everything beside it lies open too, and it is told of. A parent that is the
//! root of the file system or stands directly in it is never opened so.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

/// How far a process may go below a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Files may be read and folders listed.
    Read,
    /// Files and folders may also be made, written, renamed and removed. Devices, sockets and pipes may not be made.
    ReadWrite,
}

/// The folders and files that a host needs. Of a place that is named twice, the wider mode counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roots {
    places: BTreeMap<PathBuf, Mode>,
}

/// A place that was not there when the wall was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The place.
    pub path: PathBuf,
    /// What was opened instead, so that it can be reached once it is there; none where that would open too much.
    pub opened: Option<PathBuf>,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.opened {
            Some(opened) => write!(
                f,
                "`{path}` is not there, so all of `{}` lies open to this process; create it, or name a folder around it in `roots` of [security]",
                opened.display()
            ),
            None => write!(
                f,
                "`{path}` is not there or may not be opened, and stays out of reach until the next start; create it and start again, or name a folder around it in `roots` of [security]"
            ),
        }
    }
}

impl Roots {
    /// Names a folder, or a file.
    pub fn add(&mut self, path: impl Into<PathBuf>, mode: Mode) {
        let known = self.places.entry(path.into()).or_insert(mode);
        *known = mode.max(*known);
    }

    /// All that were named.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, Mode)> {
        self.places
            .iter()
            .map(|(path, mode)| (path.as_path(), *mode))
    }

    /// Whether a place that is not there lies below another root that is, with rights enough.
    pub(crate) fn covers(&self, path: &Path, wanted: Mode) -> bool {
        let Some(real) = path.parent().and_then(|parent| parent.canonicalize().ok()) else {
            return self.iter().any(|(root, mode)| {
                root != path && mode >= wanted && path.starts_with(root) && root.exists()
            });
        };
        self.iter().any(|(root, mode)| {
            mode >= wanted && root.canonicalize().is_ok_and(|root| real.starts_with(root))
        })
    }

    /// What is opened for a place that is not there: its parent, where that is deep enough not to be the system's.
    pub(crate) fn stand_in(path: &Path) -> Option<PathBuf> {
        let parent = path.parent()?.canonicalize().ok()?;
        (parent.is_dir() && parent.components().count() > 2).then_some(parent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_place_that_is_named_twice_the_wider_mode_counts() {
        let mut roots = Roots::default();
        roots.add("/a", Mode::ReadWrite);
        roots.add("/a", Mode::Read);
        roots.add("/b", Mode::Read);
        let all: Vec<_> = roots.iter().collect();
        assert_eq!(
            all,
            [
                (Path::new("/a"), Mode::ReadWrite),
                (Path::new("/b"), Mode::Read)
            ]
        );
    }

    #[test]
    fn what_is_not_there_yet_is_covered_by_a_root_around_it_or_stood_in_for_by_its_parent() {
        let folder = tempfile::tempdir().unwrap();
        let (there, later) = (folder.path(), folder.path().join("later"));
        let mut roots = Roots::default();
        roots.add(&later, Mode::ReadWrite);
        assert!(!roots.covers(&later, Mode::ReadWrite));
        roots.add(there, Mode::Read);
        assert!(roots.covers(&later, Mode::Read));
        assert!(roots.covers(&later.join("deeper/still"), Mode::Read));
        assert!(!roots.covers(&later, Mode::ReadWrite));
        assert_eq!(Roots::stand_in(&later), there.canonicalize().ok());
        assert_eq!(Roots::stand_in(&later.join("deeper")), None);
        assert_eq!(Roots::stand_in(Path::new("/not-there")), None);
        assert_eq!(Roots::stand_in(Path::new("/usr/not-there")), None);
    }
}
