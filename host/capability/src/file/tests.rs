//! Looks on a real disk.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::unix::fs::symlink,
    path::Path,
    time::SystemTime,
};

use airlock_grant::{BundleLabel, DirectoryGrant, Effective, Grant, Request};
use airlock_model::{
    audit::Denied,
    id::{BundleHash, BundleName, DagId, TaskId},
    port::Files as _,
};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const ASKS: &str = "[[request.directory]]\npath = \"in\"\nphases = [\"trigger\"]\n";
const HASH: BundleHash = BundleHash::from_bytes([0; 32]);

/// Each team's grant; a team that has none is nobody's.
#[derive(Default)]
struct Known(HashMap<TeamName, Arc<Effective>>);

#[async_trait]
impl Grants for Known {
    async fn effective(
        &self,
        team: &TeamName,
        _: &BundleName,
        _: &BundleHash,
    ) -> Result<Arc<Effective>, GrantsError> {
        match self.0.get(team) {
            Some(effective) => Ok(Arc::clone(effective)),
            None if team.as_str() == "slow" => {
                Err(GrantsError::Unavailable("the store is busy".into()))
            }
            None => Err(GrantsError::Never("there is no such version".into())),
        }
    }
}

fn label() -> BundleLabel {
    BundleLabel {
        name: BundleName::new("bundle").unwrap(),
        version: "1.0.0".into(),
        hash: HASH,
    }
}

/// A team that is granted this folder as `in`, perhaps for some tasks only.
fn granted(name: &str, folder: &Path, tasks: Option<&str>) -> (TeamName, Arc<Effective>) {
    let request = Request::from_bundle_toml(ASKS).unwrap();
    let mut grant = Grant::default();
    grant.directory.push(DirectoryGrant {
        path: request.directory[0].path.clone(),
        host: folder.to_owned(),
        mode: request.directory[0].mode,
        phases: None,
        dags: None,
        tasks: tasks.map(|id| vec![TaskId::new(id).unwrap()]),
    });
    let team = TeamName::new(name).unwrap();
    let effective = Effective::new(team.clone(), label(), &request, &grant);
    (team, Arc::new(effective))
}

/// Where nobody hears of denials.
struct Untold;

impl DenialLog for Untold {
    fn denied(&self, _: Denied) {}
}

fn files(known: impl IntoIterator<Item = (TeamName, Arc<Effective>)>) -> Files {
    let grants = Arc::new(Known(known.into_iter().collect()));
    Files::new(grants, Arc::new(Untold))
}

fn waiter(team: &str, task: Option<&str>) -> FileWaiter {
    FileWaiter {
        team: TeamName::new(team).unwrap(),
        bundle: label().name,
        hash: HASH,
        dag_id: DagId::new("dag").unwrap(),
        task_id: task.map(|id| TaskId::new(id).unwrap()),
    }
}

fn event(pattern: &str, change: FileChange) -> FileEvent {
    FileEvent {
        directory: "in".to_owned(),
        pattern: pattern.to_owned(),
        change,
    }
}

/// What a watcher of team `a` finds.
async fn found(files: &Files, pattern: &str) -> Result<Vec<String>, FileFailure> {
    let event = event(pattern, FileChange::Changes);
    let found = files.look(&waiter("a", None), &event).await?;
    Ok(found.into_iter().map(|file| file.path).collect())
}

/// A folder with files, and one beside it that nobody may see.
fn tree() -> TempDir {
    let top = tempfile::tempdir().unwrap();
    for path in ["in/2012/jan", "in/2012/feb", "in/empty", "secret"] {
        fs::create_dir_all(top.path().join(path)).unwrap();
    }
    for path in [
        "in/b.csv",
        "in/a.csv",
        "in/.hidden.csv",
        "in/a.txt",
        "in/2012/jan/x.csv",
        "in/2012/feb/x.csv",
        "in/2012/feb/y.csv",
        "secret/s.csv",
    ] {
        fs::write(top.path().join(path), path).unwrap();
    }
    top
}

