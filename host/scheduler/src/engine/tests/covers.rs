//! What a run covers that somebody wants: what they say, what the timetable says, or what the bundle's own
//! timetable says, which is asked first.

use airlock_model::{
    port::{ControlError, RunRow, TimetableFailure, TriggerRun},
    state::RunType,
};

use super::{super::CoverQuestion, *};

fn want(engine: &mut Engine, run: TriggerRun, now: Timestamp) -> Heard<RunRow> {
    let (reply, heard) = oneshot::channel();
    engine.handle(Event::Trigger(Box::new(run), reply), now);
    heard
}

fn of(dag_id: &str, logical_date: &str) -> TriggerRun {
    TriggerRun {
        logical_date: Some(at(logical_date)),
        ..TriggerRun::now(id(dag_id))
    }
}

fn asked(engine: &mut Engine) -> CoverQuestion {
    let mut questions = engine.take_cover_questions();
    assert_eq!(questions.len(), 1);
    questions.remove(0)
}

#[test]
fn a_bundles_own_timetable_says_what_a_triggered_run_covers() {
    let (mut engine, now) = (engine(), at("2024-01-10"));
    import(&mut engine, 1, vec![custom(spec("d", &["t"]))], now);
    let mut heard = want(&mut engine, of("d", "2024-01-05"), now);
    let question = asked(&mut engine);
    assert_eq!(question.at, at("2024-01-05"));
    assert_eq!(question.code.schedule.entry, "Workdays");
    assert!(
        commit(&mut engine).new_runs.is_empty(),
        "nothing before it answers"
    );
    let interval = (at("2024-01-04"), at("2024-01-05"));
    engine.handle(Event::Covered(Box::new(question), Ok(interval)), now);
    commit(&mut engine);
    let run = heard.try_recv().unwrap().unwrap();
    assert_eq!(run.data_interval, Some(interval));
    assert_eq!(run.logical_date, Some(at("2024-01-05")));
    assert_eq!(run.run_type, RunType::Manual);
}

#[test]
fn a_timetable_that_does_not_say_makes_no_run_and_whoever_wanted_it_hears_why() {
    let (mut engine, now) = (engine(), at("2024-01-10"));
    import(&mut engine, 1, vec![custom(spec("d", &["t"]))], now);
    let mut heard = want(&mut engine, of("d", "2024-01-05"), now);
    let failure = TimetableFailure::Refused("no holidays known".into());
    let question = Box::new(asked(&mut engine));
    engine.handle(Event::Covered(question, Err(failure)), now);
    let error = heard.try_recv().unwrap().unwrap_err();
    assert!(matches!(error, ControlError::Timetable { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("AL-0707") && text.contains("no holidays known"),
        "{text}"
    );
    assert!(commit(&mut engine).new_runs.is_empty());
    assert_eq!(engine.active_runs(), 0);
}

#[test]
fn a_version_that_came_meanwhile_is_asked_again() {
    let (mut engine, now) = (engine(), at("2024-01-10"));
    import(&mut engine, 1, vec![custom(spec("d", &["t"]))], now);
    let mut heard = want(&mut engine, of("d", "2024-01-05"), now);
    let question = Box::new(asked(&mut engine));
    import(&mut engine, 2, vec![custom(spec("d", &["t"]))], now);
    let old = TimetableFailure::Trap("in the old version".into());
    engine.handle(Event::Covered(question, Err(old)), now);
    let again = asked(&mut engine);
    assert_eq!(again.code.hash, BundleHash::from_bytes([2; 32]));
    let interval = (at("2024-01-04"), at("2024-01-05"));
    engine.handle(Event::Covered(Box::new(again), Ok(interval)), now);
    commit(&mut engine);
    let run = heard.try_recv().unwrap().unwrap();
    assert_eq!(run.data_interval, Some(interval));
}

#[test]
fn what_somebody_says_that_a_run_covers_counts_and_no_timetable_is_asked() {
    let (mut engine, now) = (engine(), at("2024-01-10"));
    let daily = DagSpec {
        schedule: Schedule::cron("@daily", None),
        ..spec("daily", &["t"])
    };
    import(&mut engine, 1, vec![custom(spec("d", &["t"])), daily], now);
    commit(&mut engine);
    let interval = (at("2023-01-01"), at("2023-02-01"));
    for dag in ["d", "daily"] {
        let wanted = TriggerRun {
            data_interval: Some(interval),
            note: Some("for the auditors".into()),
            ..of(dag, "2024-01-05")
        };
        let mut heard = want(&mut engine, wanted, now);
        assert!(engine.take_cover_questions().is_empty());
        commit(&mut engine);
        let run = heard.try_recv().unwrap().unwrap();
        assert_eq!(run.data_interval, Some(interval));
        assert_eq!(run.note.as_deref(), Some("for the auditors"));
    }
}

#[test]
fn a_run_for_the_sake_of_its_asset_says_so_by_its_type_and_name() {
    let (mut engine, now) = (engine(), at("2024-01-10"));
    import(&mut engine, 1, vec![spec("d", &["t"])], now);
    let wanted = TriggerRun {
        materializes: true,
        ..TriggerRun::now(id("d"))
    };
    let mut heard = want(&mut engine, wanted, now);
    commit(&mut engine);
    let run = heard.try_recv().unwrap().unwrap();
    assert_eq!(run.run_type, RunType::AssetMaterialization);
    let name = "asset_materialization__2024-01-10T00:00:00+00:00";
    assert_eq!(run.run_id.as_str(), name);
}
