//! Who runs tries, in memory: what they give follows from a seed, their task instance and their claim.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use airlock_model::{
    dag::{AssetRef, Dag},
    id::{DagId, TaskInstanceKey, Token},
    outcome::{Downstream, Failure, FailureKind, Outcome},
    port::{RETURN_VALUE, Work},
    state::RunState,
    time::Timestamp,
    trigger::{Deferral, HostEvent, OwnTrigger, Resume, RunRef, Trigger},
};

/// A try on its way.
#[derive(Debug)]
pub(crate) struct Try {
    pub(crate) work: Work,
    pub(crate) dag: Arc<Dag>,
    /// When it ends, in a world whose clock decides that.
    pub(crate) ends_at: Timestamp,
}

#[derive(Debug, Default)]
pub(crate) struct Executor {
    pub(crate) seed: u64,
    /// Tries that this host runs.
    pub(crate) running: BTreeMap<TaskInstanceKey, Try>,
    /// Tries that were ended, or that an earlier host started: they may still report.
    pub(crate) ghosts: Vec<(TaskInstanceKey, Token, Outcome)>,
}

/// A number that looks like chance and is the same in each replay.
pub(crate) fn roll(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

impl Executor {
    fn luck(&self, of: &Try) -> u64 {
        let key = of.work.key;
        roll((
            self.seed,
            key.run.0,
            key.task.0,
            key.map_index.0,
            of.work.token.get(),
        ))
    }

    pub(crate) fn dispatch(&mut self, work: Work, dag: Arc<Dag>, now: Timestamp) {
        let key = work.key;
        let mut new = Try {
            work,
            dag,
            ends_at: now,
        };
        let seconds = 5 + self.luck(&new) % 600;
        new.ends_at = now.after(Duration::from_secs(seconds));
        let old = self.running.insert(key, new);
        assert!(
            old.is_none(),
            "two tries of a task instance at once: {key:?}"
        );
    }

    /// A try is not wanted any more. What it had to say it may still say.
    pub(crate) fn kill(&mut self, key: TaskInstanceKey, token: Token) {
        if self
            .running
            .get(&key)
            .is_some_and(|running| running.work.token == token)
        {
            self.haunt(key);
        }
    }

    fn haunt(&mut self, key: TaskInstanceKey) {
        if let Some((key, token, outcome)) = self.end(key, Timestamp::EPOCH) {
            self.ghosts.push((key, token, outcome));
        }
    }

    /// The host is gone.
    pub(crate) fn crash(&mut self) {
        let all: Vec<_> = self.running.keys().copied().collect();
        all.into_iter().for_each(|key| self.haunt(key));
    }

    /// Ends a try and says how.
    pub(crate) fn end(
        &mut self,
        key: TaskInstanceKey,
        now: Timestamp,
    ) -> Option<(TaskInstanceKey, Token, Outcome)> {
        let ended = self.running.remove(&key)?;
        Some((key, ended.work.token, self.outcome(&ended, now)))
    }

    /// Mostly well; a task that depends on the past fails only for a while, because nothing would go on after
    /// its failure.
    fn outcome(&self, of: &Try, now: Timestamp) -> Outcome {
        let luck = self.luck(of);
        let (task, spec) = of.dag.task(of.work.key.task).unwrap();
        let length = u32::try_from(luck >> 8 & 3).unwrap();
        let list: Vec<u32> = (0..length).collect();
        let value = serde_json::to_string(&list).unwrap();
        let success = |downstream| Outcome::Success {
            xcoms: vec![(RETURN_VALUE.into(), value.as_str().into())],
            downstream,
            events: vec![],
        };
        let failed = |kind| {
            Outcome::Failed(Failure {
                kind,
                message: "no".into(),
                causes: vec![],
                location: None,
            })
        };
        if spec.entry == "sensor" && !luck.is_multiple_of(4) && of.work.token.get() < 12 {
            let at = now.after(Duration::from_secs(300));
            return Outcome::Rescheduled { at };
        }
        if spec.entry == "waiter" && of.work.resume.is_none() {
            return Outcome::Deferred(Box::new(deferral(luck, now)));
        }
        if spec.depends_on_past {
            return match of.work.names.try_number > 1 || !luck.is_multiple_of(4) {
                true => success(Downstream::Free),
                false => failed(FailureKind::Error),
            };
        }
        if spec.entry == "branch" {
            let downs = task.downstream.iter().filter_map(|&down| of.dag.task(down));
            let names = downs
                .enumerate()
                .filter(|(i, _)| luck >> (16 + i % 32) & 1 == 1);
            let names = names.map(|(_, (down, _))| down.id.to_string());
            return success(match luck % 8 {
                0 => Downstream::Skip { all: luck & 64 > 0 },
                _ => Downstream::Follow(names.collect()),
            });
        }
        match luck % 32 {
            0..=24 => success(Downstream::Free),
            25 => Outcome::Skipped {
                reason: "no".into(),
            },
            26..=29 => failed(FailureKind::Error),
            30 => failed(FailureKind::Timeout),
            _ => failed(FailureKind::Final),
        }
    }
}

/// A wait that ends sooner or later, whatever it waits for.
fn deferral(luck: u64, now: Timestamp) -> Deferral {
    let dag = |name| DagId::new(name).unwrap();
    let trigger = match luck % 6 {
        0 => Trigger::Time(now.after(Duration::from_secs(luck >> 8 & 511))),
        1 => Trigger::Duration(Duration::from_secs(luck >> 8 & 511)),
        2 => Trigger::Host(HostEvent::Asset(AssetRef::Name("data".into()))),
        3 => Trigger::Host(HostEvent::DagRun {
            dag_id: dag("a"),
            run: RunRef::LogicalDate("2012-01-02".parse().unwrap()),
            states: vec![RunState::Success, RunState::Failed],
        }),
        _ => Trigger::Own(OwnTrigger {
            kind: "Door".into(),
            arguments: "{}".into(),
        }),
    };
    let resume = Resume {
        method: "go_on".into(),
        arguments: "[]".into(),
    };
    let timeout = (luck % 6 >= 2).then_some(Duration::from_secs(600));
    Deferral {
        trigger,
        resume,
        timeout,
    }
}
