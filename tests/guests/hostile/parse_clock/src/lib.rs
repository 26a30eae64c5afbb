//! A parse that asks for the time and for random numbers, and sleeps for a day. What it saw is in its DAG's
//! description.

use std::{
    collections::HashSet,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use hostile_raw::{
    airlock::{
        bundle::definitions::Parsed,
        capability::xcom::{self, Address},
    },
    dag, parsed,
};

fn parse() -> Parsed {
    let begin = Instant::now();
    std::thread::sleep(Duration::from_secs(86_400));
    let wall = SystemTime::now().duration_since(UNIX_EPOCH);
    let set: HashSet<u32> = (0..100).collect();
    let order: Vec<u32> = set.into_iter().take(5).collect();
    let pulled = xcom::pull(&Address {
        dag_id: Some("clock".to_owned()),
        run_id: Some("r".to_owned()),
        task_id: "t".to_owned(),
        map_index: -1,
        key: "return_value".to_owned(),
    });
    let pushed = xcom::push("k", "1");
    let mut seen = dag("clock", Vec::new());
    seen.description = Some(format!(
        "{wall:?} {:?} {order:?} {} {}",
        begin.elapsed(),
        pulled.is_err(),
        pushed.is_err()
    ));
    parsed(vec![seen])
}

hostile_raw::parses!(parse);
