//! What opens where, and what does not.

use airlock_model::id::{Scope, TeamName};
use proptest::prelude::*;

use super::*;

fn team(name: &str) -> Scope {
    Scope::Team(TeamName::new(name).unwrap())
}

fn subject<'a>(scope: &'a Scope, kind: &'a str, name: &'a str) -> Subject<'a> {
    Subject { scope, kind, name }
}

#[test]
fn a_sealed_value_opens_only_where_it_was_sealed() {
    let keyring = Keyring::generate().unwrap();
    let (a, b, global) = (team("a"), team("b"), Scope::Global);
    let place = subject(&a, "variable", "k");
    let sealed = keyring.seal(&place, b"hunter2").unwrap();
    assert_eq!(*keyring.open(&place, &sealed).unwrap(), b"hunter2");
    for elsewhere in [
        subject(&b, "variable", "k"),
        subject(&global, "variable", "k"),
        subject(&a, "connection", "k"),
        subject(&a, "variable", "kk"),
        subject(&a, "variablek", ""),
    ] {
        let error = keyring.open(&elsewhere, &sealed).unwrap_err();
        assert!(matches!(error, SealError::Broken { .. }), "{error}");
        assert!(error.to_string().starts_with("AL-0905"));
    }
}

#[test]
fn another_keyring_does_not_open_it_and_says_which_key_is_missing() {
    let (one, other) = (Keyring::generate().unwrap(), Keyring::generate().unwrap());
    let scope = Scope::Global;
    let place = subject(&scope, "variable", "k");
    let sealed = one.seal(&place, b"x").unwrap();
    let error = other.open(&place, &sealed).unwrap_err().to_string();
    assert!(error.starts_with("AL-0904"), "{error}");
    assert!(error.contains(&one.active().to_string()), "{error}");
    // The right id with the wrong key is no better.
    let mut forged = other.clone();
    forged.active.id = one.active.id;
    assert!(matches!(
        forged.open(&place, &sealed),
        Err(SealError::Broken { .. })
    ));
}

#[test]
fn the_same_value_sealed_twice_looks_different() {
    let keyring = Keyring::generate().unwrap();
    let place = subject(&Scope::Global, "variable", "k");
    assert_ne!(
        keyring.seal(&place, b"x").unwrap(),
        keyring.seal(&place, b"x").unwrap()
    );
}

#[test]
fn while_keys_are_replaced_both_open_and_the_new_one_seals() {
    let old = Keyring::generate().unwrap();
    let place = subject(&Scope::Global, "variable", "k");
    let sealed = old.seal(&place, b"x").unwrap();
    let both = old.with_new_key().unwrap();
    assert!(both.is_rotating() && both.active() != old.active());
    assert!(both.open(&place, &sealed).is_ok());
    let anew = both.seal(&place, b"x").unwrap();
    let new = both.active_only();
    assert!(new.open(&place, &anew).is_ok() && old.open(&place, &anew).is_err());
}

#[test]
fn keys_are_never_shown() {
    let keyring = Keyring::generate().unwrap();
    let text = keyring.to_text();
    let secret = text.lines().nth(1).unwrap().split(' ').nth(1).unwrap();
    assert!(!format!("{keyring:?}").contains(secret));
}

#[test]
fn a_key_file_is_understood_wholly_or_not_at_all() {
    let both = Keyring::generate().unwrap().with_new_key().unwrap();
    let text = both.to_text();
    let read = Keyring::from_text(&text).unwrap();
    assert_eq!(*read.to_text(), *text);
    let line = |text: &str| Keyring::from_text(text).unwrap_err().line;
    assert_eq!(line(""), 0);
    assert_eq!(line("# only a comment\n"), 1);
    assert_eq!(line(&text[..text.len() - 2]), 3);
    assert_eq!(
        line(&format!("{}{}", *text, text.lines().last().unwrap())),
        4
    );
    assert_eq!(line("00 11\n"), 1);
    assert_eq!(line(&format!("{} {}\n", "é".repeat(8), "0".repeat(64))), 1);
}

proptest! {
    #[test]
    fn whatever_is_sealed_comes_back(
        value in proptest::collection::vec(any::<u8>(), 0..512), kind in ".{0,8}", name in ".{0,8}",
    ) {
        let keyring = Keyring::generate().unwrap();
        let scope = team("a");
        let place = subject(&scope, &kind, &name);
        let sealed = keyring.seal(&place, &value).unwrap();
        prop_assert_eq!(&*keyring.open(&place, &sealed).unwrap(), &value);
    }

    #[test]
    fn one_changed_bit_anywhere_is_noticed(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let keyring = Keyring::generate().unwrap();
        let scope = team("a");
        let place = subject(&scope, "variable", "k");
        let mut sealed = keyring.seal(&place, b"hunter2").unwrap();
        let at = at.index(sealed.len());
        sealed[at] ^= 1 << bit;
        prop_assert!(keyring.open(&place, &sealed).is_err());
    }

    #[test]
    fn arbitrary_bytes_are_answered_with_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let keyring = Keyring::generate().unwrap();
        prop_assert!(keyring.open(&subject(&Scope::Global, "variable", "k"), &bytes).is_err());
    }
}
