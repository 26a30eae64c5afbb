//! Secrets on a real disk.

use std::os::unix::fs::PermissionsExt as _;

use airlock_model::id::TeamName;
use proptest::prelude::*;

use super::*;

struct Disk(tempfile::TempDir);

impl Disk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(&self, path: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        mode(&path, 0o600);
        path
    }

    fn folder(&self) -> Folder {
        Folder::new(self.0.path().to_owned())
    }

    fn value(&self, scope: &Scope, key: &str) -> Result<Option<String>, String> {
        let found = self
            .folder()
            .variable(scope, &VariableKey::new(key).unwrap());
        let found = found.map_err(|error| error.to_string())?;
        Ok(found.map(|variable| variable.value.reveal().to_owned()))
    }

    fn connection(&self, id: &str) -> Result<Option<Connection>, String> {
        let id = ConnectionId::new(id).unwrap();
        let found = self.folder().connection(&payments(), &id);
        found.map_err(|error| error.to_string())
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn team(name: &str) -> Scope {
    Scope::Team(TeamName::new(name).unwrap())
}

fn payments() -> Scope {
    team("payments")
}

#[test]
fn each_scope_has_its_own_files_and_a_replaced_one_counts_at_once() {
    let disk = Disk::new();
    disk.put("payments/variables/key", "theirs\n");
    disk.put("_global/variables/key", "of all\r\n");
    assert_eq!(disk.value(&payments(), "key").unwrap().unwrap(), "theirs");
    assert_eq!(
        disk.value(&Scope::Global, "key").unwrap().unwrap(),
        "of all"
    );
    // A team may be called so, and is not all teams for it.
    assert_eq!(disk.value(&team("_global"), "key"), Ok(None));
    assert_eq!(disk.value(&team("other"), "key"), Ok(None));
    disk.put("payments/variables/key", "two\nlines\n\n");
    assert_eq!(
        disk.value(&payments(), "key").unwrap().unwrap(),
        "two\nlines\n"
    );
    assert_eq!(
        Folder::new("/not/there".into())
            .variables(&payments())
            .unwrap(),
        []
    );
}

#[test]
fn no_id_leads_out_of_the_folder() {
    let disk = Disk::new();
    disk.put("secret", "of the host");
    disk.put("payments/variables/a%2F..%2F..%2F..%2Fsecret", "inside");
    disk.put("payments/variables/%2Ehidden", "dotted");
    assert_eq!(
        disk.value(&payments(), "a/../../../secret")
            .unwrap()
            .unwrap(),
        "inside"
    );
    assert_eq!(disk.value(&payments(), "../../secret"), Ok(None));
    assert_eq!(
        disk.value(&payments(), ".hidden").unwrap().unwrap(),
        "dotted"
    );
    let mut keys = disk.folder().variables(&payments()).unwrap();
    keys.sort();
    assert_eq!(
        keys.iter().map(VariableKey::as_str).collect::<Vec<_>>(),
        [".hidden", "a/../../../secret"]
    );
}

#[test]
fn what_others_may_write_is_refused_and_so_is_what_stands_in_a_folder_of_theirs() {
    let disk = Disk::new();
    let file = disk.put("payments/variables/key", "value");
    for exposed in [0o620, 0o602, 0o666] {
        mode(&file, exposed);
        let error = disk.value(&payments(), "key").unwrap_err();
        assert!(
            error.starts_with("AL-0910") && error.contains("chmod go-w"),
            "{error}"
        );
        assert!(!error.contains("value`"), "{error}");
    }
    mode(&file, 0o644);
    assert!(disk.value(&payments(), "key").unwrap().is_some());
    let parents = file.ancestors().skip(1).take(3);
    for parent in parents {
        mode(parent, 0o777);
        let error = disk.value(&payments(), "key").unwrap_err();
        assert!(error.starts_with("AL-0910"), "{error}");
        // Where others may add and not replace, as an orchestrator mounts it.
        mode(parent, 0o1777);
        assert!(disk.value(&payments(), "key").unwrap().is_some());
        mode(parent, 0o755);
    }
}

#[test]
fn a_file_is_bounded_and_is_a_file() {
    let disk = Disk::new();
    let most = usize::try_from(MAX_FILE_BYTES).unwrap();
    disk.put("payments/variables/most", &"x".repeat(most));
    assert_eq!(
        disk.value(&payments(), "most").unwrap().unwrap().len(),
        most
    );
    disk.put("payments/variables/more", &"x".repeat(most + 1));
    fs::create_dir(disk.0.path().join("payments/variables/folder")).unwrap();
    for wrong in ["more", "folder"] {
        let error = disk.value(&payments(), wrong).unwrap_err();
        assert!(error.starts_with("AL-0912"), "{error}");
    }
    fs::write(disk.put("payments/variables/bytes", ""), [0xff]).unwrap();
    let error = disk.value(&payments(), "bytes").unwrap_err();
    assert!(error.starts_with("AL-0911"), "{error}");
}

#[test]
fn a_connection_is_airflows_json_or_its_uri() {
    let disk = Disk::new();
    disk.put(
        "payments/connections/bank",
        r#"{"conn_type": "http", "host": "bank.example", "port": "443", "login": "me", "password": "p w", "extra": {"timeout": 5}}"#,
    );
    disk.put(
        "payments/connections/db",
        "postgres://me:p%20w@db.example:5432/ledger?timeout=10\n",
    );
    disk.put(
        "payments/connections/text",
        r#"{"conn_type":"x","extra":"{\"a\": 1}"}"#,
    );
    let bank = disk.connection("bank").unwrap().unwrap();
    assert_eq!((bank.port, bank.login.as_deref()), (Some(443), Some("me")));
    assert_eq!(bank.extra.unwrap().reveal(), r#"{"timeout":5}"#);
    let db = disk.connection("db").unwrap().unwrap();
    assert_eq!((db.conn_type.as_str(), db.port), ("postgres", Some(5432)));
    assert_eq!(db.password.unwrap().reveal(), "p w");
    assert_eq!(
        disk.connection("text")
            .unwrap()
            .unwrap()
            .extra
            .unwrap()
            .reveal(),
        r#"{"a": 1}"#
    );
    for wrong in [
        r#"{"conn_type": "http", "pasword": "hunter2"}"#,
        r#"{"password": "hunter2"}"#,
        r#"{"conn_type": "http", "password": "hunter2""#,
        r#"{"conn_type": "http", "extra": "hunter2"}"#,
        r#"{"conn_type": "http", "port": "hunter2"}"#,
        "hunter2",
    ] {
        disk.put("payments/connections/wrong", wrong);
        let error = disk.connection("wrong").unwrap_err();
        assert!(
            error.starts_with("AL-0912") && !error.contains("hunter2"),
            "{error}"
        );
    }
}

proptest! {
    #[test]
    fn every_key_has_a_file_of_its_own_in_the_folder(
        one in "[a-z._/:-]{1,12}",
        other in "[a-z._/:-]{1,12}",
    ) {
        let (Ok(one), Ok(other)) = (VariableKey::new(&one), VariableKey::new(&other)) else {
            return Ok(());
        };
        let names = [&one, &other].map(|key| file_name(key.as_str(), &['.']));
        prop_assert_eq!(names[0] == names[1], one == other);
        prop_assert!(names.iter().all(|name| !name.contains('/') && !name.starts_with('.')));
    }
}
