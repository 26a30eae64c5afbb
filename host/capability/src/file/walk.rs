//! The way through a directory along a pattern, one part of it at a time.
//!
//! Whatever is opened or asked after is named from the directory itself, so that a link may lead anywhere in it and
//! never out: one that does is as if it were not there.

use std::io;

use airlock_model::{
    port::FoundFile,
    time::Timestamp,
    trigger::{FilePattern, PatternPart},
};
use cap_std::fs::{Dir, Metadata, MetadataExt};
use rustix::io::Errno;

/// How much one look may see.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Entries of directories, over all of them.
    pub(super) entries: usize,
    /// Files that match.
    pub(super) files: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            entries: 10_000,
            files: 1_000,
        }
    }
}

/// Why a walk did not come to its end.
#[derive(Debug)]
pub(super) enum WalkError {
    /// More than so many of these.
    TooMany(usize, &'static str),
    /// This path cannot be looked at.
    Io(String, io::Error),
}

/// What was found, by path, and whether that is all.
pub(super) fn walk(
    directory: &Dir,
    pattern: &FilePattern,
    bounds: Bounds,
) -> (Vec<FoundFile>, Result<(), WalkError>) {
    let mut walk = Walk {
        directory,
        bounds,
        entries: 0,
        found: Vec::new(),
    };
    let ended = walk.along("", pattern.parts());
    let mut found = walk.found;
    found.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    (found, ended)
}

struct Walk<'a> {
    directory: &'a Dir,
    bounds: Bounds,
    /// Those that were looked at.
    entries: usize,
    found: Vec<FoundFile>,
}

impl Walk<'_> {
    /// What the parts name below this path.
    fn along(&mut self, below: &str, parts: &[PatternPart]) -> Result<(), WalkError> {
        let Some((part, rest)) = parts.split_first() else {
            return Ok(());
        };
        match part {
            PatternPart::Name(name) => {
                self.count()?;
                self.step(&join(below, name), rest, true)
            }
            PatternPart::Like(_) => {
                for name in self.names(below, part)? {
                    self.step(&join(below, &name), rest, false)?;
                }
                Ok(())
            }
        }
    }

    /// `named`: the pattern has it by its own name, so that it is meant.
    fn step(&mut self, path: &str, rest: &[PatternPart], named: bool) -> Result<(), WalkError> {
        let about = match self.directory.metadata(path) {
            Ok(about) => about,
            Err(error) if is_absent(&error, named) => return Ok(()),
            Err(error) => return Err(WalkError::Io(path.to_owned(), error)),
        };
        match rest {
            [] if about.is_file() => self.find(path, &about),
            [_, ..] if about.is_dir() => match self.along(path, rest) {
                Err(WalkError::Io(at, error)) if at == path && is_absent(&error, named) => Ok(()),
                ended => ended,
            },
            _ => Ok(()),
        }
    }

    /// Names in a directory that look like this. A name that is no text is nobody's.
    fn names(&mut self, below: &str, part: &PatternPart) -> Result<Vec<String>, WalkError> {
        let failed = |error| WalkError::Io(below.to_owned(), error);
        let opened;
        let directory = match below {
            "" => self.directory,
            below => {
                opened = self.directory.open_dir(below).map_err(failed)?;
                &opened
            }
        };
        let mut names = Vec::new();
        for entry in directory.entries().map_err(failed)? {
            self.count()?;
            let name = entry.map_err(failed)?.file_name();
            if let Some(name) = name.to_str().filter(|name| part.matches(name)) {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    fn count(&mut self) -> Result<(), WalkError> {
        self.entries += 1;
        match self.entries > self.bounds.entries {
            true => Err(WalkError::TooMany(
                self.bounds.entries,
                "entries are to be looked at",
            )),
            false => Ok(()),
        }
    }

    fn find(&mut self, path: &str, about: &Metadata) -> Result<(), WalkError> {
        if self.found.len() >= self.bounds.files {
            return Err(WalkError::TooMany(self.bounds.files, "files match"));
        }
        self.found.push(FoundFile {
            path: path.to_owned(),
            bytes: about.len(),
            modified: time(about.mtime(), about.mtime_nsec()),
            changed: time(about.ctime(), about.ctime_nsec()),
        });
        Ok(())
    }
}

fn join(below: &str, name: &str) -> String {
    match below {
        "" => name.to_owned(),
        below => format!("{below}/{name}"),
    }
}

/// Whether it is as if there were nothing: it is gone, or a link that leads out or nowhere, or what was only found
/// on the way is closed to us.
fn is_absent(error: &io::Error, named: bool) -> bool {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename => {
            true
        }
        // The refusal to leave the directory is not the operating system's, and so has no number.
        io::ErrorKind::PermissionDenied => error.raw_os_error().is_none() || !named,
        _ => error.raw_os_error() == Some(Errno::LOOP.raw_os_error()),
    }
}

/// A file's time can be set to what no calendar shows: then it is the nearest that one does.
fn time(seconds: i64, nanos: i64) -> Timestamp {
    let micros = seconds
        .saturating_mul(1_000_000)
        .saturating_add(nanos / 1000);
    Timestamp::nearest(micros)
}
