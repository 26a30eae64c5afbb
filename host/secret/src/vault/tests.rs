//! Look-up, change and rotation, over a store in memory.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use airlock_model::{
    id::{ConnectionId, TeamName, VariableKey},
    port::Settings as _,
};
use async_trait::async_trait;

use super::*;

#[derive(Default)]
struct Memory {
    variables: Mutex<BTreeMap<(Scope, VariableKey), SealedVariable>>,
    connections: Mutex<BTreeMap<(Scope, ConnectionId), SealedConnection>>,
    failing: AtomicBool,
}

#[async_trait]
impl VariableStore for Memory {
    async fn variable(
        &self,
        scope: &Scope,
        key: &VariableKey,
    ) -> Result<Option<SealedVariable>, StoreError> {
        Ok(self
            .variables
            .lock()
            .unwrap()
            .get(&(scope.clone(), key.clone()))
            .cloned())
    }
    async fn variables(&self, scopes: &[Scope]) -> Result<Vec<SealedVariable>, StoreError> {
        let all = self.variables.lock().unwrap();
        Ok(all
            .values()
            .filter(|one| scopes.contains(&one.scope))
            .cloned()
            .collect())
    }
    async fn set_variable(&self, one: &SealedVariable) -> Result<(), StoreError> {
        let name = (one.scope.clone(), one.key.clone());
        self.variables.lock().unwrap().insert(name, one.clone());
        Ok(())
    }
    async fn delete_variable(&self, scope: &Scope, key: &VariableKey) -> Result<(), StoreError> {
        let removed = self
            .variables
            .lock()
            .unwrap()
            .remove(&(scope.clone(), key.clone()));
        removed
            .map(drop)
            .ok_or_else(|| StoreError::NotFound(format!("variable {key}")))
    }
}

#[async_trait]
impl ConnectionStore for Memory {
    async fn connection(
        &self,
        scope: &Scope,
        id: &ConnectionId,
    ) -> Result<Option<SealedConnection>, StoreError> {
        Ok(self
            .connections
            .lock()
            .unwrap()
            .get(&(scope.clone(), id.clone()))
            .cloned())
    }
    async fn connections(&self, scopes: &[Scope]) -> Result<Vec<SealedConnection>, StoreError> {
        let all = self.connections.lock().unwrap();
        Ok(all
            .values()
            .filter(|one| scopes.contains(&one.scope))
            .cloned()
            .collect())
    }
    async fn set_connection(&self, one: &SealedConnection) -> Result<(), StoreError> {
        let name = (one.scope.clone(), one.id.clone());
        self.connections.lock().unwrap().insert(name, one.clone());
        Ok(())
    }
    async fn delete_connection(&self, scope: &Scope, id: &ConnectionId) -> Result<(), StoreError> {
        let removed = self
            .connections
            .lock()
            .unwrap()
            .remove(&(scope.clone(), id.clone()));
        removed
            .map(drop)
            .ok_or_else(|| StoreError::NotFound(format!("connection {id}")))
    }
    async fn reseal_all(
        &self,
        reseal: &(
             dyn for<'a> Fn(&'a Scope, &'a str, &'a str, &'a [u8]) -> Result<Vec<u8>, String>
                 + Send
                 + Sync
         ),
    ) -> Result<u64, StoreError> {
        let (mut variables, mut connections) = (
            self.variables.lock().unwrap().clone(),
            self.connections.lock().unwrap().clone(),
        );
        let mut count = 0;
        for ((scope, key), one) in &mut variables {
            one.sealed = reseal(scope, "variable", key.as_str(), &one.sealed)
                .map_err(StoreError::Corrupt)?;
            count += 1;
        }
        for ((scope, id), one) in &mut connections {
            one.sealed = reseal(scope, "connection", id.as_str(), &one.sealed)
                .map_err(StoreError::Corrupt)?;
            count += 1;
        }
        if self.failing.load(SeqCst) {
            return Err(StoreError::Unavailable("pulled the plug".into()));
        }
        *self.variables.lock().unwrap() = variables;
        *self.connections.lock().unwrap() = connections;
        Ok(count)
    }
}

fn team(name: &str) -> TeamName {
    TeamName::new(name).unwrap()
}

fn scope(name: &str) -> Scope {
    Scope::Team(team(name))
}

fn key(text: &str) -> VariableKey {
    VariableKey::new(text).unwrap()
}

