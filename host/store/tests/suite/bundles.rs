//! Bundle versions and parse results.

use airlock_model::port::{BundleStore, BundleVersion, ParseKey, ParseResult, SpecError};

use crate::{fixture::*, on_both};

on_both! {
    one_version_of_a_bundle_is_active,
    recording_the_active_version_again_changes_nothing,
    a_parse_is_remembered_for_its_inputs,
}

fn version(byte: u8) -> BundleVersion {
    BundleVersion {
        bundle: bundle("weather"),
        team: team("default"),
        hash: hash(byte),
        version: format!("0.{byte}.0"),
        created_at: at(i64::from(byte)),
        active: true,
    }
}

fn inactive(version: BundleVersion) -> BundleVersion {
    BundleVersion {
        active: false,
        ..version
    }
}

async fn one_version_of_a_bundle_is_active(fresh: Fresh) {
    let store = &fresh.store;
    let other = BundleVersion {
        bundle: bundle("ledger"),
        team: team("payments"),
        ..version(7)
    };
    for version in [version(1), version(2), other.clone()] {
        store.activate(&version).await.unwrap();
    }
    assert_eq!(store.active().await.unwrap(), [other.clone(), version(2)]);
    // Rolled back.
    store.activate(&version(1)).await.unwrap();
    assert_eq!(store.active().await.unwrap(), [other, version(1)]);
    let all = store.versions(&bundle("weather")).await.unwrap();
    assert_eq!(all, [inactive(version(2)), version(1)], "newest first");
    assert_eq!(
        store.version(&hash(2)).await.unwrap(),
        Some(inactive(version(2)))
    );
    assert_eq!(store.version(&hash(3)).await.unwrap(), None);
    assert!(store.versions(&bundle("unknown")).await.unwrap().is_empty());
}

async fn recording_the_active_version_again_changes_nothing(fresh: Fresh) {
    let store = &fresh.store;
    store.activate(&version(1)).await.unwrap();
    let later = BundleVersion {
        created_at: at(99),
        ..version(1)
    };
    store.activate(&later).await.unwrap();
    assert_eq!(store.active().await.unwrap(), [version(1)]);
}

async fn a_parse_is_remembered_for_its_inputs(fresh: Fresh) {
    let store = &fresh.store;
    let key = ParseKey {
        hash: hash(1),
        inputs: hash(2),
    };
    assert!(!store.is_parsed(&key).await.unwrap());
    assert_eq!(store.parse_result(&key).await.unwrap(), None);
    let result = ParseResult {
        dags: vec![spec("a"), spec("b")],
        errors: Vec::<SpecError>::new(),
    };
    store.keep_parse_result(&key, &result).await.unwrap();
    assert_eq!(
        store.parse_result(&key).await.unwrap(),
        Some(result.clone())
    );
    let other = ParseKey {
        inputs: hash(3),
        ..key.clone()
    };
    assert_eq!(store.parse_result(&other).await.unwrap(), None);
    assert!(store.is_parsed(&key).await.unwrap() && !store.is_parsed(&other).await.unwrap());
    let shorter = ParseResult {
        dags: vec![],
        ..result
    };
    store.keep_parse_result(&key, &shorter).await.unwrap();
    assert_eq!(store.parse_result(&key).await.unwrap(), Some(shorter));
}
