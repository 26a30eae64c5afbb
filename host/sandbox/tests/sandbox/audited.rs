//! What the audit is told of what is denied: in each phase, who wanted what, and no more than that.

use std::sync::atomic::Ordering::Relaxed;

use airlock_model::{
    audit::{Denials, Denied, denials},
    id::{DagId, TaskId},
    time::Timestamp,
};
use airlock_sandbox::CAPABILITIES;
use serde_json::Value;

use crate::{
    everywhere::{Phase, attack, load},
    stage::{Bundle, Stage, small},
};

const ALL: &str = "phases = [\"parse\", \"task\", \"trigger\", \"callback\"]";
const SOME: &str = "phases = [\"task\", \"trigger\", \"callback\"]";

/// A hostile team, which is told one variable in confidence and may call one server; and another one, which has what
/// the first one guesses.
fn two_teams() -> (Stage, Bundle) {
    let stage = Stage::new();
    let wanted = format!(
        "[[request.variable]]\nkey = \"granted\"\n{ALL}\n\
         [[request.http]]\nurl = \"https://private.example/*\"\n{SOME}"
    );
    let granted = "[[variable]]\nkey = \"granted\"\n[[http]]\nurl = \"https://private.example/*\"";
    let hostile = load(
        &stage,
        &stage.add_team("hostile", small()),
        &wanted,
        granted,
    );
    load(&stage, &stage.add_team("alpha", small()), "", "");
    stage.world.set_variable("alpha", "bank", "canary-of-alpha");
    stage
        .world
        .set_variable("hostile", "granted", "canary-told");
    (stage, hostile)
}

/// Who is known to ask in a phase.
fn caller(phase: Phase) -> (&'static str, Option<DagId>, Option<TaskId>) {
    let dag = || Some(DagId::new("dag").unwrap());
    let task = || Some(TaskId::new("task").unwrap());
    match phase {
        // A timetable is asked while nothing runs, as a parse is.
        Phase::Parse | Phase::Timetable => ("parse", None, None),
        Phase::Task => ("task", dag(), task()),
        Phase::Trigger => ("trigger", dag(), task()),
        Phase::Callback => ("callback", dag(), None),
    }
}

/// Tries it, and gives what it was answered and all that the audit was told.
async fn tried(stage: &Stage, bundle: &Bundle, phase: Phase, name: &str) -> (String, Vec<Denied>) {
    stage.world.denied.lock().unwrap().clear();
    let answer = attack(stage, bundle, phase, name).await.answer();
    (answer, stage.world.denied.lock().unwrap().split_off(0))
}

#[tokio::test]
async fn each_denial_is_told_to_the_audit_with_who_wanted_what_in_every_phase() {
    let (stage, hostile) = two_teams();
    for phase in Phase::ALL {
        let before = counted(&stage, &hostile);
        let (_, told) = tried(&stage, &hostile, phase, "reach.guesses").await;
        let mut wanted = Vec::new();
        for (name, malformed) in [
            ("bank", &[][..]),
            ("alpha.bank", &[]),
            ("../bank", &["directory"]),
            ("alpha/bank", &[]),
            ("bank\\u{1b}[2J", &["variable", "connection", "directory"]),
            ("", &["variable", "connection", "directory"]),
        ] {
            for (kind, code, more) in [
                ("variable", "AL-0411", ""),
                ("connection", "AL-0412", ", read"),
                ("directory", "AL-0413", ""),
            ] {
                let code = match (phase, malformed.contains(&kind)) {
                    (Phase::Timetable, _) if kind == "variable" => "AL-0526",
                    (_, true) => "AL-0416",
                    (_, false) => code,
                };
                wanted.push((code, format!("{kind} `{name}`{more}")));
            }
        }
        let private = match phase {
            Phase::Parse | Phase::Timetable => "AL-0414",
            _ => "AL-0421",
        };
        wanted.push((private, "GET https://private.example/".to_owned()));
        wanted.push(("AL-0414", "GET https://bank.example/".to_owned()));
        let number = "`2130706433` cannot be called: write an IPv4 address as four decimal numbers";
        wanted.push(("AL-0415", number.to_owned()));
        let (name, dag_id, task_id) = caller(phase);
        let wanted: Vec<_> = (wanted.into_iter())
            .map(|(code, item)| Denied {
                team: hostile.team.clone(),
                bundle: hostile.name.clone(),
                code,
                item,
                phase: name,
                dag_id: dag_id.clone(),
                task_id: task_id.clone(),
            })
            .collect();
        assert_eq!(told, wanted, "{phase:?}");
        // Each is counted under what it wanted.
        let more = [6, 6, 6, 3, 0, 0];
        let after = counted(&stage, &hostile);
        let grown: Vec<_> = after.iter().zip(before).map(|(a, b)| a - b).collect();
        assert_eq!(grown, more, "{phase:?} {CAPABILITIES:?}");
    }
    let asked = stage.world.asked.lock().unwrap().clone();
    assert!(
        asked.iter().all(|(_, name)| name == "attack.name"),
        "{asked:?}"
    );
}

fn counted(stage: &Stage, bundle: &Bundle) -> Vec<u64> {
    let metrics = stage.metrics(&bundle.team);
    let all = metrics.denials.iter();
    all.map(|count| count.load(Relaxed)).collect()
}

/// A bundle that was told something, and puts it into the names of what it wants.
#[tokio::test]
async fn what_was_told_in_confidence_is_masked_in_the_audit_in_every_phase() {
    let (stage, hostile) = two_teams();
    for phase in Phase::ALL {
        let (_, told) = tried(&stage, &hostile, phase, "reach.confided").await;
        // A timetable is told nothing, and a task's XComs are its own.
        let masked = match phase {
            Phase::Timetable => 0,
            Phase::Task => 5,
            _ => 6,
        };
        let shown = told.iter().filter(|denied| denied.item.contains("***"));
        assert_eq!(shown.count(), masked, "{phase:?}: {told:?}");
        for denied in &told {
            assert!(!denied.item.contains("canary"), "{phase:?}: {denied:?}");
        }
    }
}

/// Ten thousand guesses: each is told, and the audit makes few rows of them, which count all.
#[tokio::test]
async fn a_flood_of_guesses_becomes_few_rows_that_count_all_of_it_in_every_phase() {
    let (stage, hostile) = two_teams();
    for phase in Phase::ALL {
        let (answer, told) = tried(&stage, &hostile, phase, "floods.denials").await;
        assert_eq!(answer, "10000 denied", "{phase:?}");
        let mut audit = Denials::default();
        for denied in &told {
            audit.note(denied, Timestamp::EPOCH);
        }
        audit.finish(Timestamp::EPOCH);
        let rows = audit.waiting(usize::MAX);
        assert_eq!(rows.len(), denials::MOST_ROWS + 1, "{phase:?}");
        let count = |detail: &str| -> Value { serde_json::from_str(detail).unwrap() };
        let counts = rows.iter().map(|row| count(row.detail())["count"].as_u64());
        assert_eq!(counts.map(Option::unwrap).sum::<u64>(), 10_000, "{phase:?}");
        for row in &rows {
            assert_eq!(row.team.as_ref(), Some(&hostile.team), "{row:?}");
            assert_eq!(row.bundle.as_ref(), Some(&hostile.name), "{row:?}");
        }
    }
}
