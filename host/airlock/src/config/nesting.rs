//! Granted directories of the configuration that lie inside of each other, told with both their lines.

use airlock_grant::Grant;
use airlock_model::id::TeamName;

use super::{document::Origin, mistake::Problem, reader::Reader};
use crate::nesting::Place;

/// All directories that were granted so far.
#[derive(Default)]
pub(super) struct Places(Vec<(Place, Origin)>);

impl Places {
    /// Notes each directory of a grant that lies inside of one before it, or around it.
    pub(super) fn check(&mut self, team: Option<&TeamName>, grant: &Grant, mut reader: Reader<'_>) {
        for (directory, entry) in grant.directory.iter().zip(reader.list("directory")) {
            let place = Place::new(team, directory);
            let origin = entry.origin().clone();
            if let Some((other, first)) = self.0.iter().find(|(other, _)| place.conflicts(other)) {
                entry.mistake("host", problem(&place, other, first));
            }
            self.0.push((place, origin));
        }
    }
}

fn problem(place: &Place, other: &Place, first: &Origin) -> Problem {
    let whose = match other.team() {
        Some(team) if place.team() != other.team() => format!(" of team `{team}`"),
        _ => String::new(),
    };
    Problem::Nested {
        here: place.written().display().to_string(),
        there: other.written().display().to_string(),
        whose,
        first: first.clone(),
    }
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