fn variable(name: &str, value: &str) -> Variable {
    Variable {
        key: key(name),
        value: Sensitive::new(value),
        description: Some("for people".into()),
    }
}

fn connection(id: &str, password: &str) -> Connection {
    Connection {
        id: ConnectionId::new(id).unwrap(),
        conn_type: "http".into(),
        description: None,
        host: Some("bank.example".into()),
        port: Some(443),
        login: Some("airlock".into()),
        password: Some(Sensitive::new(password)),
        schema: None,
        extra: Some(Sensitive::new(r#"{"timeout":5}"#)),
    }
}

struct World {
    store: Arc<Memory>,
    vault: Vault,
    folder: tempfile::TempDir,
}

fn vault(folder: &tempfile::TempDir, store: &Arc<Memory>, configured: Configured) -> Vault {
    let path = folder.path().join("keys");
    let keyring = Keyring::load_or_create(&path).unwrap();
    Vault::new(configured, store.clone(), store.clone(), keyring, path)
}

fn world(configured: Configured) -> World {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Memory::default());
    let vault = vault(&folder, &store, configured);
    World {
        store,
        vault,
        folder,
    }
}

impl World {
    async fn value(&self, of: &str, name: &str) -> Option<String> {
        let found = self.vault.variable(&team(of), &key(name)).await.unwrap();
        found.map(|found| found.value.value.reveal().to_owned())
    }
}

#[tokio::test]
async fn look_up_is_team_first_then_global_and_configuration_before_database() {
    let mut configured = Configured::default();
    configured
        .variable(scope("a"), variable("k", "team, configured"))
        .unwrap();
    configured
        .variable(Scope::Global, variable("k", "global, configured"))
        .unwrap();
    configured
        .variable(Scope::Global, variable("g", "global, configured"))
        .unwrap();
    let world = world(configured);
    world
        .vault
        .set_variable(&scope("a"), &variable("own", "team, stored"))
        .await
        .unwrap();
    world
        .vault
        .set_variable(&scope("a"), &variable("g", "team, stored"))
        .await
        .unwrap();
    world
        .vault
        .set_variable(&Scope::Global, &variable("own", "global, stored"))
        .await
        .unwrap();
    for (of, name, expected) in [
        ("a", "k", Some("team, configured")),
        ("b", "k", Some("global, configured")),
        ("a", "g", Some("team, stored")),
        ("b", "g", Some("global, configured")),
        ("a", "own", Some("team, stored")),
        ("b", "own", Some("global, stored")),
        ("a", "none", None),
    ] {
        assert_eq!(
            world.value(of, name).await.as_deref(),
            expected,
            "{of} {name}"
        );
    }
    let found = world
        .vault
        .variable(&team("b"), &key("own"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.scope, Scope::Global);
}

/// A folder of secrets with these files.
fn files(of: &tempfile::TempDir, files: &[(&str, &str)]) -> Folder {
    let root = of.path().join("secrets");
    for (path, text) in files {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, mode).unwrap();
    }
    Folder::new(root)
}

#[tokio::test]
async fn the_places_are_asked_in_the_configured_order_and_the_team_before_all_of_them() {
    let names = ["configuration", "files", "database"];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]].map(|order| order.map(|at: usize| names[at])) {
        let mut configured = Configured::default();
        configured
            .variable(scope("a"), variable("k", "configuration"))
            .unwrap();
        let mut world = world(configured);
        let all = [
            ("a/variables/k", "files"),
            ("a/variables/only", "file"),
            ("_global/variables/own", "of all"),
            ("a/connections/bank", "http://x:pw@file.example"),
        ];
        let folder = files(&world.folder, &all);
        world.vault = world.vault.with_folder(folder);
        // Before the order is turned, so that nothing is in the way.
        let stored = variable("k", "database");
        world.vault.order = Order::of_names(["database", "files", "configuration"]).unwrap();
        world
            .vault
            .set_variable(&scope("a"), &stored)
            .await
            .unwrap();
        let own = variable("own", "of the team");
        world.vault.set_variable(&scope("a"), &own).await.unwrap();
        let bank = connection("bank", "pw");
        world
            .vault
            .set_connection(&scope("a"), &bank)
            .await
            .unwrap();
        world.vault = world.vault.in_order(Order::of_names(order).unwrap());

        assert_eq!(
            world.value("a", "k").await.as_deref(),
            Some(order[0]),
            "{order:?}"
        );
        assert_eq!(world.value("a", "only").await.as_deref(), Some("file"));
        assert_eq!(
            world.value("a", "own").await.as_deref(),
            Some("of the team")
        );
        assert_eq!(world.value("b", "own").await.as_deref(), Some("of all"));
        let listed = world.vault.variables_of(&scope("a")).await.unwrap();
        let listed: Vec<_> = listed
            .iter()
            .map(|kept| {
                (
                    kept.value.key.as_str(),
                    kept.value.value.reveal(),
                    kept.configured,
                )
            })
            .collect();
        let expected = [
            ("k", order[0], order[0] != "database"),
            ("only", "file", true),
            ("own", "of the team", false),
        ];
        assert_eq!(listed, expected);
        let banks = world.vault.connections_of(&scope("a")).await.unwrap();
        let database_first = order != names && order[0] == "database";
        let host = if database_first {
            "bank.example"
        } else {
            "file.example"
        };
        assert_eq!(banks[0].value.host.as_deref(), Some(host), "{order:?}");
        let changed = world.vault.set_connection(&scope("a"), &bank).await;
        assert_eq!(changed.is_ok(), database_first, "{order:?} {changed:?}");
    }
}

