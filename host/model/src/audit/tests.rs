use serde_json::json;

use super::*;
use crate::id::AuditHash;

fn entry(subject: &str) -> AuditEntry {
    let action = AuditAction::GrantApprove;
    AuditEntry::new(Timestamp::EPOCH, Actor::person("ada"), action, subject)
        .of_team(Some(TeamName::new("a").unwrap()))
        .of_bundle(Some(BundleName::new("b").unwrap()))
        .with(&json!({"why": "asked"}))
}

fn chain(entries: u64) -> Vec<AuditRow> {
    let mut head = AuditHead::EMPTY;
    let row = |number: u64| {
        let row = head.chain(entry(&number.to_string()));
        head = head.follow(&row).unwrap();
        row
    };
    (1..=entries).map(row).collect()
}

fn verify(rows: &[AuditRow]) -> Result<AuditHead, BrokenChain> {
    rows.iter()
        .try_fold(AuditHead::EMPTY, |head, row| head.follow(row))
}

#[test]
fn each_field_of_a_row_is_covered_by_its_hash() {
    let first = AuditHash::FIRST;
    let plain = entry("grant 1");
    let hash = row_hash(first, 1, &plain);
    let team = |name: &str| Some(TeamName::new(name).unwrap());
    let bundle = |name: &str| Some(BundleName::new(name).unwrap());
    let mut changed = vec![
        row_hash(hash, 1, &plain),
        row_hash(first, 2, &plain),
        row_hash(first, 1, &entry("grant 2")),
        row_hash(first, 1, &entry("grant 1").with(&json!({}))),
        row_hash(first, 1, &entry("grant 1").of_team(None)),
        row_hash(first, 1, &entry("grant 1").of_team(team("b"))),
        row_hash(first, 1, &entry("grant 1").of_bundle(None)),
        row_hash(first, 1, &entry("grant 1").of_bundle(bundle("a"))),
        // The same letters, and another border between the two.
        row_hash(
            first,
            1,
            &entry("grant 1").of_team(team("ab")).of_bundle(None),
        ),
        row_hash(
            first,
            1,
            &entry("grant 1").of_team(None).of_bundle(bundle("ab")),
        ),
    ];
    let touch = |change: &dyn Fn(&mut AuditEntry)| {
        let mut entry = plain.clone();
        change(&mut entry);
        row_hash(first, 1, &entry)
    };
    changed.push(touch(&|e| e.at = Timestamp::nearest(1)));
    changed.push(touch(&|e| e.actor = Actor::person("eve")));
    changed.push(touch(&|e| e.actor = Actor::Host));
    changed.push(touch(&|e| e.actor = Actor::Bundle));
    changed.push(touch(&|e| e.action = AuditAction::GrantDeny));
    changed.push(hash);
    let count = changed.len();
    changed.sort_unstable();
    changed.dedup();
    assert_eq!(changed.len(), count);
    assert_eq!(touch(&|_| ()), hash);
}

/// Rows that were written are verified by all later programs, so this never changes.
#[test]
fn the_hash_of_a_row_is_what_it_was() {
    assert_eq!(
        row_hash(AuditHash::FIRST, 1, &entry("grant 1")).to_string(),
        "06b721a10f3075f99ead417e326ed1fb69624e2266e6f6b947ad2b6e771a3e58"
    );
}

