//! What bundles contribute.

use airlock_model::{
    dag::DagSpec,
    id::DefinitionHash,
    port::{DagFilter, DagStore, ImportError, Page, StoreError, StoredDag},
};

use crate::{fixture::*, on_both};

on_both! {
    a_bundles_dags_replace_its_earlier_ones,
    another_bundles_dag_id_is_refused_and_nothing_is_changed,
    the_paused_flag_is_the_operators,
    definitions_of_older_versions_stay,
    dags_are_listed_by_filter_and_page,
    import_errors_belong_to_a_bundle_and_its_team,
}

fn dag(name: &str, version: u8) -> StoredDag {
    StoredDag {
        dag_id: dag_id(name),
        team: team("default"),
        bundle: bundle("weather"),
        hash: hash(version),
        spec: spec(name),
        is_paused: false,
        is_stale: false,
        last_parsed: at(i64::from(version)),
    }
}

fn error(code: &str, micros: i64) -> ImportError {
    ImportError {
        team: team("default"),
        bundle: bundle("weather"),
        hash: Some(hash(1)),
        dag_id: Some("ä/..".into()),
        code: code.into(),
        message: "a guest's text \u{1b}[31m".into(),
        at: at(micros),
    }
}

async fn a_bundles_dags_replace_its_earlier_ones(fresh: Fresh) {
    let store = &fresh.store;
    let (ours, theirs) = (bundle("weather"), bundle("ledger"));
    store
        .replace(&team("default"), &ours, &[dag("a", 1), dag("b", 1)], &[])
        .await
        .unwrap();
    let other = StoredDag {
        bundle: theirs.clone(),
        team: team("payments"),
        ..dag("c", 9)
    };
    store
        .replace(
            &team("payments"),
            &theirs,
            std::slice::from_ref(&other),
            &[],
        )
        .await
        .unwrap();
    store
        .replace(&team("default"), &ours, &[dag("a", 2)], &[])
        .await
        .unwrap();
    assert_eq!(store.dag(&dag_id("a")).await.unwrap(), Some(dag("a", 2)));
    assert_eq!(
        store.dag(&dag_id("b")).await.unwrap(),
        Some(StoredDag {
            is_stale: true,
            ..dag("b", 1)
        })
    );
    assert_eq!(
        store.dag(&dag_id("c")).await.unwrap(),
        Some(other),
        "another bundle's are its own"
    );
    // It comes back.
    store
        .replace(&team("default"), &ours, &[dag("b", 3)], &[])
        .await
        .unwrap();
    assert_eq!(store.dag(&dag_id("b")).await.unwrap(), Some(dag("b", 3)));
    // A bundle that is gone.
    store
        .replace(&team("default"), &ours, &[], &[])
        .await
        .unwrap();
    assert!(store.dag(&dag_id("b")).await.unwrap().unwrap().is_stale);
    assert_eq!(store.dag(&dag_id("unknown")).await.unwrap(), None);
}

async fn another_bundles_dag_id_is_refused_and_nothing_is_changed(fresh: Fresh) {
    let store = &fresh.store;
    let (ours, theirs) = (bundle("weather"), bundle("ledger"));
    store
        .replace(
            &team("default"),
            &ours,
            &[dag("a", 1)],
            &[error("AL-0301", 1)],
        )
        .await
        .unwrap();
    store
        .replace(&team("default"), &ours, &[], &[error("AL-0301", 1)])
        .await
        .unwrap();
    assert_eq!(
        store.owner(&dag_id("a")).await.unwrap(),
        Some(ours.clone()),
        "stale, and still owned"
    );
    let mine = StoredDag {
        bundle: theirs.clone(),
        ..dag("new", 2)
    };
    let stolen = StoredDag {
        bundle: theirs.clone(),
        ..dag("a", 2)
    };
    let refused = store
        .replace(&team("payments"), &theirs, &[mine, stolen], &[])
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, StoreError::Refused(why) if why.contains("`a`") && !why.contains("weather")),
        "{refused}"
    );
    assert_eq!(store.owner(&dag_id("new")).await.unwrap(), None);
    assert_eq!(
        store.dag(&dag_id("a")).await.unwrap().unwrap().hash,
        hash(1)
    );
    assert_eq!(store.import_errors(None).await.unwrap().len(), 1);
}

async fn the_paused_flag_is_the_operators(fresh: Fresh) {
    let store = &fresh.store;
    let ours = bundle("weather");
    let born_paused = StoredDag {
        is_paused: true,
        ..dag("b", 1)
    };
    store
        .replace(&team("default"), &ours, &[dag("a", 1), born_paused], &[])
        .await
        .unwrap();
    store.set_paused(&dag_id("a"), true).await.unwrap();
    store.set_paused(&dag_id("b"), false).await.unwrap();
    let both = [
        dag("a", 2),
        StoredDag {
            is_paused: true,
            ..dag("b", 2)
        },
    ];
    store
        .replace(&team("default"), &ours, &both, &[])
        .await
        .unwrap();
    assert!(store.dag(&dag_id("a")).await.unwrap().unwrap().is_paused);
    assert!(!store.dag(&dag_id("b")).await.unwrap().unwrap().is_paused);
    let missing = store.set_paused(&dag_id("c"), true).await;
    assert!(matches!(missing, Err(StoreError::NotFound(_))));
}

