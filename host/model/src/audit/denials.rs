//! What was denied, on its way to the audit: every denial is counted, and few rows are written.
//!
//! A bundle that asks for the same thing a million times, or for a million things, must neither fill the
//! audit nor the memory. So each bundle has windows of a minute. Within one, the first denial of each thing
//! is a row at once, up to a number of rows; whatever comes beyond is counted, by thing up to a number of
//! things, and one row at the window's end tells the counts. The counts of all rows together are all denials.

use std::{
    collections::{BTreeMap, VecDeque, btree_map::Entry},
    time::Duration,
};

use serde_json::json;

use super::{Actor, AuditAction, AuditEntry, bounded};
use crate::{
    id::{BundleName, DagId, TaskId, TeamName},
    time::Timestamp,
};

/// How long denials of one bundle are counted together.
pub const WINDOW: Duration = Duration::from_secs(60);
/// Rows that a bundle's denials make at once in one window; the one at its end comes on top.
pub const MOST_ROWS: usize = 10;
/// Things that are counted one by one in a window; what comes beyond is counted together.
pub const MOST_THINGS: usize = 24;
/// Bundles that are counted one by one; those beyond are counted together, by team.
pub const MOST_BUNDLES: usize = 1_000;
/// Rows that wait to be written. While there are as many, denials are counted and no row is made.
pub const MOST_WAITING: usize = 1_000;
/// The longest name of a thing, in bytes: so that a window's counts fit into one row's details.
const MOST_ITEM_BYTES: usize = 80;

/// A call, or an import, that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// Whose bundle wanted it.
    pub team: TeamName,
    /// Which bundle.
    pub bundle: BundleName,
    /// The denial's stable code.
    pub code: &'static str,
    /// What was wanted.
    pub item: String,
    /// In which phase; `load` for an import.
    pub phase: &'static str,
    /// On behalf of this DAG.
    pub dag_id: Option<DagId>,
    /// On behalf of this task.
    pub task_id: Option<TaskId>,
}

/// The bundle, or the team's further bundles.
type Whose = (TeamName, Option<BundleName>);

#[derive(Debug)]
struct Window {
    began: Timestamp,
    rows: usize,
    /// How many denials of each thing have no row yet.
    held: BTreeMap<(&'static str, String), u64>,
    further: u64,
}

impl Window {
    const fn at(began: Timestamp) -> Self {
        Self {
            began,
            rows: 0,
            held: BTreeMap::new(),
            further: 0,
        }
    }

    fn end(&self) -> Timestamp {
        self.began.after(WINDOW)
    }

    /// The row that tells what has none yet.
    fn close(self, (team, bundle): Whose, now: Timestamp) -> Option<AuditEntry> {
        let count = self.held.values().sum::<u64>() + self.further;
        let items: Vec<_> = (self.held.into_iter())
            .filter(|(_, count)| *count > 0)
            .map(|((code, item), count)| json!({"code": code, "item": item, "count": count}))
            .collect();
        let detail = json!({"count": count, "since": self.began.to_string(), "items": items, "further": self.further});
        let subject = format!("{count} further denials");
        (count > 0).then(|| {
            AuditEntry::new(now, Actor::Bundle, AuditAction::CapabilityDenied, &subject)
                .of_team(Some(team))
                .of_bundle(bundle)
                .with(&detail)
        })
    }
}

/// Denials that are counted, and the rows that are to be written of them.
#[derive(Debug, Default)]
pub struct Denials {
    windows: BTreeMap<Whose, Window>,
    /// When the first of them is over.
    due: Option<Timestamp>,
    waiting: VecDeque<AuditEntry>,
}

impl Denials {
    /// Takes note of a denial. Tells whether a row waits to be written since, or there is a first window to look at
    /// when it is over.
    pub fn note(&mut self, denied: &Denied, now: Timestamp) -> bool {
        let (waited, was_due) = (self.waiting.len(), self.due);
        self.sweep(now);
        let mut whose = (denied.team.clone(), Some(denied.bundle.clone()));
        if self.windows.len() >= MOST_BUNDLES && !self.windows.contains_key(&whose) {
            whose.1 = None;
        }
        let bundle = whose.1.clone();
        let window = (self.windows.entry(whose)).or_insert_with(|| Window::at(now));
        self.due = Some(self.due.map_or(window.end(), |due| due.min(window.end())));
        let plain: String = (denied.item.chars())
            .map(|c| if c.is_control() { '\u{FFFD}' } else { c })
            .collect();
        let item = bounded(&plain, MOST_ITEM_BYTES);
        let things = window.held.len();
        match window.held.entry((denied.code, item)) {
            Entry::Occupied(mut held) => *held.get_mut() += 1,
            Entry::Vacant(_) if things >= MOST_THINGS => window.further += 1,
            Entry::Vacant(new) => {
                let has_row = window.rows < MOST_ROWS && self.waiting.len() < MOST_WAITING;
                new.insert(u64::from(!has_row));
                if has_row {
                    window.rows += 1;
                    self.waiting.push_back(row(denied, bundle, now));
                }
            }
        }
        self.waiting.len() > waited || was_due.is_none()
    }

    /// Makes rows of the windows that are over.
    pub fn sweep(&mut self, now: Timestamp) {
        let room = MOST_WAITING.saturating_sub(self.waiting.len());
        if room == 0 || self.due.is_none_or(|due| due > now) {
            return;
        }
        let over = |_: &Whose, window: &mut Window| window.end() <= now;
        let over: Vec<_> = self.windows.extract_if(.., over).take(room).collect();
        self.close(over, now);
    }