#[tokio::test]
async fn a_pattern_finds_the_files_that_it_names_in_order_and_nothing_else() {
    let top = tree();
    let files = files([granted("a", &top.path().join("in"), None)]);
    for (pattern, paths) in [
        ("a.csv", &["a.csv"][..]),
        ("*.csv", &[".hidden.csv", "a.csv", "b.csv"]),
        ("?.csv", &["a.csv", "b.csv"]),
        ("a.*", &["a.csv", "a.txt"]),
        ("2012", &[]),
        ("empty/*", &[]),
        ("2012/*/x.csv", &["2012/feb/x.csv", "2012/jan/x.csv"]),
        ("2012/feb/*", &["2012/feb/x.csv", "2012/feb/y.csv"]),
        ("*/*/y*", &["2012/feb/y.csv"]),
        ("a.csv/b", &[]),
        ("a.csv/*", &[]),
        ("nothing/at/all", &[]),
        ("nothing/*/*", &[]),
        (&"x".repeat(900), &[]),
    ] {
        assert_eq!(found(&files, pattern).await.unwrap(), paths, "{pattern}");
    }
}

#[tokio::test]
async fn a_file_is_told_with_its_length_and_with_a_time_that_nobody_can_set_back() {
    let top = tree();
    let files = files([granted("a", &top.path().join("in"), None)]);
    let (waiter, event) = (waiter("a", None), event("a.csv", FileChange::Changes));
    let before = files.look(&waiter, &event).await.unwrap().remove(0);
    assert_eq!(before.bytes, 8);
    let file = File::options()
        .write(true)
        .open(top.path().join("in/a.csv"))
        .unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let after = files.look(&waiter, &event).await.unwrap().remove(0);
    assert_eq!(after.modified.micros(), 0);
    assert!(after.changed >= before.changed && after.changed.micros() > 0);
}

#[tokio::test]
async fn what_leads_out_of_the_directory_is_refused_or_is_not_there() {
    let top = tree();
    let inside = top.path().join("in");
    let files = files([granted("a", &inside, None)]);
    symlink("../secret/s.csv", inside.join("file-out.csv")).unwrap();
    symlink(top.path().join("secret/s.csv"), inside.join("absolute.csv")).unwrap();
    symlink("../secret", inside.join("out")).unwrap();
    symlink("2012/feb/y.csv", inside.join("file-in.csv")).unwrap();
    symlink("2012/feb", inside.join("inner")).unwrap();
    symlink(".", inside.join("round")).unwrap();
    symlink("loop", inside.join("loop")).unwrap();
    symlink("nowhere", inside.join("dangling.csv")).unwrap();
    for (pattern, paths) in [
        ("file-out.csv", &[][..]),
        ("absolute.csv", &[]),
        ("dangling.csv", &[]),
        ("loop", &[]),
        ("loop/*", &[]),
        ("out/s.csv", &[]),
        ("out/*", &[]),
        ("*/s.csv", &[]),
        ("file-*.csv", &["file-in.csv"]),
        ("inner/y.csv", &["inner/y.csv"]),
        ("round/round/a.csv", &["round/round/a.csv"]),
    ] {
        assert_eq!(found(&files, pattern).await.unwrap(), paths, "{pattern}");
    }
    for pattern in ["../secret/s.csv", "2012/../../secret/*", "/etc/passwd", ""] {
        let Err(FileFailure::Refused(text)) = found(&files, pattern).await else {
            panic!("{pattern} is refused");
        };
        assert!(text.starts_with("AL-0435"), "{text}");
    }
}

