//! Reading, embedding and finding `bundle.toml`.

use proptest::prelude::*;
use wasm_encoder::{Component, CustomSection, Module, ModuleSection};

use super::*;

const TEXT: &str = "[bundle]\nname = \"weather\"\nversion = \"0.1.0\"\n";

fn component(sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut component = Component::new();
    for (name, data) in sections {
        component.section(&CustomSection {
            name: (*name).into(),
            data: (*data).into(),
        });
    }
    // A module inside, with a section of the same name, which is not the bundle's.
    let mut module = Module::new();
    module.section(&CustomSection {
        name: SECTION.into(),
        data: b"inner"[..].into(),
    });
    component.section(&ModuleSection(&module));
    component.finish()
}

#[test]
fn what_is_embedded_is_found_and_the_component_stays_valid() {
    let bare = component(&[("name-it", b"kept")]);
    let bundle = embed(&bare, TEXT).unwrap();
    assert_eq!(embedded(&bundle).unwrap(), TEXT);
    assert!(bundle.starts_with(&bare), "nothing else is changed");
    wasmparser::Validator::new().validate_all(&bundle).unwrap();
    assert_eq!(
        embed(&bare, TEXT).unwrap(),
        bundle,
        "the same bytes each time"
    );
}

#[test]
fn embedding_again_replaces_what_was_there() {
    let newer = TEXT.replace("0.1.0", "0.2.0");
    let once = embed(
        &component(&[("a", b"1"), (SECTION, b"old"), ("b", b"2")]),
        TEXT,
    )
    .unwrap();
    let twice = embed(&once, &newer).unwrap();
    assert_eq!(embedded(&twice).unwrap(), newer);
    assert_eq!(
        twice,
        embed(&component(&[("a", b"1"), ("b", b"2")]), &newer).unwrap()
    );
}

#[test]
fn a_component_without_or_with_two_manifests_is_refused() {
    let error = |bytes: &[u8]| embedded(bytes).unwrap_err().to_string();
    assert!(error(&component(&[])).starts_with("AL-0206"));
    assert!(error(&component(&[(SECTION, b"a"), (SECTION, b"b")])).starts_with("AL-0207"));
    assert!(error(&component(&[(SECTION, b"\xff")])).starts_with("AL-0209"));
    assert!(
        error(&component(&[(
            SECTION,
            &vec![b' '; MAX_MANIFEST_BYTES + 1]
        )]))
        .starts_with("AL-0210")
    );
    assert!(error(&Module::new().finish()).starts_with("AL-0203"));
}

#[test]
fn mistakes_in_bundle_toml_are_shown_with_their_line() {
    for (text, line, word) in [
        ("[bundle]\nname = \"a\"\n", 1, "version"),
        (
            "[bundle]\nname = \"a\"\nversion = \"one\"\n",
            3,
            "version such as",
        ),
        (
            "[bundle]\nname = \"a b\"\nversion = \"1.0.0\"\n",
            2,
            "bundle name",
        ),
        (
            "[bundle]\nname = \"a\"\nversion = \"1.0.0\"\nauthor = \"x\"\n",
            4,
            "author",
        ),
        (
            "[bundle]\nname = \"a\"\nversion = \"1.0.0\"\n[requests]\n",
            4,
            "requests",
        ),
        ("[bundle\n", 1, ""),
    ] {
        let error = Manifest::parse(text).unwrap_err().to_string();
        assert!(error.starts_with("AL-0208"), "{error}");
        assert!(error.contains(&format!("line {line}")), "{error}");
        assert!(error.contains(word), "{error}");
    }
    let long = format!("{TEXT}#{}", " ".repeat(MAX_MANIFEST_BYTES));
    assert!(
        Manifest::parse(&long)
            .unwrap_err()
            .to_string()
            .starts_with("AL-0210")
    );
}

#[test]
fn the_request_is_left_to_who_knows_it() {
    let text = format!("{TEXT}[[request.directory]]\npath = \"archive\"\n");
    let manifest = Manifest::parse(&text).unwrap();
    assert_eq!(manifest.name.as_str(), "weather");
    assert_eq!(manifest.version.to_string(), "0.1.0");
    assert_eq!(manifest.text, text);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        let mut wasm = b"\0asm\x0d\0\x01\0".to_vec();
        wasm.extend_from_slice(&bytes);
        let _ = embedded(&wasm);
        let _ = embed(&wasm, TEXT);
    }

    #[test]
    fn a_flipped_byte_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut wasm = embed(&component(&[("a", b"1")]), TEXT).unwrap();
        let at = at.index(wasm.len());
        wasm[at] = byte;
        let _ = embedded(&wasm);
        let _ = embed(&wasm, TEXT);
    }
}

/// Lines of which some are what a bundle.toml has, and some almost are.
fn lines() -> impl Strategy<Value = String> {
    let words = [
        "[bundle]",
        "[[request.variable]]",
        "[[request.http]]",
        "[request]",
        "[bundle.bundle]",
        "name = \"ledger\"",
        "name = \"../ledger\"",
        "name = 1",
        "version = \"1.0.0\"",
        "version = \"1.0.0-a+b\"",
        "version = \"99999999999999999999.0.0\"",
        "key = \"a.*\"",
        "key = [[[[[[",
        "url = \"https://*.example.com/*\"",
        "phases = [\"task\", \"never\"]",
        "x = { y = { z = 1 } }",
        "\u{feff}",
        "# \u{202e}",
        "\"\"\"",
    ];
    let line = prop_oneof![
        8 => prop::sample::select(words.to_vec()).prop_map(str::to_owned),
        1 => ".*",
    ];
    prop::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn fuzz_a_bundle_toml_is_what_it_says_or_refused_with_a_code(text in lines()) {
        match Manifest::parse(&text) {
            Ok(manifest) => {
                prop_assert!(!manifest.name.as_str().contains(['/', '\n', '\0']));
                let component = wasm_encoder::Component::new().finish();
                let bundle = embed(&component, &text).unwrap();
                prop_assert_eq!(embedded(&bundle).unwrap(), &text);
                prop_assert_eq!(manifest.text, text);
            }
            Err(error) => {
                prop_assert!(error.to_string().starts_with("AL-02"), "{}", error);
                prop_assert!(embed(&wasm_encoder::Component::new().finish(), &text).is_err());
            }
        }
    }
}