#[tokio::test]
async fn a_file_that_is_refused_is_no_reason_to_look_elsewhere() {
    let mut world = world(Configured::default());
    let id = ConnectionId::new("bank").unwrap();
    let old = connection("bank", "the old password");
    world.vault.set_connection(&scope("a"), &old).await.unwrap();
    let folder = files(&world.folder, &[("a/connections/bank", "no connection")]);
    world.vault = world.vault.with_folder(folder);
    let error = world.vault.connection(&team("a"), &id).await.unwrap_err();
    assert!(error.to_string().contains("AL-0912"), "{error}");
    let error = world.vault.set_connection(&scope("a"), &old).await;
    assert!(error.is_err());
}

#[tokio::test]
async fn a_team_lends_what_is_its_own_and_nothing_that_is_of_all() {
    let world = world(Configured::default());
    let vault = &world.vault;
    vault
        .set_variable(&scope("a"), &variable("k", "team's"))
        .await
        .unwrap();
    vault
        .set_variable(&Scope::Global, &variable("g", "of all"))
        .await
        .unwrap();
    vault
        .set_connection(&Scope::Global, &connection("bank", "hunter2"))
        .await
        .unwrap();
    let lent = vault.lent_variable(&team("a"), &key("k")).await.unwrap();
    assert_eq!(lent.unwrap().value.value.reveal(), "team's");
    let none = vault.lent_variable(&team("a"), &key("g")).await.unwrap();
    assert!(none.is_none());
    let bank = ConnectionId::new("bank").unwrap();
    let none = vault.lent_connection(&team("a"), &bank).await.unwrap();
    assert!(none.is_none());
}

#[tokio::test]
async fn another_teams_is_as_if_it_did_not_exist() {
    let world = world(Configured::default());
    world
        .vault
        .set_variable(&scope("a"), &variable("k", "secret"))
        .await
        .unwrap();
    world
        .vault
        .set_connection(&scope("a"), &connection("bank", "hunter2"))
        .await
        .unwrap();
    assert_eq!(world.value("b", "k").await, None);
    let bank = ConnectionId::new("bank").unwrap();
    assert_eq!(
        world.vault.connection(&team("b"), &bank).await.unwrap(),
        None
    );
    assert_eq!(world.vault.variables(&team("b"), "").await.unwrap(), []);
    assert!(
        world
            .vault
            .variables_of(&scope("b"))
            .await
            .unwrap()
            .is_empty()
    );
    let found = world
        .vault
        .connection(&team("a"), &bank)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.value, connection("bank", "hunter2"));
}

#[tokio::test]
async fn a_prefix_finds_each_key_once_in_the_nearest_scope() {
    let mut configured = Configured::default();
    configured
        .variable(Scope::Global, variable("ledger.a", "global"))
        .unwrap();
    configured
        .variable(Scope::Global, variable("ledger.c", "global"))
        .unwrap();
    let world = world(configured);
    for (name, value) in [
        ("ledger.a", "team"),
        ("ledger.b", "team"),
        ("other", "team"),
    ] {
        world
            .vault
            .set_variable(&scope("a"), &variable(name, value))
            .await
            .unwrap();
    }
    let found = world.vault.variables(&team("a"), "ledger.").await.unwrap();
    let found: Vec<_> = (found.iter())
        .map(|one| (one.value.key.as_str(), one.value.value.reveal()))
        .collect();
    assert_eq!(
        found,
        [
            ("ledger.a", "team"),
            ("ledger.b", "team"),
            ("ledger.c", "global")
        ]
    );
}

