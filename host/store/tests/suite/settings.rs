//! Variables, connections and pools, and the borders between scopes.

use airlock_model::{
    connection::Pool,
    id::{ConnectionId, PoolName, Scope, VariableKey},
    port::*,
    state::{RunState, TaskState},
};

use crate::{fixture::*, on_both};

on_both! {
    a_teams_variable_does_not_exist_in_another_scope,
    a_variable_is_replaced_and_removed_in_its_scope_only,
    a_connection_comes_back_whole_in_its_scope_only,
    resealing_changes_all_or_nothing,
    pools_are_kept_by_scope_and_the_default_one_stays,
    a_pool_that_the_configuration_made_goes_with_it_and_one_that_somebody_made_stays,
    a_pool_is_as_full_as_its_unfinished_task_instances_say,
}

fn of(team_name: &str) -> Scope {
    Scope::Team(team(team_name))
}

fn variable(scope: &Scope, key: &str, sealed: &[u8]) -> SealedVariable {
    SealedVariable {
        scope: scope.clone(),
        key: VariableKey::new(key).unwrap(),
        sealed: sealed.to_vec(),
        description: Some("for people".into()),
    }
}

fn connection(scope: &Scope, id: &str) -> SealedConnection {
    SealedConnection {
        scope: scope.clone(),
        id: ConnectionId::new(id).unwrap(),
        conn_type: "postgres".into(),
        description: None,
        host: Some("db.example".into()),
        port: Some(u16::MAX),
        login: Some("airlock".into()),
        schema: Some("warehouse".into()),
        sealed: vec![0, 255, 1],
    }
}

async fn a_teams_variable_does_not_exist_in_another_scope(fresh: Fresh) {
    let store = &fresh.store;
    let (a, b) = (of("a"), of("b"));
    store
        .set_variable(&variable(&a, "url", b"a's"))
        .await
        .unwrap();
    let key = VariableKey::new("url").unwrap();
    assert_eq!(store.variable(&b, &key).await.unwrap(), None);
    assert_eq!(store.variable(&Scope::Global, &key).await.unwrap(), None);
    store
        .set_variable(&variable(&Scope::Global, "url", b"everyone's"))
        .await
        .unwrap();
    assert_eq!(
        store.variable(&b, &key).await.unwrap(),
        None,
        "looking up is not falling back"
    );
    assert_eq!(
        store.variable(&a, &key).await.unwrap().unwrap().sealed,
        b"a's"
    );
    assert!(
        store
            .variables(std::slice::from_ref(&b))
            .await
            .unwrap()
            .is_empty()
    );
    assert!(store.variables(&[]).await.unwrap().is_empty());
    let seen = store.variables(&[Scope::Global, a.clone()]).await.unwrap();
    assert_eq!(
        seen,
        [
            variable(&Scope::Global, "url", b"everyone's"),
            variable(&a, "url", b"a's")
        ]
    );
}

async fn a_variable_is_replaced_and_removed_in_its_scope_only(fresh: Fresh) {
    let store = &fresh.store;
    let (a, b) = (of("a"), of("b"));
    for scope in [&a, &b] {
        store
            .set_variable(&variable(scope, "ledger/url", b"1"))
            .await
            .unwrap();
    }
    let replaced = SealedVariable {
        description: None,
        ..variable(&a, "ledger/url", b"2\0")
    };
    store.set_variable(&replaced).await.unwrap();
    let key = VariableKey::new("ledger/url").unwrap();
    assert_eq!(store.variable(&a, &key).await.unwrap(), Some(replaced));
    assert_eq!(
        store.variable(&b, &key).await.unwrap(),
        Some(variable(&b, "ledger/url", b"1"))
    );
    store.delete_variable(&a, &key).await.unwrap();
    let again = store.delete_variable(&a, &key).await;
    assert!(matches!(again, Err(StoreError::NotFound(_))));
    assert!(store.variable(&b, &key).await.unwrap().is_some());
}

