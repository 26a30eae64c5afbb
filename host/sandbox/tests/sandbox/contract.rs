//! The contract: what the published WIT says, what the host links, and what components built with the SDK
//! want, are the same.

use std::{collections::BTreeSet, path::Path};

use airlock_grant::{Kind, Standing};
use wit_component::{DecodedWasm, WitPrinter};
use wit_parser::{PackageId, PackageName, Resolve, WorldItem};

use crate::{
    guests::guest,
    stage::{Stage, effective, small, usual},
};

/// The published packages.
fn published() -> Resolve {
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let mut resolve = Resolve::new();
    for folder in ["capability", "bundle"] {
        resolve.push_dir(wit.join(folder)).unwrap();
    }
    resolve
}

fn package(resolve: &Resolve, name: &str) -> Option<PackageId> {
    let full = |package: &PackageName| format!("{}:{}", package.namespace, package.name);
    let mut all = resolve.packages.iter();
    all.find_map(|(id, package)| (full(&package.name) == name).then_some(id))
}

/// Each interface of a package as text, without its documentation, which binaries need not carry.
fn interfaces(resolve: &Resolve, package: PackageId) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (name, id) in &resolve.packages[package].interfaces {
        let mut printer = WitPrinter::default();
        printer.emit_docs(false);
        printer.print_interface(resolve, *id).unwrap();
        let text = printer.output.to_string();
        let plain: Vec<&str> = text
            .lines()
            .map(str::trim)
            // In what order names are used means nothing.
            .filter(|line| !line.is_empty() && !line.starts_with("use "))
            .collect();
        found.push((name.clone(), plain.join("\n")));
    }
    found
}

#[test]
fn components_built_with_the_sdk_speak_the_published_interfaces() {
    let published = published();
    let both = ["airlock:bundle/dags@0.1.1", "airlock:bundle/tasks@0.1.1"];
    let others = [
        "airlock:bundle/timetables@0.1.1",
        "airlock:bundle/triggers@0.1.1",
        "airlock:bundle/callbacks@0.1.1",
    ];
    let all = [&both[..], &others].concat();
    for (name, phases) in [("noop", &all[..]), ("hostile_tasks", &both[..])] {
        let DecodedWasm::Component(built, world) = wit_component::decode(&guest(name)).unwrap()
        else {
            panic!("{name} is a component");
        };
        let mut compared = 0;
        for own in ["airlock:capability", "airlock:bundle"] {
            let Some(theirs) = package(&built, own) else {
                continue;
            };
            let ours = package(&published, own).unwrap();
            assert_eq!(
                built.packages[theirs].name.version,
                published.packages[ours].name.version
            );
            let ours = interfaces(&published, ours);
            for (interface, text) in interfaces(&built, theirs) {
                let (_, published) = ours.iter().find(|(name, _)| *name == interface).unwrap();
                // A component carries what it uses of an interface, line by line as it was published.
                let published: BTreeSet<&str> = published.lines().collect();
                for line in text.lines() {
                    assert!(published.contains(line), "{name}: {interface} has `{line}`");
                }
                compared += 1;
            }
        }
        assert!(compared >= 4, "{name}: {compared}");
        let exports = built.worlds[world].exports.iter();
        let exports: Vec<String> = exports
            .filter(|(_, item)| matches!(item, WorldItem::Interface { .. }))
            .map(|(key, _)| built.name_world_key(key))
            .collect();
        assert_eq!(exports, phases);
    }
}

#[tokio::test]
async fn the_host_links_every_interface_of_the_published_world() {
    let published = published();
    let (request, grant) = usual(Path::new("/"));
    let team = crate::stage::team("a");
    let world = published
        .worlds
        .iter()
        .find(|(_, world)| world.name == "full-bundle")
        .map(|(_, world)| world)
        .unwrap();
    let effective = effective(&team, b"", &request, &grant);
    let imports: Vec<String> = world
        .imports
        .keys()
        .map(|key| published.name_world_key(key))
        .collect();
    assert!(
        imports
            .iter()
            .any(|name| name.starts_with("airlock:capability/directories@"))
    );
    assert_eq!(
        effective.check_imports(&imports).unwrap().len(),
        imports.len()
    );
}

/// The hostile tasks are granted something of every kind, so that their linker holds every interface that
/// any grant can allow: one that the grant's table names and the sandbox cannot link would fail here.
#[tokio::test]
async fn whatever_a_grant_allows_can_be_linked() {
    let stage = Stage::new();
    let bundle = stage.hostile(&stage.add_team("a", small()));
    let prepared = stage
        .sandbox
        .prepare(&bundle.team, &bundle.name, &bundle.hash);
    prepared.await.unwrap();
    let (request, grant) = usual(stage.folder());
    let effective = effective(&bundle.team, b"", &request, &grant);
    let imported = |kind: &Kind| {
        let mut all = airlock_grant::interfaces().iter();
        all.any(|interface| interface.standing.kind() == Some(*kind))
    };
    for kind in Kind::ALL.into_iter().filter(imported) {
        assert!(!effective.phases(kind).is_empty(), "{kind:?}");
    }
    let never = |i: &&airlock_grant::Interface| i.standing == Standing::Never;
    let named = airlock_grant::interfaces()
        .iter()
        .filter(|i| !never(i))
        .count();
    assert_eq!(effective.interfaces().count(), named);
}
