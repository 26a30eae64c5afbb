//! Two tasks of one name in a DAG, and two DAGs of one name.

use hostile_raw::{airlock::bundle::definitions::Parsed, dag, parsed, task};

fn parse() -> Parsed {
    parsed(vec![
        dag("twice", vec![task("a", "", &[]), task("a", "", &[])]),
        dag("same", vec![task("a", "", &[])]),
        dag("same", vec![task("b", "", &[])]),
    ])
}

hostile_raw::parses!(parse);