async fn a_connection_comes_back_whole_in_its_scope_only(fresh: Fresh) {
    let store = &fresh.store;
    let (a, b) = (of("a"), of("b"));
    let id = ConnectionId::new("bank").unwrap();
    store.set_connection(&connection(&a, "bank")).await.unwrap();
    assert_eq!(
        store.connection(&a, &id).await.unwrap(),
        Some(connection(&a, "bank"))
    );
    assert_eq!(store.connection(&b, &id).await.unwrap(), None);
    assert_eq!(store.connection(&Scope::Global, &id).await.unwrap(), None);
    let bare = SealedConnection {
        host: None,
        port: None,
        login: None,
        schema: None,
        description: Some("new".into()),
        conn_type: "http".into(),
        ..connection(&a, "bank")
    };
    store.set_connection(&bare).await.unwrap();
    store
        .set_connection(&connection(&Scope::Global, "archive"))
        .await
        .unwrap();
    let seen = store
        .connections(&[a.clone(), Scope::Global])
        .await
        .unwrap();
    assert_eq!(seen, [connection(&Scope::Global, "archive"), bare]);
    assert!(matches!(
        store.delete_connection(&b, &id).await,
        Err(StoreError::NotFound(_))
    ));
    store.delete_connection(&a, &id).await.unwrap();
    assert_eq!(store.connection(&a, &id).await.unwrap(), None);
}

async fn resealing_changes_all_or_nothing(fresh: Fresh) {
    let store = &fresh.store;
    let a = of("a");
    store
        .set_variable(&variable(&a, "one", b"1"))
        .await
        .unwrap();
    store
        .set_variable(&variable(&Scope::Global, "two", b"2"))
        .await
        .unwrap();
    store.set_connection(&connection(&a, "bank")).await.unwrap();
    let all = async || {
        let scopes = [of("a"), Scope::Global];
        (
            store.variables(&scopes).await.unwrap(),
            store.connections(&scopes).await.unwrap(),
        )
    };
    let before = all().await;
    let refused = store
        .reseal_all(&|_, kind, _, sealed| match kind {
            "connection" => Err("wrong key".into()),
            _ => Ok([sealed, b"!"].concat()),
        })
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, StoreError::Refused(why) if why.contains("connection `bank`")),
        "{refused}"
    );
    assert_eq!(all().await, before);

    let seen = std::sync::Mutex::new(Vec::new());
    let count = store
        .reseal_all(&|scope, kind, name, sealed| {
            seen.lock()
                .unwrap()
                .push(format!("{scope:?} {kind} {name}"));
            Ok([sealed, b"!"].concat())
        })
        .await
        .unwrap();
    assert_eq!(count, 3);
    let mut seen = seen.into_inner().unwrap();
    seen.sort();
    assert_eq!(
        seen,
        [
            "Global variable two",
            "Team(\"a\") connection bank",
            "Team(\"a\") variable one"
        ]
    );
    let (variables, connections) = all().await;
    assert_eq!(
        (&variables[0].sealed[..], &variables[1].sealed[..]),
        (&b"1!"[..], &b"2!"[..])
    );
    assert_eq!(connections[0].sealed, [0, 255, 1, b'!']);
    assert_eq!(variables[0].description, before.0[0].description);
}

async fn pools_are_kept_by_scope_and_the_default_one_stays(fresh: Fresh) {
    let store = &fresh.store;
    let pool = |scope: &Scope, name: &str, slots| Pool {
        scope: scope.clone(),
        name: PoolName::new(name).unwrap(),
        slots,
        description: None,
        include_deferred: true,
    };
    let (a, b) = (of("a"), of("b"));
    for pool in [
        pool(&a, "gpu", 2),
        pool(&b, "gpu", -1),
        pool(&a, "default_pool", 128),
    ] {
        store.set_pool(&pool).await.unwrap();
    }
    store.set_pool(&pool(&a, "default_pool", 4)).await.unwrap();
    let expected = [
        pool(&a, "default_pool", 4),
        pool(&a, "gpu", 2),
        pool(&b, "gpu", -1),
    ];
    assert_eq!(store.pools().await.unwrap(), expected);
    let gpu = PoolName::new("gpu").unwrap();
    store.delete_pool(&b, &gpu).await.unwrap();
    assert!(matches!(
        store.delete_pool(&b, &gpu).await,
        Err(StoreError::NotFound(_))
    ));
    let default = store.delete_pool(&a, &PoolName::default_pool()).await;
    assert!(matches!(default, Err(StoreError::Refused(_))));
    assert_eq!(store.pools().await.unwrap(), expected[..2]);
}

