//! What people clear and mark, and the versions that runs are moved to.

use airlock_model::{
    dag::{Argument, Role},
    port::{Repair, Repaired, Selection, TaskChange, TriggerRun},
    run::Mark,
};

use super::{super::RepairOrder, *};

const NEWEST: Repair = Repair::Clear {
    latest_version: true,
};
const CLEAR: Repair = Repair::Clear {
    latest_version: false,
};

fn chain(dag_id: &str, tasks: &[&str]) -> DagSpec {
    let mut spec = spec(dag_id, tasks);
    let names: Vec<String> = tasks.iter().map(|name| (*name).to_owned()).collect();
    for (task, before) in spec.tasks.iter_mut().skip(1).zip(names) {
        task.arguments = vec![Argument::Output(before)];
    }
    spec
}

fn repair(
    engine: &mut Engine,
    run: &Loaded,
    tasks: &[(&str, Option<i32>)],
    repair: Repair,
    around: Selection,
) -> Heard<Vec<Repaired>> {
    let (reply, heard) = oneshot::channel();
    let pair = |&(task, index): &(&str, Option<i32>)| (task.parse().unwrap(), index.map(MapIndex));
    let order = RepairOrder {
        runs: vec![run.clone()],
        selection: Selection {
            run_ids: vec![run.stored.run.run_id.clone()],
            tasks: tasks.iter().map(pair).collect(),
            ..around
        },
        repair,
        dry_run: false,
    };
    engine.handle(Event::Repair(order, reply), at("2024-02-01"));
    heard
}

fn names(told: Heard<Vec<Repaired>>) -> Vec<String> {
    let mut told = told;
    let told = told.try_recv().unwrap().unwrap();
    let name = |one: &Repaired| format!("{}[{}]", one.task_id, one.map_index.0);
    told.iter().map(name).collect()
}

/// The store's answer to a batch: the run as it is after it.
fn written(run: &Loaded, batch: &Batch, spec: DagSpec) -> Loaded {
    let mut run = run.clone();
    let tasks = &mut run.stored.tasks;
    for repin in &batch.repinned {
        let old: Vec<_> = tasks.iter().map(|task| task.task).collect();
        for (task, old) in tasks.iter_mut().zip(old) {
            if let Some((_, to)) = repin.moved.iter().find(|(from, _)| *from == old) {
                task.task = *to;
            }
        }
        tasks.extend(repin.added.iter().cloned());
        run.stored.run.hash = repin.hash;
        run.stored.run.definition = repin.definition;
    }
    for TaskChange { key, fields, .. } in &batch.tasks {
        let same = |task: &&mut TaskRow| (task.task, task.map_index) == (key.task, key.map_index);
        tasks.iter_mut().find(same).unwrap().fields = fields.clone();
    }
    let mut places: Vec<_> = tasks.iter().map(TaskRow::index).collect();
    places.sort();
    places.dedup();
    assert_eq!(places.len(), tasks.len(), "no two rows have one place");
    run.dag = Arc::new(Dag::new(spec).unwrap());
    run
}

/// The tasks and how they ended, for those that have.
fn states(run: &Loaded) -> Vec<(String, Option<TaskState>)> {
    let mut all: Vec<_> = run
        .stored
        .tasks
        .iter()
        .map(|task| {
            let ended = task.fields.state.filter(|state| state.is_terminal());
            (task.task_id.to_string(), ended)
        })
        .collect();
    all.sort();
    all
}

#[test]
fn tasks_and_single_instances_of_tasks_are_cleared_by_one_order() {
    let spec = chain("d", &["a", "b", "c"]);
    let mut engine = engine();
    import(&mut engine, 1, vec![spec.clone()], at("2024-01-10"));
    let rows = [
        ("a", -1, TaskState::Success),
        ("b", 0, TaskState::Failed),
        ("b", 1, TaskState::Success),
        ("c", -1, TaskState::UpstreamFailed),
    ];
    let run = loaded(spec, 1, RunState::Failed, &rows);
    let wanted = [("a", None), ("b", Some(1))];
    let heard = repair(&mut engine, &run, &wanted, CLEAR, Selection::default());
    commit(&mut engine);
    assert_eq!(names(heard), ["a[-1]", "b[1]"]);
    let below = Selection {
        downstream: true,
        ..Selection::default()
    };
    let heard = repair(&mut engine, &run, &wanted, CLEAR, below);
    commit(&mut engine);
    assert_eq!(
        names(heard),
        ["a[-1]", "b[0]", "b[1]", "c[-1]"],
        "what comes after `a` is all of `b`"
    );
}

