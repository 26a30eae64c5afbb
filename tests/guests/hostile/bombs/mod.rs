//! DAGs that would become more than anybody can hold, by mapping over what is long, over products of what is long, and
//! over what is mapped itself.

use crate::{
    generated::{
        airlock::bundle::definitions::{Dag, MappedParameter, Mapping, Source, Task},
        exports::airlock::bundle::tasks::Outcome,
    },
    parse,
};

/// What is returned by the entry `gives.N`: a list of so many; none by another entry.
pub(crate) fn given(entry: &str) -> Option<Outcome> {
    let count = entry.strip_prefix("gives.")?.parse().ok()?;
    Some(parse::success(Some(list(count))))
}

fn list(count: usize) -> String {
    format!("[{}]", vec!["0"; count].join(","))
}

fn over(task_id: &str, sources: &[Source]) -> Task {
    let named = |(number, source): (usize, &Source)| MappedParameter {
        name: format!("p{number}"),
        source: source.clone(),
    };
    let parameters = sources.iter().enumerate().map(named).collect();
    Task {
        mapping: Some(Mapping::Product(parameters)),
        ..parse::task(task_id, "gives.1")
    }
}

/// Those that are made into many while they run.
pub(crate) fn dags() -> Vec<Dag> {
    let of = |task: &str| Source::Output(task.to_owned());
    let gives = |count| parse::task("gives", &format!("gives.{count}"));
    vec![
        parse::dag(
            "bomb_list",
            vec![gives(5_000), over("each", &[of("gives")])],
        ),
        parse::dag(
            "bomb_product",
            vec![
                gives(1_000),
                over("each", &[of("gives"), of("gives"), of("gives")]),
            ],
        ),
        parse::dag(
            "bomb_mapped",
            vec![
                gives(400),
                over("each", &[of("gives")]),
                over("again", &[of("each"), of("each")]),
            ],
        ),
    ]
}

/// One that is too many before it runs.
pub(crate) fn literal() -> Dag {
    let thousand = Source::Literal(list(1_000));
    let sources = [thousand.clone(), thousand.clone(), thousand];
    parse::dag("told_bomb", vec![over("each", &sources)])
}
