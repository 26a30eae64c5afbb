//! Granted directories that lie inside of each other.
//!
//! Whoever may write in a directory can rename what is in it, and put a link there: the path of a directory inside
//! of it leads where they want at the next try, out of all that was granted. So one may lie inside of another only
//! where both belong to one team and neither may be written. The same directory granted twice is no such case: its
//! own path is in nobody's hands.

use std::path::{Component, Path, PathBuf};

use airlock_grant::{Grant, Mode};
use airlock_model::id::TeamName;

use super::{document::Origin, mistake::Problem, reader::Reader};

/// All directories that were granted so far.
#[derive(Default)]
pub(super) struct Places(Vec<Place>);

struct Place {
    team: Option<TeamName>,
    mode: Mode,
    /// As it is written, with relative paths taken from the file's folder.
    written: PathBuf,
    /// Where that leads today, and the way there as it is written: whoever may write on it, a link that stands
    /// there can be replaced too.
    ways: [PathBuf; 2],
    origin: Origin,
}

impl Places {
    /// Notes each directory of a grant that lies inside of one before it, or around it.
    pub(super) fn check(&mut self, team: Option<&TeamName>, grant: &Grant, mut reader: Reader<'_>) {
        for (directory, entry) in grant.directory.iter().zip(reader.list("directory")) {
            let place = Place {
                team: team.cloned(),
                mode: directory.mode,
                written: directory.host.clone(),
                ways: [
                    real(&directory.host),
                    plain(PathBuf::new(), &directory.host),
                ],
                origin: entry.origin().clone(),
            };
            if let Some(other) = self.0.iter().find(|other| place.conflicts(other)) {
                entry.mistake("host", place.problem(other));
            }
            self.0.push(place);
        }
    }
}

impl Place {
    fn conflicts(&self, other: &Self) -> bool {
        let inside = |a: &Path, b: &Path| a != b && a.starts_with(b);
        let mut pairs = self
            .ways
            .iter()
            .flat_map(|way| other.ways.iter().map(move |others| (way, others)));
        pairs.any(|(a, b)| inside(a, b) || inside(b, a))
            && (self.team != other.team || [self.mode, other.mode] != [Mode::Read; 2])
    }

    fn problem(&self, other: &Self) -> Problem {
        let whose = match &other.team {
            Some(team) if self.team != other.team => format!(" of team `{team}`"),
            _ => String::new(),
        };
        Problem::Nested {
            here: self.written.display().to_string(),
            there: other.written.display().to_string(),
            whose,
            first: other.origin.clone(),
        }
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

#[cfg(test)]
mod tests {
    use crate::config::tests::check;

    /// Two bundles, of these teams, that are granted these directories with these modes.
    fn granted(grants: [(&str, &str, &str); 2]) -> Vec<String> {
        let bundles = grants.map(|(team, host, mode)| {
            let name = if team == "a" {
                ""
            } else {
                "[[team]]\nname = \"b\"\n"
            };
            format!(
                "{name}[[team.bundle]]\nname = \"of-{mode}-{}\"\nsource = \"/\"\n\
                 [[team.bundle.grant.directory]]\npath = \"data\"\nhost = {host:?}\nmode = {mode:?}\n",
                host.len()
            )
        });
        check(&format!("[[team]]\nname = \"a\"\n{}", bundles.concat()))
    }

    #[test]
    fn granted_directories_inside_of_each_other_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("outer/inner")).unwrap();
        std::fs::create_dir(folder.path().join("beside")).unwrap();
        std::os::unix::fs::symlink("outer/inner", folder.path().join("link")).unwrap();
        let at = |path: &str| folder.path().join(path).display().to_string();
        std::os::unix::fs::symlink("../beside", folder.path().join("outer/away")).unwrap();
        let (outer, inner, link) = (at("outer"), at("outer/inner"), at("link"));
        let away = at("outer/away");
        let (later, beside) = (at("outer/inner/later"), at("outer-2"));
        let around = at("missing/../outer");
        for [one, other] in [
            [("a", &outer, "read"), ("b", &inner, "read")],
            [("a", &inner, "read-write"), ("b", &outer, "read-write")],
            [("a", &outer, "read-write"), ("b", &link, "read")],
            [("a", &outer, "read-write"), ("b", &away, "read")],
            [("a", &around, "read"), ("b", &later, "read")],
            [("a", &outer, "read"), ("a", &inner, "read-write")],
            [("a", &outer, "read-write"), ("a", &inner, "read-write")],
        ] {
            let mistakes =
                granted([one, other].map(|(team, host, mode)| (team, host.as_str(), mode)));
            let [mistake] = mistakes.as_slice() else {
                panic!("{one:?} {other:?}: {mistakes:?}")
            };
            assert!(
                mistake.starts_with("error[AL-0111]: airlock.toml:"),
                "{mistake}"
            );
            assert!(
                mistake.contains(one.1) && mistake.contains(other.1),
                "{mistake}"
            );
        }
        for [one, other] in [
            [("a", &outer, "read-write"), ("b", &beside, "read")],
            [("a", &outer, "read-write"), ("b", &outer, "read")],
            [("a", &outer, "read"), ("a", &inner, "read")],
        ] {
            let mistakes =
                granted([one, other].map(|(team, host, mode)| (team, host.as_str(), mode)));
            assert!(mistakes.is_empty(), "{one:?} {other:?}: {mistakes:?}");
        }
    }
}