#[test]
fn marking_one_instance_leaves_its_failed_sisters_alone() {
    let spec = chain("d", &["b", "c"]);
    let mut engine = engine();
    import(&mut engine, 1, vec![spec.clone()], at("2024-01-10"));
    let rows = [
        ("b", 0, TaskState::Failed),
        ("b", 1, TaskState::Failed),
        ("c", -1, TaskState::UpstreamFailed),
    ];
    let run = loaded(spec.clone(), 1, RunState::Failed, &rows);
    let mark = Repair::Mark(Mark::Success);
    drop(repair(
        &mut engine,
        &run,
        &[("b", Some(1))],
        mark,
        Selection::default(),
    ));
    let batch = commit(&mut engine);
    let run = written(&run, &batch, spec);
    let state = |i: usize| run.stored.tasks[i].fields.state;
    assert_eq!(
        (state(0), state(1)),
        (Some(TaskState::Failed), Some(TaskState::Success))
    );
}

#[test]
fn a_task_that_is_gone_in_the_newest_version_is_removed_and_comes_back_with_its_history() {
    let versions = [
        chain("d", &["a", "b", "x"]),
        chain("d", &["a", "x"]),
        chain("d", &["a", "x", "new"]),
        chain("d", &["b", "a", "x"]),
    ];
    let [first, second, third, fourth] = versions.clone();
    let rows = ["a", "b", "x"].map(|task| (task, -1, TaskState::Success));
    let mut run = loaded(first, 1, RunState::Success, &rows);
    let (gone, done) = (Some(TaskState::Removed), Some(TaskState::Success));
    let expected = [
        vec![("a", done), ("b", gone), ("x", None)],
        vec![("a", done), ("b", gone), ("new", None), ("x", None)],
        vec![("a", done), ("b", None), ("new", gone), ("x", None)],
    ];
    for ((version, spec), expected) in (2..).zip([second, third, fourth]).zip(expected) {
        // Each time another host, which knows only what was written.
        let mut engine = engine();
        import(&mut engine, version, vec![spec.clone()], at("2024-01-10"));
        let heard = repair(
            &mut engine,
            &run,
            &[("x", None)],
            NEWEST,
            Selection::default(),
        );
        let (batch, after) = engine.take_batch();
        tell(&mut engine, after);
        assert_eq!(names(heard), ["x[-1]"]);
        run = written(&run, &batch, spec);
        run.stored.run.state = RunState::Failed;
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(t, s)| (t.to_owned(), s))
            .collect();
        assert_eq!(states(&run), expected, "version {version}");
        let b = run
            .stored
            .tasks
            .iter()
            .find(|task| task.task_id.as_str() == "b");
        let tries = if version == 4 { 2 } else { 1 };
        assert_eq!(b.unwrap().fields.try_number, tries, "its tries are known");
    }
}

#[test]
fn a_run_with_tries_on_their_way_is_not_moved_to_where_its_tasks_are_others() {
    let old = spec("d", &["a", "b"]);
    let rows = [("a", -1, TaskState::Running), ("b", -1, TaskState::Failed)];
    let run = loaded(old, 1, RunState::Running, &rows);
    let refused = |tasks: &[&str]| {
        let (mut engine, now) = (engine(), at("2024-01-10"));
        let Loaded {
            stored,
            dag,
            bundle,
            paused,
        } = run.clone();
        engine.restore(stored, dag, bundle, paused, now);
        import(&mut engine, 2, vec![spec("d", tasks)], now);
        commit(&mut engine);
        let mut heard = repair(
            &mut engine,
            &run,
            &[("b", None)],
            NEWEST,
            Selection::default(),
        );
        let batch = commit(&mut engine);
        let answer = heard.try_recv().unwrap();
        assert_eq!(batch.repinned.is_empty(), answer.is_err());
        answer.err().map(|error| error.to_string())
    };
    for tasks in [&["b", "a"][..], &["b"], &["a"]] {
        let text = refused(tasks).expect("it is refused");
        assert!(text.contains("AL-0706") && text.contains("`r`"), "{text}");
    }
    assert_eq!(refused(&["a", "b", "c"]), None, "each stays where it is");
}

#[test]
fn as_what_a_run_ends_that_somebody_has_ended_is_written_until_its_teardown_is_through() {
    let mut spec = chain("d", &["work", "put_away"]);
    spec.tasks[1].role = Role::Teardown {
        on_failure_fail_dagrun: false,
    };
    for written_before in [true, false] {
        let (mut engine, now) = (engine(), at("2024-01-10"));
        import(&mut engine, 1, vec![spec.clone()], now);
        let (reply, _heard) = oneshot::channel();
        let wanted = Box::new(TriggerRun::now(id("d")));
        engine.handle(Event::Trigger(wanted, reply), now);
        let key = *engine.runs.keys().next().unwrap();
        if written_before {
            commit(&mut engine);
        }
        engine.end_by_hand(key, true, now);
        let batch = commit(&mut engine);
        let written = batch.new_runs.iter().map(|new| new.run.ends_as);
        let changed = batch.runs.iter().map(|change| change.ends_as);
        let told: Vec<_> = written.chain(changed).collect();
        assert_eq!(told, [Some(RunState::Success)], "{written_before}");
        assert_eq!(engine.runs[&key].run.state(), RunState::Running);
    }
}