#[test]
fn a_row_that_was_changed_removed_added_or_moved_is_found_where_it_is() {
    use BrokenChain::{Gap, Hash, Previous};
    let good = chain(9);
    assert_eq!(verify(&good).unwrap().sequence, 9);

    let mut rows = good.clone();
    rows[3].entry.actor = Actor::Host;
    assert_eq!(verify(&rows), Err(Hash { sequence: 4 }));

    // With its hash made to fit, the next row gives it away.
    rows[3].hash = row_hash(rows[3].previous, 4, &rows[3].entry);
    assert_eq!(verify(&rows), Err(Previous { sequence: 5 }));

    let mut rows = good.clone();
    rows.remove(4);
    let gap = |expected, sequence| Err(Gap { expected, sequence });
    assert_eq!(verify(&rows), gap(5, 6));
    for (row, sequence) in rows.iter_mut().zip(1..) {
        row.sequence = sequence;
    }
    assert_eq!(verify(&rows), Err(Previous { sequence: 5 }));

    let mut rows = good.clone();
    rows.insert(4, good[0].clone());
    assert_eq!(verify(&rows), gap(5, 1));

    let mut rows = good.clone();
    rows.swap(2, 3);
    assert_eq!(verify(&rows), gap(3, 4));

    assert_eq!(verify(&good[1..]), gap(1, 2));
}

/// The end that was cut off, and a chain that was written anew: only what was noted elsewhere shows them.
#[test]
fn a_cut_end_and_a_chain_written_anew_are_found_by_an_end_that_was_noted() {
    use BrokenChain::{Before, End, Noted};
    let rows = chain(9);
    let head = |n: usize| rows[n - 1].head();
    let check = |from: usize, to: usize, noted: &[AuditHead]| {
        let start = from
            .checked_sub(2)
            .map_or(AuditHead::EMPTY, |i| rows[i].head());
        let mut check = AuditCheck::new(start, noted.to_vec())?;
        rows[from - 1..to]
            .iter()
            .try_for_each(|row| check.follow(row))?;
        check.end()
    };
    assert_eq!(check(1, 9, &[]), Ok(head(9)));
    assert_eq!(
        check(1, 9, &[AuditHead::EMPTY, head(5), head(9)]),
        Ok(head(9))
    );
    assert_eq!(check(1, 8, &[]), Ok(head(8)));
    let cut = Err(End { found: 8, noted: 9 });
    assert_eq!(check(1, 8, &[head(5), head(9)]), cut);
    assert_eq!(check(4, 9, &[head(3)]), Ok(head(9)));
    assert_eq!(check(4, 9, &[head(2)]), Err(Before { first: 4, noted: 2 }));

    let other = AuditHead {
        hash: AuditHash::FIRST,
        ..head(5)
    };
    assert_eq!(check(1, 9, &[other]), Err(Noted { sequence: 5 }));
    assert_eq!(check(6, 9, &[other]), Err(Noted { sequence: 5 }));
}

#[test]
fn names_of_actors_and_actions_survive_text_and_are_distinct() {
    for actor in [Actor::Host, Actor::Bundle, Actor::person("host")] {
        assert_eq!(actor.to_string().parse(), Ok(actor));
    }
    assert!("somebody".parse::<Actor>().is_err());
    for action in AuditAction::ALL {
        assert_eq!(action.as_str().parse(), Ok(*action));
    }
    assert!("grant.\u{1b}[31m".parse::<AuditAction>().is_err());
    let head = verify(&chain(3)).unwrap();
    assert_eq!(head.to_string().parse(), Ok(head));
    assert!("3".parse::<AuditHead>().is_err());
}

#[test]
fn whatever_is_told_a_row_stays_small() {
    let huge = "é\0".repeat(100_000);
    let row = AuditEntry::new(
        Timestamp::EPOCH,
        Actor::person(&huge),
        AuditAction::RunMark,
        &huge,
    )
    .with(&huge);
    assert!(row.subject().len() <= MAX_SUBJECT_BYTES && row.subject().ends_with('…'));
    assert!(!row.subject().contains('\0'));
    assert!(row.actor.to_string().len() <= MAX_PERSON_BYTES + "person:".len());
    assert!(row.detail().starts_with("{\"omitted_bytes\":"));
    let hostile = json!({"text": "\u{9b}31m\u{202e}\u{7f}é\u{e0041}\n"});
    let row = entry("x").with(&hostile);
    assert!(row.detail().chars().all(|c| matches!(c, ' '..='~')));
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(row.detail()).unwrap(),
        hostile
    );
}
