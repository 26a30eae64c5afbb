//! A parse that reads variables: one that may be granted to it, and one that may not. What it saw is in its
//! DAG's description.

use hostile_raw::{
    airlock::{
        bundle::definitions::Parsed,
        capability::{errors::Error, variables},
    },
    dag, parsed,
};

fn parse() -> Parsed {
    let mut seen = dag("variables", Vec::new());
    let hidden = match variables::get("for_task") {
        Err(Error::Denied(_)) => "denied",
        _ => "seen",
    };
    seen.description = Some(format!("{:?} {hidden}", variables::get("for_parse")));
    parsed(vec![seen])
}

hostile_raw::parses!(parse);
