//! Signatures by real keys, and what is none.

use std::sync::LazyLock;

use minisign::{KeyPair, SecretKey};
use proptest::prelude::*;

use super::*;
use crate::{
    inspect::{DEFAULT_MAX_BYTES, inspect},
    manifest::embed,
};

const GOLDEN: &[u8] = include_bytes!("../../../../tests/golden/0.1/golden.wasm");

fn golden() -> Inspection {
    inspect(GOLDEN, DEFAULT_MAX_BYTES).unwrap()
}

fn key(name: &str) -> (SecretKey, SigningKey) {
    let pair = KeyPair::generate_unencrypted_keypair().unwrap();
    let key = SigningKey {
        name: name.into(),
        key: pair.pk.to_base64().parse().unwrap(),
        revoked: false,
    };
    (pair.sk, key)
}

fn sign(secret: &SecretKey, text: &str) -> String {
    let signed = minisign::sign(None, secret, text.as_bytes(), Some("a comment"), None);
    signed.unwrap().into_string()
}

/// The golden component, its signature, and a key by which it counts.
fn signed() -> (Inspection, String, SigningKey) {
    let (inspection, (secret, key)) = (golden(), key("release"));
    let signature = sign(&secret, &canonical_manifest(&inspection));
    (inspection, signature, key)
}

fn refused(inspection: &Inspection, signature: &[u8], keys: &[SigningKey]) -> SignatureError {
    signer(inspection, Some(signature), keys).unwrap_err()
}

#[test]
fn the_canonical_manifest_is_a_stable_text_that_names_component_and_request_by_their_hashes() {
    let inspection = golden();
    let request = blake3::hash(inspection.manifest.text.as_bytes());
    assert_eq!(
        canonical_manifest(&inspection),
        format!(
            "airlock bundle manifest 1\nname: golden\nversion: 0.1.0\ncomponent: b3:{}\nrequest: b3:{request}\n",
            blake3::hash(GOLDEN)
        )
    );
}

#[test]
fn a_signature_by_any_of_the_teams_keys_counts_under_that_keys_name() {
    let (inspection, signature, release) = signed();
    let keys = [key("other").1, release];
    let by = signer(&inspection, Some(signature.as_bytes()), &keys);
    assert_eq!(by, Ok("release"));
    // Line ends as other systems write them.
    let crlf = signature.replace('\n', "\r\n");
    assert!(signer(&inspection, Some(crlf.as_bytes()), &keys).is_ok());
}

#[test]
fn a_bundle_without_a_signature_and_one_by_a_stranger_count_as_signed_by_nobody() {
    let (inspection, signature, _) = signed();
    let keys = [key("ours").1];
    let missing = signer(&inspection, None, &keys).unwrap_err();
    assert!(matches!(missing, SignatureError::Missing { .. }));
    for keys in [&keys[..], &[]] {
        let error = refused(&inspection, signature.as_bytes(), keys);
        assert!(matches!(error, SignatureError::UnknownKey(_)), "{error}");
    }
}

#[test]
fn what_a_revoked_key_signed_counts_for_nothing_even_where_the_key_is_listed_twice() {
    let (inspection, signature, counts) = signed();
    let revoked = SigningKey {
        name: "stolen".into(),
        revoked: true,
        ..counts.clone()
    };
    for keys in [
        vec![revoked.clone()],
        vec![counts.clone(), revoked.clone()],
        vec![revoked, counts],
    ] {
        let error = refused(&inspection, signature.as_bytes(), &keys);
        assert!(
            matches!(&error, SignatureError::Revoked { key, .. } if key == "stolen"),
            "{error}"
        );
    }
}

