//! Random DAGs of up to thirty tasks with all that a DAG can have, and what their tries give.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use super::*;
use crate::{
    dag::{DagSpec, GroupSpec, MappedParameter, Mapping, Role, Source},
    outcome::Downstream,
};

/// One task before it has a name.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    rule: TriggerRule,
    retries: u32,
    ups: Vec<usize>,
    role: u8,
    mapping: u8,
    over: usize,
    group: u8,
    past: bool,
}

fn shape() -> impl Strategy<Value = Shape> {
    let usual = prop_oneof![
        2 => Just(TriggerRule::AllSuccess),
        5 => proptest::sample::select(TriggerRule::ALL),
    ];
    let ups = proptest::collection::vec(any::<usize>(), 0..4);
    let around = (any::<u8>(), any::<u8>(), any::<usize>(), any::<u8>());
    (usual, 0_u32..3, ups, around, any::<bool>()).prop_map(
        |(rule, retries, ups, (role, mapping, over, group), past)| Shape {
            rule,
            retries,
            ups,
            role: role % 8,
            mapping: mapping % 12,
            over,
            group: group % 6,
            past,
        },
    )
}

/// What makes a whole DAG: its tasks, over what its two mapped groups are mapped, whether it fails fast and
/// has tasks that depend on the past.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) shapes: Vec<Shape>,
    pub(super) groups: [u8; 2],
    pub(super) fails_fast: bool,
    pub(super) has_past: bool,
}

pub(super) fn plans(order_decides: bool) -> impl Strategy<Value = Plan> {
    let shapes = proptest::collection::vec(shape(), 1..=30);
    let both = (any::<bool>(), any::<bool>());
    (shapes, any::<[u8; 2]>(), both).prop_map(move |(shapes, groups, (fails_fast, has_past))| {
        Plan {
            shapes,
            groups,
            fails_fast: fails_fast && order_decides,
            has_past: has_past && order_decides,
        }
    })
}

fn parameter(name: &str, source: Source) -> MappedParameter {
    MappedParameter {
        name: name.into(),
        source,
    }
}

impl Plan {
    /// The tasks of the mapped groups stand behind the middle, what those are mapped over before it.
    pub(super) fn spec(&self) -> DagSpec {
        let name = |i: usize| format!("t{i}");
        let middle = self.shapes.len() / 2;
        let literal = |n: u8| {
            Source::Literal(["[]", "[1]", "[1,2]", "{\"a\":1,\"b\":2}"][usize::from(n % 4)].into())
        };
        let task = |(i, shape): (usize, &Shape)| {
            let before = |up: &usize| name(up % i.max(1));
            let ups: Vec<String> = shape.ups.iter().filter(|_| i > 0).map(before).collect();
            let refs: Vec<&str> = ups.iter().map(String::as_str).collect();
            let mut task = make::task(&name(i), &refs);
            task.trigger_rule = shape.rule;
            task.retries = shape.retries;
            task.depends_on_past = self.has_past && shape.past;
            task.role = match shape.role {
                0 => Role::Setup,
                1 => Role::Teardown {
                    on_failure_fail_dagrun: shape.past,
                },
                _ => Role::Work,
            };
            if self.fails_fast {
                task.trigger_rule = TriggerRule::AllSuccess;
            }
            task.group = match shape.group {
                0 | 1 if i >= middle => Some(["g", "h"][usize::from(shape.group)].into()),
                2 if i >= middle => Some("inner".into()),
                3 => Some("plain".into()),
                _ => None,
            };
            let grouped = matches!(task.group.as_deref(), Some("g" | "h" | "inner"));
            let output = || Source::Output(name(shape.over % i.max(1)));
            let product = |sources: Vec<Source>| {
                let names = ["x", "y"].into_iter().zip(sources);
                Some(Mapping::Product(
                    names.map(|(n, s)| parameter(n, s)).collect(),
                ))
            };
            let zip = |fill: Option<&str>| Source::Zip {
                sources: vec![output(), literal(2)],
                fill: fill.map(Into::into),
            };
            task.mapping = match shape.mapping {
                _ if grouped => None,
                0 => product(vec![literal(u8::try_from(shape.over % 4).unwrap())]),
                1 | 2 if i > 0 => product(vec![output()]),
                3 if i > 0 => product(vec![literal(2), output()]),
                4 if i > 0 => product(vec![zip(None)]),
                5 if i > 0 => product(vec![zip(Some("0"))]),
                6 if i > 0 => Some(Mapping::Keywords(output())),
                _ => None,
            };
            task
        };
        let tasks: Vec<TaskSpec> = self.shapes.iter().enumerate().map(task).collect();
        let over = |choice: u8| match choice % 3 {
            0 => literal(choice / 3),
            _ if middle == 0 => literal(2),
            _ => Source::Output(name(usize::from(choice / 3) % middle)),
        };
        let group = |id: &str, mapping: Vec<MappedParameter>, parent: Option<&str>| GroupSpec {
            group_id: id.into(),
            parent: parent.map(Into::into),
            mapping,
            ..GroupSpec::default()
        };
        DagSpec {
            fail_fast: self.fails_fast,
            groups: vec![
                group("plain", vec![], None),
                group("g", vec![parameter("x", over(self.groups[0]))], None),
                group("inner", vec![], Some("g")),
                group(
                    "h",
                    vec![parameter("x", over(self.groups[1]))],
                    Some("plain"),
                ),
            ],
            ..make::dag(tasks)
        }
    }
}

/// What the tries give, by task, map index and the number of the claim: the same in each replay.
#[derive(Debug, Clone)]
pub(super) struct Luck {
    pub(super) seed: u64,
    /// How often each instance has been rescheduled.
    pub(super) pokes: BTreeMap<InstanceIndex, u32>,
}

impl Luck {
    fn roll(&self, at: InstanceIndex, what: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.seed, at.task.0, at.map_index.0, what).hash(&mut hasher);
        hasher.finish()
    }

    /// What comes of a try, and how many elements it returned, if any.
    pub(super) fn outcome(
        &mut self,
        dag: &Dag,
        at: InstanceIndex,
        token: Token,
    ) -> (Outcome, Option<u32>) {
        let roll = self.roll(at, token.get());
        let decided = |downstream| Outcome::Success {
            xcoms: vec![],
            downstream,
            events: vec![],
        };
        let pokes = self.pokes.entry(at).or_default();
        let outcome = match roll % 16 {
            0..=6 => success(),
            7 => decided(Downstream::Skip {
                all: roll % 32 > 15,
            }),
            8 | 9 => {
                let (task, _) = dag.task(at.task).unwrap();
                let names = task.downstream.iter().enumerate().filter_map(|(i, &down)| {
                    let (task, _) = dag.task(down)?;
                    (roll >> (8 + i) & 1 == 1).then(|| task.id.to_string())
                });
                decided(Downstream::Follow(names.collect()))
            }
            10 => Outcome::Skipped {
                reason: "no".into(),
            },
            11 if *pokes < 3 => {
                *pokes += 1;
                Outcome::Rescheduled { at: T0 }
            }
            11..=13 => failure(FailureKind::Error),
            14 => failure(FailureKind::Timeout),
            _ => failure(FailureKind::Final),
        };
        let source = dag.task(at.task).is_some_and(|(task, _)| task.is_source);
        let returned = source && matches!(outcome, Outcome::Success { .. }) && roll >> 20 & 7 > 0;
        let length = match at.map_index {
            MapIndex::UNMAPPED => u32::try_from(roll >> 24 & 3).unwrap(),
            _ => 1,
        };
        (outcome, returned.then_some(length))
    }
}