#[tokio::test]
async fn what_the_configuration_provides_is_not_changed_here() {
    let mut configured = Configured::default();
    configured.variable(scope("a"), variable("k", "v")).unwrap();
    configured
        .connection(scope("a"), connection("c", "p"))
        .unwrap();
    assert!(configured.variable(scope("a"), variable("k", "w")).is_err());
    assert!(
        configured
            .connection(scope("a"), connection("c", "q"))
            .is_err()
    );
    configured
        .variable(scope("a"), variable("k", "v"))
        .unwrap_err();
    let world = world(configured);
    let c = ConnectionId::new("c").unwrap();
    for refused in [
        world
            .vault
            .set_variable(&scope("a"), &variable("k", "x"))
            .await,
        world.vault.delete_variable(&scope("a"), &key("k")).await,
        world
            .vault
            .set_connection(&scope("a"), &connection("c", "x"))
            .await,
        world.vault.delete_connection(&scope("a"), &c).await,
    ] {
        let error = refused.unwrap_err();
        assert!(matches!(error, StoreError::Refused(_)), "{error}");
        assert!(error.to_string().contains("airlock.toml"), "{error}");
    }
    // In another scope the same name is free.
    world
        .vault
        .set_variable(&scope("b"), &variable("k", "x"))
        .await
        .unwrap();
    world
        .vault
        .delete_variable(&scope("b"), &key("k"))
        .await
        .unwrap();
    assert!(matches!(
        world.vault.delete_variable(&scope("b"), &key("k")).await,
        Err(StoreError::NotFound(_))
    ));
    let kept = world.vault.connections_of(&scope("a")).await.unwrap();
    assert_eq!((kept.len(), kept[0].configured), (1, true));
}