#[tokio::test]
async fn a_waiter_sees_what_its_trigger_is_granted_and_no_other_teams_files() {
    let (top, other) = (tree(), tree());
    fs::remove_file(other.path().join("in/a.csv")).unwrap();
    let files = files([
        granted("a", &top.path().join("in"), None),
        granted("b", &other.path().join("in"), Some("only")),
    ]);
    let exists = event("*.csv", FileChange::Exists);
    let look = async |team, task| files.look(&waiter(team, task), &exists).await;
    let paths = |found: Vec<FoundFile>| -> Vec<String> {
        found.into_iter().map(|file| file.path).collect()
    };
    let own = look("a", None).await.unwrap();
    assert_eq!(paths(own), [".hidden.csv", "a.csv", "b.csv"]);
    let own = look("b", Some("only")).await.unwrap();
    assert_eq!(paths(own), [".hidden.csv", "b.csv"]);
    for task in [None, Some("another")] {
        let Err(FileFailure::Refused(text)) = look("b", task).await else {
            panic!("another task's directory is refused");
        };
        for part in [
            "AL-0413",
            "team b",
            "trigger, for",
            "[[team.bundle.grant.directory]]",
        ] {
            assert!(text.contains(part), "`{part}` is not in {text}");
        }
    }
    let elsewhere = FileEvent {
        directory: "secret".to_owned(),
        ..exists.clone()
    };
    let Err(FileFailure::Refused(text)) = files.look(&waiter("a", None), &elsewhere).await else {
        panic!("what is not granted is refused");
    };
    for part in ["AL-0413", "[[request.directory]]", "phases = [\"trigger\"]"] {
        assert!(text.contains(part), "`{part}` is not in {text}");
    }
    let unknown = FileFailure::Refused("there is no such version".to_owned());
    assert_eq!(look("nobody", None).await, Err(unknown));
    let busy = FileFailure::Unreadable("the store is busy".to_owned());
    assert_eq!(look("slow", None).await, Err(busy));
}

#[tokio::test]
async fn a_directory_that_is_not_there_yet_is_worth_another_look() {
    let top = tree();
    let inside = top.path().join("in");
    let files = files([granted("a", &inside, None)]);
    fs::rename(&inside, top.path().join("away")).unwrap();
    let Err(FileFailure::Unreadable(text)) = found(&files, "a.csv").await else {
        panic!("it is not there");
    };
    assert!(text.starts_with("AL-0431"), "{text}");
    fs::rename(top.path().join("away"), &inside).unwrap();
    assert_eq!(found(&files, "a.csv").await.unwrap(), ["a.csv"]);
}

#[tokio::test]
async fn an_automatic_grant_does_not_lead_out_of_the_bundles_folder() {
    let top = tree();
    let request = Request::from_bundle_toml(ASKS).unwrap();
    fs::create_dir(top.path().join("own")).unwrap();
    symlink("../secret", top.path().join("own/in")).unwrap();
    let effective = Effective::grant_all(label(), &request, &top.path().join("own"));
    let team = effective.team().clone();
    let files = files([(team.clone(), Arc::new(effective))]);
    let (waiter, any) = (waiter(team.as_str(), None), event("*", FileChange::Exists));
    let Err(FileFailure::Refused(text)) = files.look(&waiter, &any).await else {
        panic!("it leads out");
    };
    assert!(text.starts_with("AL-0433"), "{text}");
}

#[tokio::test]
async fn a_look_is_bounded_in_what_it_sees_and_finds() {
    let top = tree();
    let inside = top.path().join("in");
    let mut files = files([granted("a", &inside, None)]);
    files.bounds = Bounds {
        entries: 50,
        files: 20,
    };
    for n in 0..20 {
        File::create(inside.join(format!("2012/jan/{n:02}"))).unwrap();
    }
    assert_eq!(found(&files, "2012/jan/??").await.unwrap().len(), 20);
    for (pattern, part) in [
        ("2012/jan/*", "AL-0436: more than 20 files match"),
        ("*/*/*", "AL-0436: more than 20 files match"),
    ] {
        let Err(FileFailure::Unreadable(text)) = found(&files, pattern).await else {
            panic!("{pattern} finds too many");
        };
        assert!(text.contains(part), "{text}");
    }
    // A task that waits for a file to be there needs no more than one.
    let exists = event("2012/jan/*", FileChange::Exists);
    let some = files.look(&waiter("a", Some("t")), &exists).await.unwrap();
    assert_eq!(some.len(), 20);
    for n in 20..100 {
        File::create(inside.join(format!("2012/jan/{n:02}"))).unwrap();
    }
    for change in [FileChange::Exists, FileChange::Changes] {
        let none = event("2012/jan/*.parquet", change);
        let looked = files.look(&waiter("a", Some("t")), &none).await;
        let Err(FileFailure::Unreadable(text)) = looked else {
            panic!("it looks at too many: {looked:?}");
        };
        assert!(text.contains("AL-0436: more than 50 entries"), "{text}");
    }
    let named = found(&files, "2012/jan/77").await.unwrap();
    assert_eq!(named, ["2012/jan/77"], "a name needs no search");
}

