//! The key file on a real disk.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

#[test]
fn a_new_key_file_is_for_its_owner_only_and_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let made = Keyring::load_or_create(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(
        Keyring::load_or_create(&path).unwrap().active(),
        made.active()
    );
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing is left beside it"
    );
}

#[test]
fn a_key_file_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    Keyring::load_or_create(&path).unwrap();
    for mode in [0o640, 0o604, 0o620, 0o666] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = Keyring::load_or_create(&path).unwrap_err().to_string();
        assert!(
            error.starts_with("AL-0902") && error.contains("chmod 600"),
            "{error}"
        );
        assert!(error.contains(&format!("{mode:04o}")), "{error}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    assert!(Keyring::load(&path).is_ok());
}

#[test]
fn a_damaged_key_file_is_never_replaced_by_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    Keyring::load_or_create(&path).unwrap();
    fs::write(&path, "nonsense").unwrap();
    let error = Keyring::load_or_create(&path).unwrap_err().to_string();
    assert!(
        error.starts_with("AL-0903") && error.contains("line 1"),
        "{error}"
    );
    fs::write(&path, [0xff]).unwrap();
    let error = Keyring::load_or_create(&path).unwrap_err().to_string();
    assert!(error.starts_with("AL-0901"), "{error}");
}

#[test]
fn of_many_that_start_at_once_all_get_the_same_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let ids: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| Keyring::load_or_create(&path).unwrap().active()))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
}

#[test]
fn what_a_killed_rotation_left_beside_the_key_file_goes_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keyring");
    Keyring::load_or_create(&path).unwrap();
    let kept = [
        "keyring.bak",
        "keyring.12-0123",
        "other.12-0123456789abcdef",
    ];
    for name in kept.iter().chain(&["keyring.12-0123456789abcdef"]) {
        fs::write(folder.path().join(name), "keys").unwrap();
    }
    remove_leftovers(&path).unwrap();
    let left = fs::read_dir(folder.path()).unwrap();
    let mut left: Vec<_> = left
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["keyring", kept[1], kept[0], kept[2]]);
}
