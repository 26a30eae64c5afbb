//! Inspection of components that are put together here, and of what is not a bundle.

use wasm_encoder::{
    CodeSection, Component, ComponentExportKind, ComponentExportSection, ComponentImportSection,
    ComponentInstanceSection, ComponentSection as _, ComponentTypeRef, ComponentTypeSection,
    ComponentValType, CustomSection, Function, FunctionSection, InstanceType, Instruction,
    MemorySection, MemoryType, Module, ModuleSection, ProducersField, ProducersSection,
    TypeSection, ValType,
};

use super::*;
use crate::manifest::{SECTION, embed};

const MANIFEST: &str = "[bundle]\nname = \"ledger\"\nversion = \"2.3.0\"\n";
const DAGS: &str = "airlock:bundle/dags@0.1.0";
const TASKS: &str = "airlock:bundle/tasks@0.1.0";

#[test]
fn a_component_of_wit_0_1_is_read_as_it_was() {
    let golden = include_bytes!("../../../../tests/golden/0.1/golden.wasm");
    let inspection = inspect(golden, DEFAULT_MAX_BYTES).unwrap();
    assert_eq!(
        inspection.hash.to_string(),
        "9147e26eb04f47ba5209f64535da154021aba00a4f82ab4454493ef9d6be96b0"
    );
    assert_eq!(inspection.manifest.name.as_str(), "golden");
    for phase in ["dags", "tasks", "timetables", "triggers", "callbacks"] {
        assert!(inspection.exports_phase(phase), "{phase}");
    }
    let imports: Vec<&str> = inspection.imports.iter().map(AsRef::as_ref).collect();
    for own in ["log", "xcom", "variables", "connections", "directories"] {
        let import = format!("airlock:capability/{own}@0.1.0");
        assert!(imports.contains(&import.as_str()), "{import}");
    }
}

/// A component that imports a bare function and an interface with two, and exports empty interfaces of
/// these names.
fn component(exports: &[&str]) -> Vec<u8> {
    let none = || std::iter::empty::<(&str, ComponentValType)>();
    let mut component = Component::new();
    let mut types = ComponentTypeSection::new();
    types.function().params(none()).result(None);
    let mut instance = InstanceType::new();
    instance.ty().function().params(none()).result(None);
    instance.export("get", ComponentTypeRef::Func(0));
    instance.export("all", ComponentTypeRef::Func(0));
    types.instance(&instance);
    component.section(&types);
    let mut imports = ComponentImportSection::new();
    imports.import("loose", ComponentTypeRef::Func(0));
    imports.import(
        "airlock:capability/variables@0.1.0",
        ComponentTypeRef::Instance(1),
    );
    component.section(&imports);
    let mut instances = ComponentInstanceSection::new();
    instances.export_items(std::iter::empty::<(&str, ComponentExportKind, u32)>());
    component.section(&instances);
    let mut out = ComponentExportSection::new();
    for name in exports {
        // Instance 0 is the imported one.
        out.export(*name, ComponentExportKind::Instance, 1, None);
    }
    component.section(&out);
    let mut made = ProducersField::new();
    made.value("Rust", "1.95");
    let mut producers = ProducersSection::new();
    producers.field("language", &made);
    let mut module = Module::new();
    module.section(&producers);
    component.section(&ModuleSection(&module));
    component.finish()
}

fn bundle(exports: &[&str]) -> Vec<u8> {
    embed(&component(exports), MANIFEST).unwrap()
}

fn refused(bytes: &[u8]) -> String {
    inspect(bytes, DEFAULT_MAX_BYTES).unwrap_err().to_string()
}

#[test]
fn a_bundle_tells_its_imports_exports_phases_makers_and_manifest() {
    let bytes = bundle(&[DAGS, TASKS]);
    let inspection = inspect(&bytes, DEFAULT_MAX_BYTES).unwrap();
    assert_eq!(inspection.hash, hash(&bytes));
    assert_eq!(inspection.size, bytes.len() as u64);
    assert_eq!(inspection.dags.as_deref(), Some(DAGS));
    assert_eq!(inspection.tasks.as_deref(), Some(TASKS));
    assert_eq!(inspection.exports, [DAGS, TASKS]);
    assert_eq!(inspection.manifest.name.as_str(), "ledger");
    let [loose, variables] = inspection.imports.as_slice() else {
        panic!("{:?}", inspection.imports)
    };
    assert_eq!((loose.as_ref(), loose.functions.len()), ("loose", 0));
    assert_eq!(variables.name, "airlock:capability/variables@0.1.0");
    assert_eq!(variables.functions, ["get", "all"]);
    let [made] = inspection.producers.as_slice() else {
        panic!("{:?}", inspection.producers)
    };
    assert_eq!(made.field, "language");
    assert_eq!((&*made.name, &*made.version), ("Rust", "1.95"));
}