async fn a_pool_that_the_configuration_made_goes_with_it_and_one_that_somebody_made_stays(
    fresh: Fresh,
) {
    let store = &fresh.store;
    let pool = |scope: &Scope, name: &str, slots| Pool {
        scope: scope.clone(),
        name: PoolName::new(name).unwrap(),
        slots,
        description: None,
        include_deferred: false,
    };
    let all = async || {
        let pools = store.pools().await.unwrap();
        let shown = pools.iter().map(|pool| (pool.name.to_string(), pool.slots));
        shown.collect::<Vec<_>>()
    };
    let own = |pools: &[(&str, i32)]| -> Vec<(String, i32)> {
        pools
            .iter()
            .map(|&(name, slots)| (name.to_owned(), slots))
            .collect()
    };
    let a = of("a");
    let defaults = [pool(&a, "default_pool", 128)];
    store.set_pool(&pool(&a, "api", 1)).await.unwrap();
    store.set_pool(&pool(&a, "both", 1)).await.unwrap();
    let configured = [
        pool(&a, "file", 2),
        pool(&a, "both", 2),
        pool(&a, "taken over", 2),
    ];
    let gone = store.configure_pools(&configured, &defaults).await.unwrap();
    assert!(gone.is_empty());
    store.set_pool(&pool(&a, "taken over", 3)).await.unwrap();
    let gone = store.configure_pools(&[], &defaults).await.unwrap();
    assert_eq!(gone, [(a.clone(), PoolName::new("file").unwrap())]);
    let rest = [
        ("api", 1),
        ("both", 2),
        ("default_pool", 128),
        ("taken over", 3),
    ];
    assert_eq!(all().await, own(&rest));

    let bounded = [pool(&a, "default_pool", 4)];
    store.configure_pools(&bounded, &[]).await.unwrap();
    assert_eq!(all().await[2].1, 4);
    store.configure_pools(&[], &defaults).await.unwrap();
    assert_eq!(all().await[2].1, 128, "a default pool falls back");
    store.set_pool(&pool(&a, "default_pool", 9)).await.unwrap();
    store.configure_pools(&[], &defaults).await.unwrap();
    assert_eq!(all().await[2].1, 9, "unless somebody said otherwise");
}

async fn a_pool_is_as_full_as_its_unfinished_task_instances_say(fresh: Fresh) {
    let store = &fresh.store;
    let mut run = new_run("d", 1, 6);
    run.run.state = RunState::Running;
    for (i, state) in [
        (0, TaskState::Success),
        (1, TaskState::Running),
        (2, TaskState::Queued),
        (3, TaskState::Scheduled),
        (4, TaskState::Scheduled),
        (5, TaskState::Deferred),
    ] {
        run.tasks[i].fields.state = Some(state);
        run.tasks[i].pool_slots = 1 << i;
    }
    run.tasks[4].pool = PoolName::new("gpu").unwrap();
    let mut ended = new_run("d", 2, 1);
    ended.run.state = RunState::Failed;
    ended.tasks[0].fields.state = Some(TaskState::Running);
    store.commit(&creating(&[run, ended])).await.unwrap();
    let load = |pool: &str, [scheduled, queued, running, deferred]: [u64; 4]| PoolLoad {
        team: team("default"),
        pool: PoolName::new(pool).unwrap(),
        scheduled,
        queued,
        running,
        deferred,
    };
    assert_eq!(
        store.pool_loads().await.unwrap(),
        [
            load("default_pool", [8, 4, 2, 32]),
            load("gpu", [16, 0, 0, 0])
        ]
    );
}
