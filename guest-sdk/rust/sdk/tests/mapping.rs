//! What a parse makes of mapped tasks and groups.

use std::collections::BTreeMap;

use airlock_sdk::{
    definition::{Argument, DagSource, Mapping, Source},
    prelude::*,
    testing,
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    file: String,
    size: u64,
}

#[task]
fn list() -> Vec<String> {
    vec!["a".to_owned()]
}
#[task]
fn sizes() -> BTreeMap<String, u64> {
    BTreeMap::new()
}
#[task]
fn measure(file: &str, size: u64) -> u64 {
    file.len() as u64 * size
}
#[task]
fn pair((file, size): (Option<String>, Option<u64>)) {
    info!("{file:?} {size:?}");
}
#[task]
fn orders() -> Vec<Order> {
    vec![]
}
#[task]
fn total(sizes: Vec<u64>) -> u64 {
    sizes.iter().sum()
}
#[task]
fn start() {}

fn output(id: &str) -> Source {
    Source::Output(id.to_owned())
}

fn mapped(name: &'static str) -> Argument {
    Argument::Mapped(name.into())
}

#[dag]
fn products() {
    let files = list();
    let all = measure::expand(each(&files), each([1, 2]));
    total(measure::expand(each(&files), 5).id("same"));
    total(&all).id("again");
    total::expand(each([vec![1], vec![2, 3]])).id("lists");
    pair::expand(each(zip_longest(&files, sizes_of(&files))));
    measure::expand_kwargs(orders()).id("orders_of");
}

fn sizes_of(files: &Output<Vec<String>>) -> Output<Vec<u64>> {
    measure::expand(each(files), 1).id("ones")
}

