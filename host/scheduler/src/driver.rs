//! The loop around the engine: events in, batches out, tries on their way.
//!
//! One task, which wakes for an event, a timer, or the end of a write, and otherwise sleeps. At most one
//! batch is on its way to the store; what comes to pass meanwhile makes the next. A batch that cannot be
//! written (a full disk, a lost connection) is written again until it can, and nothing is built on it
//! before: the scheduler stands still rather than forget.

use std::{collections::HashSet, future::Future, pin::Pin, sync::Arc, time::Duration};

use airlock_model::{
    id::{RunKey, TriggerId},
    outcome::Outcome,
    port::{
        Batch, CallbackStore, Clock, CommitError, DagStore, DeadlineFilter, Page, RunStore,
        SchedulerHealth,
    },
    state::RunType,
    time::Timestamp,
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tracing::{error, info, warn};

use crate::{
    Ports,
    abroad::{Abroad, Beside},
    engine::{AfterCommit, Answer, Claim, Dispatch, Engine, Event},
    handle::Handle,
    lists::{Lists, until_written},
    questions::Questions,
    seen::Seen,
};

/// How far a shutdown has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shutdown {
    /// Not asked for.
    No,
    /// Take on nothing new, wait for tries in flight.
    Drain,
    /// Stop as soon as what is decided is written.
    Now,
}

/// The scheduler, ready to run.
pub struct Scheduler {
    engine: Engine,
    ports: Ports,
    channel: Channel,
    options: crate::Options,
    store_ok: bool,
    lists: Arc<Lists>,
    questions: Questions,
    abroad: Abroad,
    due_to_renew: Instant,
    due_to_reap: Instant,
}

impl std::fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scheduler")
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}

/// The scheduler's end of its [`Handle`].
#[derive(Debug)]
pub struct Channel {
    events: mpsc::UnboundedReceiver<Event>,
    /// For events that make a detour and come back.
    again: mpsc::UnboundedSender<Event>,
    health: watch::Sender<SchedulerHealth>,
    beside: Arc<Beside>,
}

type Write = Pin<Box<dyn Future<Output = (Result<(), CommitError>, Batch, AfterCommit)> + Send>>;

/// Events taken in before timers, writes and signals are looked at again.
const EVENTS_PER_ROUND: usize = 4096;
/// Between two attempts to write a batch: the first pause, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

impl Scheduler {
    /// The handle by which others reach a scheduler, and what [`Scheduler::new`] takes of it. Made before
    /// the scheduler, because its executor needs the handle.
    #[must_use]
    pub fn channel(
        dags: Arc<dyn DagStore>,
        runs: Arc<dyn RunStore>,
        callbacks: Arc<dyn CallbackStore>,
        clock: Arc<dyn Clock>,
    ) -> (Handle, Channel) {
        let (events, receiver) = mpsc::unbounded_channel();
        let (tell, health) = watch::channel(SchedulerHealth {
            last_heartbeat: clock.now(),
            store_ok: true,
            active_runs: 0,
            commits: 0,
            teams: Vec::new(),
        });
        let beside = Arc::new(Beside::default());
        let channel = Channel {
            events: receiver,
            again: events.clone(),
            health: tell,
            beside: Arc::clone(&beside),
        };
        let handle = Handle {
            events,
            health,
            dags,
            runs,
            callbacks,
            clock,
            beside,
            announcing: Arc::default(),
        };
        (handle, channel)
    }

    /// A scheduler around an engine into which unfinished runs have been [restored](Engine::restore).
    #[must_use]
    pub fn new(engine: Engine, options: crate::Options, ports: Ports, channel: Channel) -> Self {
        let due_to_renew = Instant::now() + options.heartbeat;
        let due_to_reap = Instant::now() + options.zombie_detection_interval;
        let questions = Questions {
            ports: ports.clone(),
            events: channel.again.clone(),
        };
        let abroad = Abroad::new(questions.clone(), &options, Arc::clone(&channel.beside));
        Self {
            engine,
            ports,
            channel,
            options,
            store_ok: true,
            lists: Arc::default(),
            questions,
            abroad,
            due_to_renew,
            due_to_reap,
        }
    }