async fn definitions_of_older_versions_stay(fresh: Fresh) {
    let store = &fresh.store;
    let ours = bundle("weather");
    let newer = StoredDag {
        spec: DagSpec {
            catchup: false,
            ..spec("a")
        },
        ..dag("a", 2)
    };
    store
        .replace(&team("default"), &ours, &[dag("a", 1)], &[])
        .await
        .unwrap();
    store
        .replace(&team("default"), &ours, std::slice::from_ref(&newer), &[])
        .await
        .unwrap();
    let of = async |spec: &DagSpec| {
        let hash = DefinitionHash::of(&spec.text().unwrap());
        store.definition(&hash).await.unwrap()
    };
    assert_eq!(of(&spec("a")).await, Some(spec("a")));
    assert_eq!(of(&newer.spec).await, Some(newer.spec.clone()));
    assert_eq!(of(&spec("b")).await, None);
}

async fn dags_are_listed_by_filter_and_page(fresh: Fresh) {
    let store = &fresh.store;
    let mut tagged = dag("b", 1);
    tagged.spec.tags = vec!["example".into(), "example".into(), "ä\0".into()];
    let ours = [dag("a", 1), tagged.clone(), dag("B", 1)];
    store
        .replace(&team("default"), &bundle("weather"), &ours, &[])
        .await
        .unwrap();
    let theirs = StoredDag {
        bundle: bundle("ledger"),
        team: team("payments"),
        ..dag("c", 1)
    };
    store
        .replace(&team("payments"), &bundle("ledger"), &[theirs], &[])
        .await
        .unwrap();
    let list = async |filter: DagFilter, offset, limit| {
        let found = store.dags(&filter, Page { offset, limit }).await.unwrap();
        let names: Vec<_> = found
            .items
            .iter()
            .map(|dag| dag.dag_id.to_string())
            .collect();
        (names.join(" "), found.total)
    };
    assert_eq!(
        list(DagFilter::default(), 0, 10).await,
        ("B a b c".into(), 4)
    );
    assert_eq!(list(DagFilter::default(), 1, 2).await, ("a b".into(), 4));
    let of_team = DagFilter {
        team: Some(team("payments")),
        ..DagFilter::default()
    };
    assert_eq!(list(of_team, 0, 10).await, ("c".into(), 1));
    for tag in ["example", "ä\0"] {
        let with_tag = DagFilter {
            tag: Some(tag.into()),
            ..DagFilter::default()
        };
        assert_eq!(list(with_tag, 0, 10).await, ("b".into(), 1));
    }
    tagged.spec.tags.clear();
    store
        .replace(&team("default"), &bundle("weather"), &[tagged], &[])
        .await
        .unwrap();
    let with_tag = DagFilter {
        tag: Some("example".into()),
        ..DagFilter::default()
    };
    assert_eq!(list(with_tag, 0, 10).await, (String::new(), 0));
    let of_bundle = DagFilter {
        bundle: Some(bundle("weather")),
        ..DagFilter::default()
    };
    assert_eq!(list(of_bundle.clone(), 0, 10).await, ("b".into(), 1));
    let with_stale = DagFilter {
        include_stale: true,
        ..of_bundle
    };
    assert_eq!(list(with_stale, 0, 10).await, ("B a b".into(), 3));
}

async fn import_errors_belong_to_a_bundle_and_its_team(fresh: Fresh) {
    let store = &fresh.store;
    let ours = [error("AL-0310", 1), error("AL-0312", 2)];
    store
        .replace(&team("default"), &bundle("weather"), &[], &ours)
        .await
        .unwrap();
    let theirs = ImportError {
        team: team("payments"),
        bundle: bundle("ledger"),
        hash: None,
        dag_id: None,
        ..error("AL-0201", 3)
    };
    store
        .replace(
            &team("payments"),
            &bundle("ledger"),
            &[],
            std::slice::from_ref(&theirs),
        )
        .await
        .unwrap();
    let codes = |errors: Vec<ImportError>| errors.into_iter().map(|e| e.code).collect::<Vec<_>>();
    assert_eq!(
        codes(store.import_errors(None).await.unwrap()),
        ["AL-0201", "AL-0312", "AL-0310"]
    );
    assert_eq!(
        store.import_errors(Some(&team("payments"))).await.unwrap(),
        [theirs]
    );
    let of_default = store.import_errors(Some(&team("default"))).await.unwrap();
    assert_eq!(of_default, [ours[1].clone(), ours[0].clone()]);
    store
        .replace(&team("default"), &bundle("weather"), &[dag("a", 1)], &[])
        .await
        .unwrap();
    assert_eq!(codes(store.import_errors(None).await.unwrap()), ["AL-0201"]);
}