/// The team's turns in this directory are all taken by looks that do not end.
#[tokio::test]
async fn a_team_whose_disk_hangs_waits_alone_and_is_told_so() {
    let top = tree();
    let inside = top.path().join("in");
    let mut files = files([granted("a", &inside, None), granted("b", &inside, None)]);
    let turns = files.turns(&TeamName::new("a").unwrap(), &inside);
    let mut hanging = Vec::new();
    for _ in 0..4 {
        hanging.push(turns.take().await);
    }
    let exists = event("a.csv", FileChange::Exists);
    let (one, other) = (waiter("a", None), waiter("b", None));
    tokio::select! {
        stuck = files.look(&one, &exists) => panic!("no turn is left: {stuck:?}"),
        found = files.look(&other, &exists) => assert_eq!(found.unwrap().len(), 1),
    }
    files.time = Duration::from_millis(10);
    let Err(FileFailure::Unreadable(text)) = files.look(&one, &exists).await else {
        panic!("no turn is left");
    };
    assert!(
        text.contains("AL-0437") && text.contains("0.01 s"),
        "{text}"
    );
    files.time = TIME;
    drop(hanging);
    assert_eq!(found(&files, "a.csv").await.unwrap(), ["a.csv"]);
}

#[tokio::test]
async fn nobody_is_sent_after_a_look_that_does_not_end() {
    let top = tree();
    let inside = top.path().join("in");
    let files = files([granted("a", &inside, None), granted("b", &inside, None)]);
    let turn = Turn::new(files.turns(&TeamName::new("a").unwrap(), &inside));
    let (disk, answers) = std::sync::mpsc::channel::<()>();
    let (begun, begins) = tokio::sync::oneshot::channel();
    let hanging = tokio::task::spawn_blocking(turn.run(None, move || {
        begun.send(()).unwrap();
        answers.recv().unwrap();
    }));
    begins.await.unwrap();
    assert_eq!(found(&files, "a.csv").await.unwrap(), ["a.csv"]);
    turn.give_up();
    let Err(FileFailure::Unreadable(text)) = found(&files, "a.csv").await else {
        panic!("the disk hangs");
    };
    assert!(
        text.contains("AL-0437") && text.contains("has not ended yet"),
        "{text}"
    );
    let (other, exists) = (waiter("b", None), event("a.csv", FileChange::Exists));
    assert_eq!(files.look(&other, &exists).await.unwrap().len(), 1);
    disk.send(()).unwrap();
    hanging.await.unwrap();
    assert_eq!(found(&files, "a.csv").await.unwrap(), ["a.csv"]);
}

/// A folder with links of every kind, from which every file that can be reached at all is known.
fn maze() -> TempDir {
    let top = tree();
    let inside = top.path().join("in");
    for (target, link) in [
        ("..", "up"),
        ("../secret", "s"),
        ("/", "root"),
        ("2012", "y"),
        ("../../in", "2012/back"),
        ("../../secret/s.csv", "2012/s.csv"),
        ("../..", "2012/out"),
    ] {
        symlink(target, inside.join(link)).unwrap();
    }
    top
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_the_pattern_nothing_outside_of_the_directory_is_found(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "*", "**", "?", "..", ".", "", "up", "s", "root", "y", "2012", "back", "out", "in", "secret",
                "*.csv", "s.csv", "etc", "passwd", "?*", "..*", ".*", "\\..",
            ]),
            1..6,
        ),
    ) {
        let top = maze();
        let inside = fs::canonicalize(top.path().join("in")).unwrap();
        let files = files([granted("a", &inside, None)]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let pattern = parts.join("/");
        if let Ok(found) = runtime.block_on(found(&files, &pattern)) {
            let read = FilePattern::new(&pattern).unwrap();
            let once: BTreeSet<&String> = found.iter().collect();
            prop_assert_eq!(once.len(), found.len());
            for path in &found {
                prop_assert!(read.matches(path), "{} is not {}", path, pattern);
                let real = fs::canonicalize(inside.join(path)).unwrap();
                prop_assert!(real.starts_with(&inside), "{} is {}", path, real.display());
            }
        }
    }
}