    /// Runs until a shutdown is through.
    pub async fn run(mut self, mut shutdown: watch::Receiver<Shutdown>) {
        let mut write: Option<Write> = None;
        let mut drain_until: Option<Instant> = None;
        self.abroad.start(&shutdown);
        loop {
            let now = self.ports.clock.now();
            let asked = *shutdown.borrow_and_update();
            if asked >= Shutdown::Drain && drain_until.is_none() {
                info!(
                    in_flight = self.engine.in_flight(),
                    "draining: no new tries, waiting for those in flight"
                );
                self.engine.drain();
                drain_until = Some(Instant::now() + self.options.drain_timeout);
            }
            self.engine.tick(now);
            self.engine.admit(now);
            for kill in self.engine.take_kills() {
                self.kill(kill);
            }
            self.ask();
            self.look_for_zombies(now);
            self.tell_health(now);
            let waited_enough = drain_until.is_some_and(|until| Instant::now() >= until);
            let stop = asked == Shutdown::Now
                || drain_until.is_some() && (self.is_idle() || waited_enough);
            if write.is_none() && (stop && self.engine.batch_due().is_some() || self.is_due(now)) {
                write = Some(self.begin_write());
            }
            if stop && write.is_none() {
                return;
            }
            let sleep = tokio::time::sleep_until(self.wake_at(now, drain_until, write.is_some()));
            tokio::select! {
                biased;
                done = async { match write.as_mut() { Some(write) => write.await, None => std::future::pending().await } } => {
                    write = self.written(done).await;
                }
                event = self.channel.events.recv() => {
                    let Some(event) = event else { return };
                    self.take_in(event);
                }
                _ = shutdown.changed() => {}
                () = sleep => {}
            }
        }
    }

    /// Heartbeats and the search for zombies, when they are due. The heartbeat wakes the loop; the search is
    /// made at the first round after it is due, which is at most a heartbeat later.
    fn look_for_zombies(&mut self, now: Timestamp) {
        let instant = Instant::now();
        if instant >= self.due_to_renew {
            let executor = Arc::clone(&self.ports.executor);
            self.engine
                .renew(now, |key, token| executor.holds(key, token));
            self.due_to_renew = instant + self.options.heartbeat;
        }
        if instant >= self.due_to_reap {
            self.engine.reap(now);
            self.due_to_reap = instant + self.options.zombie_detection_interval;
        }
    }

    /// Nothing is on its way: no try, no poll, no callback.
    fn is_idle(&self) -> bool {
        self.engine.in_flight() == 0 && self.abroad.is_idle()
    }

    fn is_due(&self, now: Timestamp) -> bool {
        self.engine.batch_due().is_some_and(|due| due <= now)
    }

    /// When there is something to do even if nothing happens: at the latest at the next heartbeat, by which
    /// others see that the loop lives.
    fn wake_at(&self, now: Timestamp, drain_until: Option<Instant>, writing: bool) -> Instant {
        let timer = self.engine.next_timer();
        let batch = self.engine.batch_due().filter(|_| !writing);
        let due = [timer, batch].into_iter().flatten().min();
        let due = due.map(|at| Instant::now() + at.since(now).min(self.options.heartbeat));
        [due, drain_until]
            .into_iter()
            .flatten()
            .fold(self.due_to_renew, Instant::min)
    }

    /// Takes in an event and whatever else has come in the meantime.
    fn take_in(&mut self, first: Event) {
        let mut next = Some(first);
        let mut taken = 0;
        while let Some(event) = next {
            if let Some(event) = self.spills(event) {
                self.engine.handle(event, self.ports.clock.now());
            }
            taken += 1;
            next = if taken < EVENTS_PER_ROUND {
                self.channel.events.try_recv().ok()
            } else {
                None
            };
        }
    }

    /// An end with a large XCom goes round by the content store and comes back; any other passes.
    fn spills(&self, event: Event) -> Option<Event> {
        let Event::Ended(mut ending) = event else {
            return Some(event);
        };
        let large = match &ending.report.outcome {
            Outcome::Success { xcoms, .. } if ending.spilled.is_empty() => {
                let large = xcoms
                    .iter()
                    .enumerate()
                    .filter(|(_, (_, value))| value.len() > self.options.spill_bytes);
                large
                    .map(|(position, (_, value))| (position, Arc::clone(value)))
                    .collect()
            }
            _ => Vec::new(),
        };
        if large.is_empty() {
            return Some(Event::Ended(ending));
        }
        let (blobs, events) = (Arc::clone(&self.ports.blobs), self.channel.again.clone());
        tokio::spawn(async move {
            for (position, value) in large {
                let hash = until_written(|| blobs.put(value.as_bytes())).await;
                ending.spilled.push((position, hash));
            }
            let _ = events.send(Event::Ended(ending));
        });
        None
    }