#[test]
fn a_signature_counts_for_the_very_component_and_request_that_were_signed() {
    let (_, signature, key) = signed();
    let keys = [key];
    let text = golden().manifest.text;
    for other in [
        text.replace("0.1.0", "0.1.1"),
        text.replace("rates.example", "evil.example"),
        format!("{text}\n"),
    ] {
        let other = embed(GOLDEN, &other).unwrap();
        let other = inspect(&other, DEFAULT_MAX_BYTES).unwrap();
        let error = refused(&other, signature.as_bytes(), &keys);
        assert!(
            matches!(error, SignatureError::OtherContent { .. }),
            "{error}"
        );
    }
}

#[test]
fn comments_cannot_be_exchanged_and_say_nothing() {
    let (inspection, signature, key) = signed();
    let keys = [key];
    let error = refused(
        &inspection,
        signature.replace("a comment", "another").as_bytes(),
        &keys,
    );
    assert!(
        matches!(error, SignatureError::OtherContent { .. }),
        "{error}"
    );
    // The untrusted comment is nobody's word, and is not looked at.
    let (_, rest) = signature.split_once('\n').unwrap();
    let other = format!("untrusted comment: by the board\u{1b}[2J\n{rest}");
    assert!(signer(&inspection, Some(other.as_bytes()), &keys).is_ok());
}

#[test]
fn a_signature_of_minisigns_old_kind_is_refused_for_what_it_is() {
    let (inspection, signature, key) = signed();
    // The kind is the first two bytes: `ED` is hashed first, `Ed` is not.
    let old = signature.replacen("\nRU", "\nRW", 1);
    assert_ne!(old, signature);
    let error = refused(&inspection, old.as_bytes(), &[key]);
    assert!(matches!(error, SignatureError::Legacy(_)), "{error}");
}

#[test]
fn what_is_no_signature_is_refused_for_what_it_is() {
    let (inspection, signature, key) = signed();
    let keys = [key];
    let lines: Vec<&str> = signature.lines().collect();
    for garbage in [
        &b""[..],
        b"\xff\xfe",
        b"\0asm",
        lines[..3].join("\n").as_bytes(),
        lines[1..].join("\n").as_bytes(),
        signature.replace("trusted comment: a", "a").as_bytes(),
        b"untrusted comment: x\nRUQ\ntrusted comment: y\nRUQ\n",
    ] {
        let error = refused(&inspection, garbage, &keys);
        assert!(matches!(error, SignatureError::Malformed(_)), "{error}");
    }
    let huge = format!("{signature}{}", "\n".repeat(MAX_SIGNATURE_BYTES));
    let error = refused(&inspection, huge.as_bytes(), &keys);
    assert!(matches!(error, SignatureError::TooLarge(_)), "{error}");
}

#[test]
fn a_public_key_is_taken_from_its_line_or_its_file_and_nothing_else_is_one() {
    let (_, SigningKey { key, .. }) = key("release");
    let file = format!("untrusted comment: minisign public key\n{key}\n");
    assert_eq!(file.parse(), Ok(key.clone()));
    assert_eq!(key.to_string().parse(), Ok(key.clone()));
    assert!(key.to_string().starts_with("RW"));
    for no_key in ["", "RW", "untrusted comment: x", &format!("{key}AAAA")] {
        assert_eq!(no_key.parse::<PublicKey>(), Err(NoKey), "{no_key}");
    }
}

proptest! {
    #[test]
    fn fuzz_no_bytes_but_the_signature_count(
        at in any::<prop::sample::Index>(),
        to in any::<u8>(),
        noise in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        static SIGNED: LazyLock<(Inspection, String, SigningKey)> = LazyLock::new(signed);
        let (inspection, signature, key) = &*SIGNED;
        let keys = std::slice::from_ref(key);
        prop_assert!(signer(inspection, Some(&noise), keys).is_err());
        // What is changed is refused, but for the first line, which nobody believes.
        let start = signature.find('\n').unwrap() + 1;
        let at = start + at.index(signature.trim_end().len() - start);
        let mut changed = signature.clone().into_bytes();
        changed[at] = to;
        let same = changed == signature.as_bytes();
        prop_assert_eq!(signer(inspection, Some(&changed), keys).is_ok(), same);
    }
}
