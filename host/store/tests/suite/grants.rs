//! Grants: proposals, decisions, their history, and that the audit knows of each.

use airlock_model::{
    audit::{Actor, AuditAction},
    grant::{Decision, GrantRow, GrantState, NewGrant},
    id::BundleHash,
    port::*,
};
use airlock_store::Store;
use serde_json::json;

use crate::{fixture::*, on_both};

on_both! {
    a_proposal_is_kept_as_it_was_made_and_decided_once,
    one_grant_is_in_force_and_those_before_it_are_kept,
    what_was_approved_is_taken_back_alone_or_with_all_others,
    each_change_has_its_row_in_the_audit_and_what_is_refused_has_none,
    two_who_decide_at_once_decide_one_after_the_other,
    the_hosts_proposal_for_an_older_version_lapses,
    grants_of_a_team_a_bundle_and_a_state_are_found,
}

fn new(name: &str, byte: u8) -> NewGrant {
    NewGrant {
        team: team("a"),
        bundle: bundle(name),
        hash: BundleHash::from_bytes([byte; 32]),
        version: format!("1.0.{byte}"),
        request: json!({"connection": [{"id": "bank"}]}),
        grant: json!({"connection": [{"id": "bank", "tasks": ["pay"]}]}),
        only: false,
        note: Some("for the \0 ledger \u{1b}[31m".into()),
    }
}

fn by(name: &str) -> Actor {
    Actor::person(name)
}

fn decision(name: &str, time: i64) -> Decision {
    Decision {
        by: by(name),
        at: at(time),
        reason: Some("seen".into()),
    }
}

const APPROVE: Verdict = Verdict::Approve { only: false };

async fn states(store: &Store) -> Vec<(u32, GrantState)> {
    let rows = store
        .grants(&GrantFilter::default(), Page::ALL)
        .await
        .unwrap();
    rows.items
        .iter()
        .map(|row| (row.revision, row.state))
        .collect()
}

async fn decide(store: &Store, revision: u32, verdict: Verdict) -> Result<GrantRow, StoreError> {
    let (team, bundle) = (team("a"), bundle("etl"));
    let decision = decision("rita", 100 + i64::from(revision));
    store
        .decide_grant((&team, &bundle), revision, verdict, &decision)
        .await
}

async fn a_proposal_is_kept_as_it_was_made_and_decided_once(fresh: Fresh) {
    let store = &fresh.store;
    let proposed = store
        .propose_grant(&new("etl", 1), &by("ada"), at(1))
        .await
        .unwrap();
    assert_eq!(
        (proposed.revision, proposed.state),
        (1, GrantState::Proposed)
    );
    assert_eq!(
        proposed.what.note.as_deref(),
        Some("for the \u{FFFD} ledger \u{1b}[31m")
    );
    let kept = store
        .grants(&GrantFilter::default(), Page::ALL)
        .await
        .unwrap();
    assert_eq!(kept.items, [proposed]);
    assert!(store.approved_grants().await.unwrap().is_empty());

    let approved = decide(store, 1, Verdict::Approve { only: true })
        .await
        .unwrap();
    assert!(approved.what.only);
    assert_eq!(approved.decided, Some(decision("rita", 101)));
    assert_eq!(store.approved_grants().await.unwrap(), [approved]);

    for again in [APPROVE, Verdict::Deny] {
        assert!(matches!(
            decide(store, 1, again).await,
            Err(StoreError::Refused(why)) if why.contains("is approved")
        ));
    }
    assert!(matches!(
        decide(store, 9, APPROVE).await,
        Err(StoreError::NotFound(_))
    ));
}

async fn one_grant_is_in_force_and_those_before_it_are_kept(fresh: Fresh) {
    let store = &fresh.store;
    for byte in 1..=4 {
        store
            .propose_grant(&new("etl", byte), &by("ada"), at(byte.into()))
            .await
            .unwrap();
    }
    decide(store, 1, APPROVE).await.unwrap();
    decide(store, 3, APPROVE).await.unwrap();
    // The second lapsed undecided; the fourth is newer than what was approved, and still waits.
    assert_eq!(
        states(store).await,
        [
            (4, GrantState::Proposed),
            (3, GrantState::Approved),
            (2, GrantState::Lapsed),
            (1, GrantState::Replaced),
        ]
    );
    assert!(decide(store, 2, APPROVE).await.is_err());
    decide(store, 4, Verdict::Deny).await.unwrap();
    let covering: Vec<u32> = (store.approved_grants().await.unwrap().iter())
        .map(|row| row.revision)
        .collect();
    assert_eq!(covering, [3, 1]);
}

async fn what_was_approved_is_taken_back_alone_or_with_all_others(fresh: Fresh) {
    let store = &fresh.store;
    for byte in 1..=3 {
        store
            .propose_grant(&new("etl", byte), &by("ada"), at(byte.into()))
            .await
            .unwrap();
        decide(store, byte.into(), APPROVE).await.unwrap();
    }
    store
        .propose_grant(&new("etl", 4), &by("ada"), at(4))
        .await
        .unwrap();
    let (team, bundle) = (team("a"), bundle("etl"));
    let revoke = async |revision| {
        let decision = decision("rita", 200);
        store
            .revoke_grant((&team, &bundle), revision, &decision)
            .await
    };
    let alone = revoke(Some(3)).await.unwrap();
    assert_eq!(alone.len(), 1);
    // None is in force: what it had replaced does not come back.
    assert_eq!(
        states(store).await,
        [
            (4, GrantState::Proposed),
            (3, GrantState::Revoked),
            (2, GrantState::Replaced),
            (1, GrantState::Replaced),
        ]
    );
    assert!(matches!(revoke(Some(3)).await, Err(StoreError::Refused(_))));
    assert!(matches!(revoke(Some(4)).await, Err(StoreError::Refused(_))));
    assert!(matches!(
        revoke(Some(7)).await,
        Err(StoreError::NotFound(_))
    ));
    let rest: Vec<u32> = revoke(None)
        .await
        .unwrap()
        .iter()
        .map(|row| row.revision)
        .collect();
    assert_eq!(rest, [2, 1]);
    assert!(store.approved_grants().await.unwrap().is_empty());
    assert!(matches!(revoke(None).await, Err(StoreError::NotFound(_))));
}