    fn begin_write(&mut self) -> Write {
        let (batch, after) = self.engine.take_batch();
        self.write(batch, after, Duration::ZERO)
    }

    fn write(&self, batch: Batch, after: AfterCommit, pause: Duration) -> Write {
        let runs = Arc::clone(&self.ports.runs);
        Box::pin(async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            let result = if batch.is_empty() {
                Ok(())
            } else {
                runs.commit(&batch).await
            };
            (result, batch, after)
        })
    }

    /// A write has come back: what it allows is done, or it is made again.
    async fn written(
        &mut self,
        done: (Result<(), CommitError>, Batch, AfterCommit),
    ) -> Option<Write> {
        let (result, mut batch, mut after) = done;
        let now = self.ports.clock.now();
        match result {
            Ok(()) => {
                if !self.store_ok {
                    info!("the store is writable again");
                }
                self.store_ok = true;
                self.engine.committed(&after);
                self.follow_up(after);
                None
            }
            Err(CommitError::Store(error)) => {
                if self.store_ok {
                    error!(%error, "a batch could not be written; nothing is started until it is");
                }
                self.store_ok = false;
                let pause = if error.is_transient() {
                    RETRY.0
                } else {
                    RETRY.1
                };
                Some(self.write(batch, after, pause))
            }
            Err(CommitError::Fenced(keys)) => {
                let runs: HashSet<RunKey> = keys.into_iter().map(|key| key.run).collect();
                warn!(
                    runs = runs.len(),
                    "somebody else has moved task instances; their runs are read again"
                );
                self.evict(&runs, &mut batch, &mut after, now);
                for run in runs {
                    self.read_again(run, now).await;
                }
                Some(self.write(batch, after, Duration::ZERO))
            }
            Err(CommitError::BackfillExists(ids)) => {
                let runs = self.engine.refuse_backfills(&ids, &mut batch, &mut after);
                let runs = runs.into_iter().collect();
                self.evict(&runs, &mut batch, &mut after, now);
                // Those that it took over are as they were before.
                for run in runs {
                    self.read_again(run, now).await;
                }
                Some(self.write(batch, after, Duration::ZERO))
            }
            Err(CommitError::LeaseLost(ids)) => {
                // Who holds them sees the same changes, which have the same keys.
                batch.watched.retain(|(id, ..)| !ids.contains(id));
                Some(self.write(batch, after, Duration::ZERO))
            }
            Err(CommitError::RunExists(keys)) => {
                let runs = keys.into_iter().collect();
                self.evict(&runs, &mut batch, &mut after, now);
                Some(self.write(batch, after, Duration::ZERO))
            }
        }
    }

    fn evict(
        &mut self,
        runs: &HashSet<RunKey>,
        batch: &mut Batch,
        after: &mut AfterCommit,
        now: Timestamp,
    ) {
        for claim in self.engine.evict(runs, batch, after, now) {
            self.kill(claim);
        }
    }

    async fn read_again(&mut self, key: RunKey, now: Timestamp) {
        let found = async {
            let Some(stored) = self.ports.runs.stored_run(key).await? else {
                return Ok(None);
            };
            let ahead = DeadlineFilter {
                dag_id: Some(stored.run.dag_id.clone()),
                missed: Some(false),
                ..DeadlineFilter::default()
            };
            let mut deadlines = self
                .ports
                .deadlines
                .deadlines(&ahead, Page::ALL)
                .await?
                .items;
            deadlines.retain(|row| row.run == key);
            self.engine.restore_deadlines(deadlines);
            if stored.run.state.is_terminal() {
                return Ok(None);
            }
            crate::import::pinned(&*self.ports.dags, stored).await
        };
        match found.await {
            Ok(Some((stored, dag, bundle, paused))) => {
                self.engine.restore(stored, dag, bundle, paused, now)
            }
            Ok(None) => {}
            Err(error) => {
                error!(run = ?key, %error, "a run could not be read again; it goes on at the next start")
            }
        }
    }

    fn kill(&self, claim: Claim) {
        let key = airlock_model::id::TaskInstanceKey {
            run: claim.run,
            task: claim.at.task,
            map_index: claim.at.map_index,
        };
        self.ports.executor.kill(key, claim.token);
    }

    /// A batch is durable: its tries start, and people hear of their runs.
    fn follow_up(&mut self, after: AfterCommit) {
        for dag_id in after.failed {
            if let Some(most) = self.engine.most_failures(&dag_id) {
                tokio::spawn(self.questions.clone().failures(dag_id, most));
            }
        }
        for claim in after.claims {
            let Some(dispatch) = self.engine.dispatch(claim, self.ports.clock.now()) else {
                continue;
            };
            if dispatch.is_whole() {
                self.ports.executor.dispatch(dispatch.work);
            } else {
                self.fetch_and_dispatch(dispatch);
            }
        }
        for question in after.states {
            tokio::spawn(self.questions.clone().state(question));
        }
        for question in after.averages {
            tokio::spawn(self.questions.clone().average(question));
        }
        self.wake_triggers(after.woken);
        if after.triggers {
            self.channel.beside.triggers.notify_one();
        }
        if after.callbacks {
            self.channel.beside.callbacks.notify_one();
        }
        after.answers.into_iter().for_each(Answer::tell);
        for (told, reply) in after.backfills {
            // Nobody may be waiting any more, which is their right.
            let _ = reply.send(Ok(told));
        }
        for (_, row, reply) in after.replies {
            // Nobody may be waiting any more, which is their right.
            let _ = reply.send(Ok(row));
        }
    }

    /// Arguments that are not in memory (large ones, and all after a restart) are read first.
    fn fetch_and_dispatch(&self, dispatch: Dispatch) {
        let (xcoms, executor) = (
            Arc::clone(&self.ports.xcoms),
            Arc::clone(&self.ports.executor),
        );
        let (lists, assets) = (Arc::clone(&self.lists), Arc::clone(&self.ports.assets));
        tokio::spawn(async move {
            let Dispatch {
                mut work,
                missing,
                inlets,
            } = dispatch;
            let seen = Seen(&*assets);
            if work.run_type == RunType::AssetTriggered {
                work.triggering_events = seen.made(work.key.run).await;
            }
            work.inlet_events = seen.latest(&inlets).await;
            for (position, piece) in missing {
                let value = lists.value(work.key.run, &piece, &*xcoms).await;
                if let Some(slot) = work.arguments.get_mut(position) {
                    *slot = value;
                }
            }
            executor.dispatch(work);
        });
    }

    /// Triggers have heard something for which they wait, which is durable by now.
    fn wake_triggers(&self, woken: Vec<TriggerId>) {
        if woken.is_empty() {
            return;
        }
        let triggers = Arc::clone(&self.ports.triggers);
        let (beside, now) = (Arc::clone(&self.channel.beside), self.ports.clock.now());
        tokio::spawn(async move {
            until_written(|| triggers.wake_triggers(&woken, now)).await;
            beside.triggers.notify_one();
        });
    }

    /// Passes on what the engine wants to know or has to say to those who work beside it.
    fn ask(&mut self) {
        let questions = &self.questions;
        for question in self.engine.take_questions() {
            tokio::spawn(questions.clone().past(question));
        }
        for question in self.engine.take_timetable_questions() {
            tokio::spawn(questions.clone().timetable(question));
        }
        for question in self.engine.take_cover_questions() {
            tokio::spawn(questions.clone().cover(question));
        }
        for sighting in self.engine.take_sightings() {
            tokio::spawn(questions.clone().unseen(sighting));
        }
        for order in self.engine.take_file_orders() {
            self.abroad.files(order);
        }
        if let Some(active) = self.engine.take_active_watchers() {
            self.channel.beside.active.send_replace(active);
        }
    }

    fn tell_health(&self, now: Timestamp) {
        let health = self.engine.health(now, self.store_ok);
        self.channel.health.send_replace(health);
    }
}