#[tokio::test]
async fn nothing_secret_is_stored_in_the_clear_or_shown() {
    let world = world(Configured::default());
    world
        .vault
        .set_variable(&scope("a"), &variable("k", "hunter2"))
        .await
        .unwrap();
    world
        .vault
        .set_connection(&scope("a"), &connection("c", "hunter2"))
        .await
        .unwrap();
    let stored = format!("{:?}", world.store.variables.lock().unwrap());
    let also = format!("{:?}", world.store.connections.lock().unwrap());
    let bytes: Vec<u8> = (world.store.connections.lock().unwrap().values())
        .flat_map(|one| one.sealed.clone())
        .collect();
    assert!(!bytes.windows(7).any(|part| part == b"hunter2"));
    let kept = world.vault.variables_of(&scope("a")).await.unwrap();
    for text in [
        stored,
        also,
        format!("{kept:?}"),
        format!("{:?}", world.vault),
    ] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn a_sealed_value_that_was_moved_to_another_team_does_not_open() {
    let world = world(Configured::default());
    world
        .vault
        .set_variable(&scope("a"), &variable("k", "secret of a"))
        .await
        .unwrap();
    world
        .vault
        .set_connection(&scope("a"), &connection("c", "secret of a"))
        .await
        .unwrap();
    let mut stolen = world
        .store
        .variable(&scope("a"), &key("k"))
        .await
        .unwrap()
        .unwrap();
    stolen.scope = scope("b");
    world.store.set_variable(&stolen).await.unwrap();
    let error = world
        .vault
        .variable(&team("b"), &key("k"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("AL-0905"), "{error}");
    let c = ConnectionId::new("c").unwrap();
    let mut stolen = world
        .store
        .connection(&scope("a"), &c)
        .await
        .unwrap()
        .unwrap();
    stolen.id = ConnectionId::new("d").unwrap();
    world.store.set_connection(&stolen).await.unwrap();
    let error = world
        .vault
        .connection(&team("a"), &stolen.id)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("AL-0905"), "{error}");
}

#[tokio::test]
async fn values_have_a_bound_and_extra_is_an_object() {
    let world = world(Configured::default());
    let longest = variable("k", &"x".repeat(MAX_VALUE_BYTES));
    world
        .vault
        .set_variable(&scope("a"), &longest)
        .await
        .unwrap();
    let longer = variable("k", &"x".repeat(MAX_VALUE_BYTES + 1));
    let error = world
        .vault
        .set_variable(&scope("a"), &longer)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("1048577 bytes"), "{error}");
    for extra in ["[]", "hunter2", ""] {
        let mut wrong = connection("c", "p");
        wrong.extra = Some(Sensitive::new(extra));
        let error = world
            .vault
            .set_connection(&scope("a"), &wrong)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("not a JSON object"), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn after_a_rotation_everything_opens_with_the_new_key_and_nothing_with_the_old() {
    let world = world(Configured::default());
    world
        .vault
        .set_variable(&scope("a"), &variable("k", "v"))
        .await
        .unwrap();
    world
        .vault
        .set_connection(&Scope::Global, &connection("c", "p"))
        .await
        .unwrap();
    let old = world.vault.keyring();
    let before = world
        .store
        .variable(&scope("a"), &key("k"))
        .await
        .unwrap()
        .unwrap();
    let rotation = world.vault.rotate().await.unwrap();
    assert_eq!((rotation.resealed, rotation.resumed), (2, false));
    assert_ne!(rotation.key, old.active());
    assert_eq!(world.value("a", "k").await.as_deref(), Some("v"));
    let after = world
        .store
        .variable(&scope("a"), &key("k"))
        .await
        .unwrap()
        .unwrap();
    let place = scope("a");
    assert!(
        old.open(&variable_subject(&place, "k"), &after.sealed)
            .is_err()
    );
    // The file holds the new key alone, and a host that starts now reads everything.
    let started = vault(&world.folder, &world.store, Configured::default());
    assert!(!started.keyring().is_rotating());
    assert!(
        started
            .keyring()
            .open(&variable_subject(&place, "k"), &before.sealed)
            .is_err()
    );
    assert!(
        started
            .variable(&team("a"), &key("k"))
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn a_rotation_that_broke_off_loses_nothing_and_is_finished_by_the_next() {
    let world = world(Configured::default());
    world
        .vault
        .set_variable(&scope("a"), &variable("old", "v"))
        .await
        .unwrap();
    world.store.failing.store(true, SeqCst);
    let error = world.vault.rotate().await.unwrap_err();
    assert!(error.to_string().starts_with("AL-0908"), "{error}");
    // Both keys are in the file; what is written meanwhile is sealed with the new one.
    let started = vault(&world.folder, &world.store, Configured::default());
    assert!(started.keyring().is_rotating());
    started
        .set_variable(&scope("a"), &variable("new", "w"))
        .await
        .unwrap();
    assert_eq!(world.value("a", "old").await.as_deref(), Some("v"));
    assert_eq!(world.value("a", "new").await.as_deref(), Some("w"));
    world.store.failing.store(false, SeqCst);
    let rotation = started.rotate().await.unwrap();
    assert_eq!((rotation.resealed, rotation.resumed), (2, true));
    let again = vault(&world.folder, &world.store, Configured::default());
    assert!(!again.keyring().is_rotating());
    assert!(
        again
            .variable(&team("a"), &key("old"))
            .await
            .unwrap()
            .is_some()
    );
    assert!(
        again
            .variable(&team("a"), &key("new"))
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn one_value_that_does_not_open_stops_a_rotation_before_anything_changes() {
    let world = world(Configured::default());
    world
        .vault
        .set_variable(&scope("a"), &variable("good", "v"))
        .await
        .unwrap();
    world
        .vault
        .set_variable(&scope("a"), &variable("tampered", "v"))
        .await
        .unwrap();
    let mut tampered = world
        .store
        .variable(&scope("a"), &key("tampered"))
        .await
        .unwrap()
        .unwrap();
    *tampered.sealed.last_mut().unwrap() ^= 1;
    world.store.set_variable(&tampered).await.unwrap();
    let error = world.vault.rotate().await.unwrap_err().to_string();
    assert!(
        error.contains("AL-0905") && error.contains("tampered"),
        "{error}"
    );
    let started = vault(&world.folder, &world.store, Configured::default());
    assert!(
        started
            .variable(&team("a"), &key("good"))
            .await
            .unwrap()
            .is_some()
    );
    // Once the broken value is set again, the rotation ends well.
    started
        .set_variable(&scope("a"), &variable("tampered", "v"))
        .await
        .unwrap();
    assert!(started.rotate().await.unwrap().resumed);
}
