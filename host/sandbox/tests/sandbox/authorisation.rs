//! What each function that a bundle may import answers: in each phase, and whether what it is asked for is granted,
//! is not, or is another team's. What happened is held against `docs/authorisation.txt`, which people read.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::{Path, PathBuf},
};

use airlock_grant::{Standing, interface};
use airlock_model::connection::Connection;
use airlock_model::{id::ConnectionId, mask::Sensitive};
use wit_parser::Resolve;

use crate::{
    everywhere::{self, Phase},
    stage::{Bundle, Stage, small},
};

/// A row of the page: the function and the case.
type Row = (String, String);

const GRANTED: &str = "granted";
const ELSEWHERE: &str = "granted to other phases";
const NOT: &str = "not granted";
const NONE_NEEDED: &str = "not granted, needs none";
const THEIRS: &str = "another team's";
const TO_THEM: &str = "another team's, granted to it";
const SAME: &str = "another team's, by a name granted here too";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Each function of the published package, and what else is decided by the grant: the one function of
/// `wasi:http/outgoing-handler`, and a file of a granted directory. And the cases that each must have.
fn wanted() -> BTreeMap<String, Vec<&'static str>> {
    let mut resolve = Resolve::new();
    let (package, _) = resolve.push_dir(root().join("wit/capability")).unwrap();
    let mut wanted = BTreeMap::new();
    let granted = [GRANTED, ELSEWHERE, NOT, TO_THEM, SAME];
    for (name, id) in &resolve.packages[package].interfaces {
        let full = format!("airlock:capability/{name}@0.1.1");
        let standing = interface(&full).map(|known| known.standing);
        // What is done with something open is done with what its one way in gave; each call is decided anew all the
        // same, as the tests of it say.
        let closed = |function: &&String| {
            !function.starts_with("[method]") && !function.starts_with("[static]transaction")
        };
        for function in resolve.interfaces[*id].functions.keys().filter(closed) {
            let function = function.trim_start_matches("[static]");
            let cases = match standing {
                Some(Standing::Capability(_) | Standing::Reading) => granted.to_vec(),
                Some(Standing::Inert) => vec![NONE_NEEDED, THEIRS],
                other => panic!("{full} stands as {other:?}"),
            };
            wanted.insert(format!("{name}.{function}"), cases);
        }
    }
    for other in ["outgoing-handler.handle", "a file"] {
        wanted.insert(other.to_owned(), granted.to_vec());
    }
    wanted
}

/// What is asked for and granted: to each phase something of each kind, and its opposite to all others. What is
/// pure can be granted variables at most, and a timetable nothing, whatever the grant says.
fn grants(folder: &Path) -> (String, String) {
    let (mut wanted, mut granted) = (String::new(), String::new());
    let mut add = |name: &str, phases: &[&str]| {
        let impure: Vec<&str> = phases.iter().copied().filter(|p| *p != "parse").collect();
        write!(
            wanted,
            "[[request.variable]]\nkey = \"{name}\"\nphases = {phases:?}\n"
        )
        .unwrap();
        writeln!(granted, "[[variable]]\nkey = \"{name}\"").unwrap();
        if impure.is_empty() {
            return;
        }
        write!(
            wanted,
            "[[request.connection]]\nid = \"{name}\"\naccess = \"read\"\nphases = {impure:?}\n\
             [[request.directory]]\npath = \"{name}\"\nphases = {impure:?}\n\
             [[request.http]]\nurl = \"https://{name}.example/*\"\nphases = {impure:?}\n"
        )
        .unwrap();
        let host = folder.join(name);
        std::fs::create_dir_all(&host).unwrap();
        std::fs::write(host.join("file.txt"), "own file").unwrap();
        write!(
            granted,
            "[[connection]]\nid = \"{name}\"\naccess = \"read\"\n[[directory]]\npath = \"{name}\"\nhost = {host:?}\n\
             [[http]]\nurl = \"https://{name}.example/*\"\n"
        )
        .unwrap();
    };
    let all = ["parse", "task", "trigger", "callback"];
    for phase in all {
        let others: Vec<&str> = all.into_iter().filter(|other| *other != phase).collect();
        add(&format!("for-{phase}"), &[phase]);
        add(&format!("not-{phase}"), &others);
    }
    add("for-timetable", &all);
    add("not-timetable", &all);
    add("same", &all);
    (wanted, granted)
}