async fn each_change_has_its_row_in_the_audit_and_what_is_refused_has_none(fresh: Fresh) {
    let store = &fresh.store;
    store
        .propose_grant(&new("etl", 1), &by("ada"), at(1))
        .await
        .unwrap();
    decide(store, 1, APPROVE).await.unwrap();
    let _ = decide(store, 1, APPROVE).await.unwrap_err();
    store
        .propose_grant(&new("etl", 2), &by("ada"), at(2))
        .await
        .unwrap();
    decide(store, 2, Verdict::Deny).await.unwrap();
    let (team, bundle) = (team("a"), bundle("etl"));
    let taken_back = decision("rita", 9);
    store
        .revoke_grant((&team, &bundle), None, &taken_back)
        .await
        .unwrap();
    let mut long = new("etl", 3);
    long.note = Some("x".repeat(3_000));
    let refused = store.propose_grant(&long, &by("ada"), at(1)).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))));

    let rows = store
        .audit(&AuditFilter::default(), Page::ALL)
        .await
        .unwrap()
        .items;
    let told: Vec<_> = (rows.iter().rev())
        .map(|row| {
            (
                row.entry.action,
                row.entry.actor.clone(),
                row.entry.subject().to_owned(),
            )
        })
        .collect();
    let row = |action, who, revision| (action, by(who), format!("grant etl revision {revision}"));
    assert_eq!(
        told,
        [
            row(AuditAction::GrantPropose, "ada", 1),
            row(AuditAction::GrantApprove, "rita", 1),
            row(AuditAction::GrantPropose, "ada", 2),
            row(AuditAction::GrantDeny, "rita", 2),
            row(AuditAction::GrantRevoke, "rita", 1),
        ]
    );
    let first = rows.last().unwrap();
    assert_eq!(first.entry.team, Some(team.clone()));
    assert!(first.entry.detail().contains("\"tasks\":[\"pay\"]"));
}

async fn two_who_decide_at_once_decide_one_after_the_other(fresh: Fresh) {
    let store = &fresh.store;
    store
        .propose_grant(&new("etl", 1), &by("ada"), at(1))
        .await
        .unwrap();
    let (one, two) = tokio::join!(decide(store, 1, APPROVE), decide(store, 1, Verdict::Deny));
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    let (two, three) = (new("etl", 2), new("etl", 3));
    let ada = by("ada");
    let (two, three) = tokio::join!(
        store.propose_grant(&two, &ada, at(2)),
        store.propose_grant(&three, &ada, at(2)),
    );
    let mut revisions = [two.unwrap().revision, three.unwrap().revision];
    revisions.sort_unstable();
    assert_eq!(revisions, [2, 3]);
}

async fn the_hosts_proposal_for_an_older_version_lapses(fresh: Fresh) {
    let store = &fresh.store;
    store
        .propose_grant(&new("etl", 1), &Actor::Host, at(1))
        .await
        .unwrap();
    store
        .propose_grant(&new("etl", 2), &by("ada"), at(2))
        .await
        .unwrap();
    store
        .propose_grant(&new("other", 2), &Actor::Host, at(2))
        .await
        .unwrap();
    store
        .propose_grant(&new("etl", 3), &Actor::Host, at(3))
        .await
        .unwrap();
    let etl = GrantFilter {
        bundle: Some(bundle("etl")),
        state: Some(GrantState::Proposed),
        ..GrantFilter::default()
    };
    let waiting = store.grants(&etl, Page::ALL).await.unwrap().items;
    let waiting: Vec<u32> = waiting.iter().map(|row| row.revision).collect();
    assert_eq!(waiting, [3, 2]);
}

async fn grants_of_a_team_a_bundle_and_a_state_are_found(fresh: Fresh) {
    let store = &fresh.store;
    for (name, byte) in [("etl", 1), ("other", 2), ("etl", 3)] {
        store
            .propose_grant(&new(name, byte), &by("ada"), at(byte.into()))
            .await
            .unwrap();
    }
    let mut elsewhere = new("etl", 4);
    elsewhere.team = team("b");
    store
        .propose_grant(&elsewhere, &by("ada"), at(4))
        .await
        .unwrap();
    decide(store, 1, APPROVE).await.unwrap();
    let count = async |filter: GrantFilter| {
        let found = store.grants(&filter, Page::ALL).await.unwrap();
        assert_eq!(found.total, found.items.len() as u64);
        found.total
    };
    let none = GrantFilter::default();
    let of = GrantFilter {
        team: Some(team("a")),
        ..none.clone()
    };
    assert_eq!(count(of.clone()).await, 3);
    assert_eq!(
        count(GrantFilter {
            bundle: Some(bundle("etl")),
            ..of.clone()
        })
        .await,
        2
    );
    assert_eq!(
        count(GrantFilter {
            state: Some(GrantState::Approved),
            ..of
        })
        .await,
        1
    );
    assert_eq!(count(none.clone()).await, 4);
    let page = store
        .grants(
            &none,
            Page {
                offset: 1,
                limit: 2,
            },
        )
        .await
        .unwrap();
    assert_eq!((page.items.len(), page.total), (2, 4));
}