    /// Makes rows of all that was counted, at the host's end.
    pub fn finish(&mut self, now: Timestamp) {
        let all = std::mem::take(&mut self.windows);
        self.close(all, now);
    }

    fn close(&mut self, windows: impl IntoIterator<Item = (Whose, Window)>, now: Timestamp) {
        let rows = windows
            .into_iter()
            .filter_map(|(whose, window)| window.close(whose, now));
        self.waiting.extend(rows);
        self.due = self.windows.values().map(Window::end).min();
    }

    /// When the next window is over.
    #[must_use]
    pub const fn due(&self) -> Option<Timestamp> {
        self.due
    }

    /// At most `most` rows that are to be written.
    #[must_use]
    pub fn waiting(&self, most: usize) -> Vec<AuditEntry> {
        self.waiting.iter().take(most).cloned().collect()
    }

    /// The first `rows` of those were written.
    pub fn written(&mut self, rows: usize) {
        self.waiting.drain(..rows.min(self.waiting.len()));
    }
}

fn row(denied: &Denied, bundle: Option<BundleName>, now: Timestamp) -> AuditEntry {
    let detail = json!({
        "count": 1,
        "code": denied.code,
        "phase": denied.phase,
        "bundle": denied.bundle,
        "dag_id": denied.dag_id,
        "task_id": denied.task_id,
    });
    let action = AuditAction::CapabilityDenied;
    AuditEntry::new(now, Actor::Bundle, action, &denied.item)
        .of_team(Some(denied.team.clone()))
        .of_bundle(bundle)
        .with(&detail)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn denied(bundle: &str, item: &str) -> Denied {
        Denied {
            team: TeamName::new("a").unwrap(),
            bundle: BundleName::new(bundle).unwrap(),
            code: "AL-0000",
            item: item.into(),
            phase: "task",
            dag_id: Some(DagId::new("d").unwrap()),
            task_id: None,
        }
    }

    fn after(millis: u64) -> Timestamp {
        Timestamp::EPOCH.after(Duration::from_millis(millis))
    }

    fn counted(rows: &[AuditEntry]) -> u64 {
        let count = |row: &AuditEntry| -> Value { serde_json::from_str(row.detail()).unwrap() };
        rows.iter()
            .map(|row| count(row)["count"].as_u64().unwrap())
            .sum()
    }

    #[test]
    fn a_flood_of_denials_makes_few_rows_whose_counts_are_all_that_happened() {
        let mut denials = Denials::default();
        // Five minutes of the same thing again and again, and of ever new ones with hostile names.
        for i in 0..100_000_u64 {
            let item = match i % 3 {
                0 => "variable `same`".to_owned(),
                1 => format!("variable `{}`", i % 7),
                _ => format!("{i}{}", "\u{1b}é\"\\".repeat(400)),
            };
            denials.note(&denied("b", &item), after(i * 3));
        }
        denials.finish(after(300_000));
        let rows = denials.waiting(usize::MAX);
        assert!(rows.len() <= 5 * (MOST_ROWS + 1), "{}", rows.len());
        assert_eq!(counted(&rows), 100_000);
        let last: Value = serde_json::from_str(rows.last().unwrap().detail()).unwrap();
        assert!(last["further"].as_u64().unwrap() > 0);
        // Of the things that are counted, those whose only denial had its row are not told again.
        let items = last["items"].as_array().unwrap().len();
        assert!((MOST_THINGS - MOST_ROWS..=MOST_THINGS).contains(&items));
    }

    #[test]
    fn the_first_denial_of_a_thing_is_a_row_at_once_and_its_repetitions_one_at_the_end() {
        let mut denials = Denials::default();
        for at in [0, 1_000, 2_000] {
            denials.note(&denied("b", "variable `x`"), after(at));
        }
        denials.note(&denied("c", "variable `x`"), after(3_000));
        let now = denials.waiting(9);
        let subjects: Vec<_> = now.iter().map(AuditEntry::subject).collect();
        assert_eq!(subjects, ["variable `x`"; 2]);
        assert_eq!(now[0].actor, Actor::Bundle);
        assert_eq!(now[1].bundle, Some(BundleName::new("c").unwrap()));
        denials.written(2);
        assert_eq!(denials.due(), Some(after(60_000)));
        denials.sweep(after(59_999));
        assert!(denials.waiting(9).is_empty());
        denials.sweep(after(60_000));
        let rows = denials.waiting(9);
        assert_eq!((rows.len(), counted(&rows)), (1, 2));
        // The other bundle's window had no more to tell, and the next begins anew.
        denials.sweep(after(63_000));
        assert_eq!(denials.due(), None);
        denials.note(&denied("b", "variable `x`"), after(70_000));
        assert_eq!(denials.waiting(9).len(), 2);
    }

    #[test]
    fn while_nothing_can_be_written_memory_stays_bounded_and_no_count_is_lost() {
        let mut denials = Denials::default();
        let mut count = 0;
        for minute in 0..3 {
            for bundle in 0..MOST_BUNDLES + 50 {
                for item in ["x", "y", "x"] {
                    let at = after(minute * 60_000 + 1);
                    denials.note(&denied(&format!("b{bundle}"), item), at);
                    count += 1;
                }
            }
            assert!(denials.waiting.len() <= MOST_WAITING);
            assert!(denials.windows.len() <= MOST_BUNDLES + 1);
        }
        denials.finish(after(240_000));
        assert_eq!(counted(&denials.waiting(usize::MAX)), count);
    }
}