fn set_connection(stage: &Stage, team: &str, name: &str) {
    let connection = Connection {
        id: ConnectionId::new(name).unwrap(),
        conn_type: "http".into(),
        description: None,
        host: None,
        port: None,
        login: None,
        password: Some(Sensitive::new(format!("password of {team}"))),
        schema: None,
        extra: None,
    };
    let name = (team.to_owned(), name.to_owned());
    let mut connections = stage.world.connections.lock().unwrap();
    connections.insert(name, connection);
}

/// A team that has everything that its grant names but `same`, and beside it one that has what it is asked for.
fn two_teams() -> (Stage, Bundle) {
    let stage = Stage::new();
    let own = stage.add_team("own", small());
    let (wanted, granted) = grants(stage.folder());
    let bundle = everywhere::load(&stage, &own, &wanted, &granted);
    for phase in Phase::ALL {
        for start in ["for", "not"] {
            let name = format!("{start}-{}", phase.name());
            stage.world.set_variable("own", &name, "the value");
            set_connection(&stage, "own", &name);
        }
    }
    let theirs = stage.add_team("theirs", small());
    let folder = stage.folder().join("of-them");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("file.txt"), "their file").unwrap();
    let (mut wanted, mut granted) = (String::new(), String::new());
    for name in ["theirs", "same"] {
        stage.world.set_variable("theirs", name, "their value");
        set_connection(&stage, "theirs", name);
        write!(
            wanted,
            "[[request.variable]]\nkey = \"{name}\"\n[[request.connection]]\nid = \"{name}\"\naccess = \"read\"\n\
             [[request.directory]]\npath = \"{name}\"\n\
             [[request.http]]\nurl = \"https://{name}.example/*\"\n"
        )
        .unwrap();
        write!(
            granted,
            "[[variable]]\nkey = \"{name}\"\n[[connection]]\nid = \"{name}\"\naccess = \"read\"\n\
             [[directory]]\npath = \"{name}\"\nhost = {folder:?}\n\
             [[http]]\nurl = \"https://{name}.example/*\"\n"
        )
        .unwrap();
    }
    everywhere::load(&stage, &theirs, &wanted, &granted);
    for (team, value) in [("own", "7"), ("theirs", "8")] {
        let path = match team {
            "own" => "dag/run/before/-1/return_value",
            _ => "theirs/run/before/-1/return_value",
        };
        let mut xcoms = stage.world.xcoms.lock().unwrap();
        xcoms.insert((team.to_owned(), path.to_owned()), value.to_owned());
    }
    (stage, bundle)
}

/// Asks for everything in a phase; and checks that what a grant denied was told to the audit, as this team's.
async fn sweep(stage: &Stage, bundle: &Bundle, phase: Phase) -> BTreeMap<Row, String> {
    stage.world.denied.lock().unwrap().clear();
    let came = everywhere::attack(stage, bundle, phase, "reach.sweep").await;
    let told = stage.world.denied.lock().unwrap().split_off(0);
    let mut audited: BTreeMap<&str, usize> = BTreeMap::new();
    for denied in &told {
        assert_eq!(
            (denied.team.as_str(), denied.bundle.as_str()),
            ("own", "bundle")
        );
        *audited.entry(denied.code).or_default() += 1;
    }
    let mut rows = BTreeMap::new();
    let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
    for line in came.answer().lines() {
        let parts: Vec<&str> = line.splitn(3, " | ").collect();
        let [function, case, answer] = parts[..] else {
            panic!("{line}")
        };
        // The guest of WASI's interface hears no more than that it was denied.
        let answer = match (function, answer) {
            ("outgoing-handler.handle", "denied") => "denied AL-0414",
            (_, answer) => answer,
        };
        if let Some(code) = answer.strip_prefix("denied ")
            && let Some((code, _)) = audited.get_key_value(code)
        {
            *counted.entry(code).or_default() += 1;
        }
        let known = rows.insert((function.to_owned(), case.to_owned()), answer.to_owned());
        assert_eq!(known, None, "{line}");
    }
    assert_eq!(
        audited, counted,
        "each denial is told to the audit, and once"
    );
    let denied = rows.values().filter(|answer| answer.starts_with("denied"));
    assert_eq!(denied.count(), told.len(), "{phase:?}: {rows:?} {told:?}");
    rows
}