#[test]
fn what_was_compiled_before_tells_the_same_without_a_look_at_its_functions() {
    let bytes = bundle(&[DAGS, TASKS]);
    let whole = inspect(&bytes, DEFAULT_MAX_BYTES).unwrap();
    let structure = inspect_to(Depth::Structure, &bytes, DEFAULT_MAX_BYTES).unwrap();
    assert_eq!(structure, whole);

    let (mut types, mut functions, mut code) = (
        TypeSection::new(),
        FunctionSection::new(),
        CodeSection::new(),
    );
    types.ty().function([], [ValType::I32]);
    functions.function(0);
    let mut body = Function::new([]);
    body.instruction(&Instruction::End);
    code.function(&body);
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&code);
    let mut wrong_body = component(&[DAGS]);
    ModuleSection(&module).append_to_component(&mut wrong_body);
    let wrong_body = embed(&wrong_body, MANIFEST).unwrap();
    assert!(refused(&wrong_body).starts_with("AL-0204"));
    assert!(inspect_to(Depth::Structure, &wrong_body, DEFAULT_MAX_BYTES).is_ok());
    for end in [8, bytes.len() / 2, bytes.len() - 1] {
        let cut = bytes.get(..end).unwrap();
        assert!(
            inspect_to(Depth::Structure, cut, DEFAULT_MAX_BYTES).is_err(),
            "{end}"
        );
    }
}

#[test]
fn a_bundle_may_have_one_phase_only() {
    let tasks = inspect(&bundle(&[TASKS]), DEFAULT_MAX_BYTES).unwrap();
    assert_eq!((tasks.dags.is_some(), tasks.tasks.is_some()), (false, true));
}

#[test]
fn what_is_no_bundle_is_named_with_the_fix() {
    let text = refused(b"#!/bin/sh\n");
    assert!(text.starts_with("AL-0202"), "{text}");
    assert!(text.contains("airlock bundle build"), "{text}");
    assert!(refused(b"").starts_with("AL-0202"));
    let text = refused(&Module::new().finish());
    assert!(text.starts_with("AL-0203"), "{text}");
    assert!(text.contains("wasm32-wasip2"), "{text}");
    let text = refused(&bundle(&["test:other/thing"]));
    assert!(text.starts_with("AL-0205"), "{text}");
    assert!(text.contains("`test:other/thing`"), "{text}");
    assert!(refused(&bundle(&[])).contains("exports nothing"));
    assert!(refused(&component(&[DAGS])).starts_with("AL-0206"));
}

#[test]
fn a_bundle_of_an_incompatible_contract_is_of_another_world() {
    let text = refused(&bundle(&["airlock:bundle/dags@0.2.0"]));
    assert!(text.starts_with("AL-0205"), "{text}");
    assert!(text.contains("dags@0.2.0"), "{text}");
    for (export, fits) in [
        (DAGS, true),
        ("airlock:bundle/dags@0.1.7", true),
        ("airlock:bundle/dags@0.1.0-rc.1", false),
        ("airlock:bundle/dags@1.1.0", false),
        ("airlock:bundle/dags", false),
        ("airlock:bundle/dagsx@0.1.0", false),
        ("other:bundle/dags@0.1.0", false),
    ] {
        assert_eq!(is_phase(export, "dags"), fits, "{export}");
    }
}

#[test]
fn size_is_checked_before_anything_is_read() {
    let bytes = bundle(&[DAGS]);
    let size = bytes.len() as u64;
    assert!(inspect(&bytes, size).is_ok());
    let text = inspect(&bytes, size - 1).unwrap_err().to_string();
    assert!(text.starts_with("AL-0201"), "{text}");
    assert!(text.contains(&size.to_string()), "{text}");
}

#[test]
fn a_component_that_is_cut_off_or_uses_what_is_off_is_invalid() {
    let bytes = bundle(&[DAGS]);
    assert!(refused(&bytes[..bytes.len() / 2]).starts_with("AL-0204"));
    for (memory64, shared) in [(true, false), (false, true)] {
        let mut memories = MemorySection::new();
        memories.memory(MemoryType {
            minimum: 1,
            maximum: Some(1),
            memory64,
            shared,
            page_size_log2: None,
        });
        let mut module = Module::new();
        module.section(&memories);
        let mut component = Component::new();
        component.section(&ModuleSection(&module));
        assert!(refused(&component.finish()).starts_with("AL-0204"));
    }
}

#[test]
fn more_exports_than_any_bundle_has_are_refused() {
    let names: Vec<String> = (0..=MAX_LISTED)
        .map(|n| format!("test:many/n{n}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert!(refused(&component(&names)).starts_with("AL-0211"));
}

#[test]
fn what_an_author_wrote_is_shown_escaped_and_short() {
    let name = |n| format!("\x1b[31m{n}{}", "x".repeat(500));
    let text = listed(&(0..9).map(name).collect::<Vec<_>>());
    assert!(!text.contains('\x1b') && text.len() < 800, "{text}");
    assert!(text.ends_with('…'), "{text}");
}

#[test]
fn a_manifest_that_is_wrong_inside_a_component_is_shown_with_its_line() {
    let mut bytes = component(&[DAGS]);
    CustomSection {
        name: SECTION.into(),
        data: b"[bundle]\nname = 3\n"[..].into(),
    }
    .append_to_component(&mut bytes);
    let text = refused(&bytes);
    assert!(text.starts_with("AL-0208"), "{text}");
    assert!(text.contains("line 2"), "{text}");
}