#[test]
fn a_task_is_mapped_over_lists_of_its_parameters_types() {
    let dag = testing::parse::<products>().unwrap();
    let task = |id: &str| dag.task(id).unwrap();
    let product = |lists: &[(&'static str, Source)]| {
        let lists = lists.iter().cloned();
        Some(Mapping::Product(
            lists.map(|(name, source)| (name.into(), source)).collect(),
        ))
    };
    let measure = task("measure");
    assert_eq!(measure.arguments, [mapped("file"), mapped("size")]);
    let literal = Source::Literal("[1,2]".to_owned());
    assert_eq!(
        measure.mapping,
        product(&[("file", output("list")), ("size", literal)])
    );
    let same = task("same");
    assert_eq!(
        same.arguments,
        [mapped("file"), Argument::Literal("5".to_owned())]
    );
    assert_eq!(same.mapping, product(&[("file", output("list"))]));
    assert_eq!(
        task("again").arguments,
        [Argument::Output("measure".to_owned())]
    );
    let lists = Source::Literal("[[1],[2,3]]".to_owned());
    assert_eq!(task("lists").mapping, product(&[("sizes", lists)]));
    let zipped = Source::Zip {
        sources: vec![output("list"), output("ones")],
        fill: Some("null"),
    };
    assert_eq!(task("pair").mapping, product(&[("argument_1", zipped)]));
    let kwargs = task("orders_of");
    assert_eq!(kwargs.arguments, [mapped("file"), mapped("size")]);
    assert_eq!(kwargs.mapping, Some(Mapping::Keywords(output("orders"))));
}

#[dag]
fn over_a_map() {
    two::expand(each(sizes()));
    two::expand(each(BTreeMap::from([("a".to_owned(), 1)]))).id("fixed");
}

#[task]
fn two((name, size): (String, u64)) {
    info!("{name} {size}");
}

#[test]
fn a_map_is_a_list_of_its_pairs() {
    let dag = testing::parse::<over_a_map>().unwrap();
    let Some(Mapping::Product(lists)) = &dag.task("fixed").unwrap().mapping else {
        panic!("{dag:?}")
    };
    assert_eq!(lists[0].1, Source::Literal("{\"a\":1}".to_owned()));
}

#[dag]
fn grouped() {
    let start = start();
    let load = group("load", || {
        let files = list();
        let inner = group("inner", || measure::expand(each(&files), 1));
        total(inner.output)
    });
    load.after(start);
    start::with_id("end").after(&load);
    let again = start::with_id("again");
    again.after(total(vec![1]).id("load_total"));
}

#[test]
fn a_groups_tasks_bear_its_id_and_it_is_wired_at_its_edges() {
    let dag = testing::parse::<grouped>().unwrap();
    let ids: Vec<&str> = dag.tasks.iter().map(|task| &*task.task_id).collect();
    assert_eq!(
        ids,
        [
            "start",
            "load.list",
            "load.inner.measure",
            "load.total",
            "end",
            "again",
            "load_total"
        ]
    );
    let groups: Vec<_> = dag
        .groups
        .iter()
        .map(|group| (group.group_id.as_str(), group.parent.as_deref()))
        .collect();
    assert_eq!(groups, [("load", None), ("load.inner", Some("load"))]);
    let task = |id: &str| dag.task(id).unwrap();
    assert_eq!(
        task("load.inner.measure").group.as_deref(),
        Some("load.inner")
    );
    assert_eq!(task("load.list").upstream, ["start"]);
    assert_eq!(task("load.total").upstream, [""; 0]);
    assert_eq!(task("end").upstream, ["load.total"]);
}

#[dag]
fn mapped_groups() {
    let sizes = TaskGroup::new("per_file").doc("One file").expand(
        (each(list()), each([1, 2])),
        |(file, size)| {
            let measured = measure(&file, &size);
            start().after(&measured);
            (measured, ())
        },
    );
    total(sizes.output.0);
}

#[test]
fn a_mapped_groups_tasks_get_parts_and_its_outputs_are_lists() {
    let dag = testing::parse::<mapped_groups>().unwrap();
    let group = dag.group("per_file").unwrap();
    assert_eq!(group.mapping[0], ("item".into(), output("list")));
    assert_eq!(group.mapping[1].0, "item_2");
    assert_eq!(group.doc.as_deref(), Some("One file"));
    let measure = dag.task("per_file.measure").unwrap();
    assert_eq!(measure.arguments, [mapped("item"), mapped("item_2")]);
    assert_eq!(measure.mapping, None);
    let total = dag.task("total").unwrap();
    assert_eq!(
        total.arguments,
        [Argument::Output("per_file.measure".to_owned())]
    );
}

thread_local! {
    static SMUGGLED: std::cell::RefCell<Option<Part<String>>> = const { std::cell::RefCell::new(None) };
}

#[dag]
fn clumsy() {
    measure::expand("a", 1);
    group("empty", || ());
    group("a", || start());
    group("a", || start().id("other"));
    TaskGroup::new("twice").expand(each(["x"]), |file| {
        SMUGGLED.replace(Some(file.clone()));
        measure::expand(file, each([1]));
        TaskGroup::new("inner").expand(each([1]), |size| measure("a", size));
    });
    if let Some(file) = SMUGGLED.take() {
        measure(file, 1).id("outside");
    }
    zipped::expand(each(zip(zip(["a"], [1]), [2])));
}

#[task]
fn zipped(((file, size), more): ((String, u64), u64)) {
    info!("{file} {size} {more}");
}

#[test]
fn every_mistake_in_mapping_is_named_with_its_place_and_fix() {
    let errors = testing::parse::<clumsy>().unwrap_err();
    let texts: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
    let line = clumsy::SPEC.location.line;
    let at = |below: u32| format!("{}:{}", clumsy::SPEC.location.file, line + below);
    assert_eq!(
        texts,
        [
            format!(
                "there already is a group `a`, opened at {}; give one of the two another id",
                at(3)
            )
            .as_str(),
            "group `empty` has no task; call at least one in it",
            "group `twice.inner` is mapped, and so is a group around it; map one of the two",
            "task `measure` is expanded over nothing; wrap the list to map over in `each(…)`",
            "task `twice.measure` is mapped, and so is the group around it; map one of the two",
            "task `outside` uses a part of a mapped group that it does not stand in; call it in that group's function",
            "task `zipped` is mapped over a zip of a zip; zip the lists themselves, with `zip3` where there are three",
        ]
    );
}