const HEAD: &str = "\
What each function that a bundle may import answered when it was really called: by a component that asks for all of it,
in each phase, for what it is granted in that phase, for what it is granted in the other phases only, for what nobody is
granted, and for what another team has: once by a name that is granted to that team alone, and once by a name that is
granted to this team too, which has nothing by it, or something of its own.

`a value`, `own file`, `200` and a path mean that it was reached; `nothing`, that it is as if it did not exist;
`NotFound`, that no such directory is mapped. The codes are those of errors.md. Each denial was told to the audit.

Written by the test `every_function_answers_as_the_page_for_reviewers_says`. It fails when this is not what happens, and
when a function lacks a case.
";

#[tokio::test]
async fn every_function_answers_as_the_page_for_reviewers_says() {
    let (stage, bundle) = two_teams();
    let mut answers: BTreeMap<Row, BTreeMap<Phase, String>> = BTreeMap::new();
    for phase in Phase::ALL {
        for (row, answer) in sweep(&stage, &bundle, phase).await {
            answers.entry(row).or_default().insert(phase, answer);
        }
    }
    // A line that a guest writes stands in its own team's log, and nowhere else.
    for (key, line) in stage.world.lines.lock().unwrap().iter() {
        assert_eq!(key.team.as_str(), "own", "{line:?}");
    }
    // What was denied was looked up nowhere, so that no answer and no time depends on what there is.
    let asked = stage.world.asked.lock().unwrap().clone();
    for (team, name) in &asked {
        let is_granted = name.starts_with("for-") || ["same", "attack.name"].contains(&&**name);
        assert!(team == "own" && is_granted, "{team} {name}");
    }
    assert!(asked.len() > 4, "{asked:?}");
    let sent = stage.world.sent.lock().unwrap().clone();
    let sent: BTreeSet<&str> = sent.iter().map(String::as_str).collect();
    let reached = ["for-task", "for-trigger", "for-callback", "same"];
    let reached = reached.map(|name| format!("GET https://{name}.example/"));
    assert_eq!(sent, reached.iter().map(String::as_str).collect());

    let mut page = HEAD.to_owned();
    for (function, cases) in wanted() {
        writeln!(page, "\n{function}").unwrap();
        let phases = Phase::ALL.map(|phase| format!("{:<17}", phase.name()));
        writeln!(page, "  {:<44}{}", "", phases.concat().trim_end()).unwrap();
        for case in cases {
            let row = (function.clone(), case.to_owned());
            let told = answers.remove(&row);
            let told = told.unwrap_or_else(|| panic!("`{function}` lacks its case `{case}`"));
            let told = Phase::ALL.map(|phase| {
                let answer = told.get(&phase);
                let answer = answer.unwrap_or_else(|| panic!("`{function}` lacks {phase:?}"));
                format!("{answer:<17}")
            });
            writeln!(page, "  {case:<44}{}", told.concat().trim_end()).unwrap();
        }
    }
    assert!(answers.is_empty(), "asked for and on no page: {answers:?}");
    let path = root().join("docs/authorisation.txt");
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    if committed == page {
        return;
    }
    if std::env::var_os("AIRLOCK_BLESS").is_some() {
        std::fs::write(&path, &page).unwrap();
        return;
    }
    let (old, new): (BTreeSet<&str>, BTreeSet<&str>) =
        (committed.lines().collect(), page.lines().collect());
    let gone: Vec<_> = old
        .difference(&new)
        .map(|line| format!("- {line}"))
        .collect();
    let come: Vec<_> = new
        .difference(&old)
        .map(|line| format!("+ {line}"))
        .collect();
    panic!(
        "docs/authorisation.txt is not what happens; if it should, run this test with AIRLOCK_BLESS=1\n{}\n{}",
        gone.join("\n"),
        come.join("\n")
    );
}
