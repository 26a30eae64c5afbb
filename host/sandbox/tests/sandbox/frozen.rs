//! The WIT packages that are published are promises: what `wit/` says is held against the copies that were made when
//! each version was published, and may only have more.

use std::{collections::BTreeSet, path::Path};

use wit_component::WitPrinter;
use wit_parser::{InterfaceId, PackageId, Resolve, WorldItem};

const POLICY: &str = "What was published does not change: components that were built from it must run on later hosts. \
    Documentation may be written anew. An addition (an interface, a world, a function of a capability) makes the next \
    patch version, 0.1.1 after 0.1.0, and a copy of it in tests/golden. Anything else makes the next minor version, in \
    packages beside these. docs/wit.md says which is which.";

fn read(wit: &Path) -> Resolve {
    let mut resolve = Resolve::new();
    for folder in ["capability", "bundle"] {
        resolve.push_dir(wit.join(folder)).unwrap();
    }
    resolve
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn package(resolve: &Resolve, namespace: &str, name: &str) -> Option<PackageId> {
    let mut packages = resolve.packages.iter();
    let found = packages
        .find(|(_, package)| package.name.namespace == namespace && package.name.name == name);
    found.map(|(id, _)| id)
}

/// What stands in an interface, each type and function as text of its own, without documentation.
fn items(resolve: &Resolve, interface: InterfaceId) -> BTreeSet<String> {
    let mut printer = WitPrinter::default();
    printer.emit_docs(false);
    printer.print_interface(resolve, interface).unwrap();
    let text = printer.output.to_string();
    let mut items = BTreeSet::new();
    let (mut depth, mut item) = (0_usize, String::new());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let closed = line.matches('}').count();
        depth = (depth + line.matches('{').count()).saturating_sub(closed);
        item += line;
        item.push('\n');
        if depth == 0 {
            let item = std::mem::take(&mut item);
            match item.strip_prefix("use ").and_then(|of| of.split_once(".{")) {
                // The order in which names are used means nothing, and more of them break nothing.
                Some((from, names)) => {
                    let names = names.trim_end_matches(['}', ';', '\n']).split(", ");
                    items.extend(names.map(|name| format!("use {from}.{name}")));
                }
                None => drop(items.insert(item)),
            }
        }
    }
    items
}

/// The names that a world imports or exports.
fn names<'a>(
    resolve: &'a Resolve,
    items: impl IntoIterator<Item = &'a wit_parser::WorldKey>,
) -> BTreeSet<String> {
    let name = |key: &wit_parser::WorldKey| {
        let name = resolve.name_world_key(key);
        name.split('@').next().unwrap_or_default().to_owned()
    };
    items.into_iter().map(name).collect()
}

/// The interfaces that components export: their functions are the components' to have, so none may be added.
fn exported(resolve: &Resolve) -> BTreeSet<InterfaceId> {
    let worlds = resolve.worlds.iter();
    let items = worlds.flat_map(|(_, world)| world.exports.values());
    items
        .filter_map(|item| match item {
            WorldItem::Interface { id, .. } => Some(*id),
            _ => None,
        })
        .collect()
}

fn is_function(item: &str) -> bool {
    item.contains(": func(")
}

/// What `published` breaks of what `frozen` has promised.
fn broken(frozen: &Resolve, published: &Resolve) -> Vec<String> {
    let mut broken = Vec::new();
    let own = frozen.packages.iter().map(|(_, package)| package);
    for old in own.filter(|package| package.name.namespace == "airlock") {
        let name = format!("airlock:{}", old.name.name);
        let Some(id) = package(published, "airlock", &old.name.name) else {
            broken.push(format!("the package {name} is gone"));
            continue;
        };
        let new = &published.packages[id];
        let (Some(was), Some(is)) = (&old.name.version, &new.name.version) else {
            broken.push(format!("{name} has no version"));
            continue;
        };
        let same = was == is;
        if (was.major, was.minor) != (is.major, is.minor) || is < was {
            broken.push(format!("{name} is {is}, and components want {was}"));
            continue;
        }
        let mut added = Vec::new();
        let phases = exported(published);
        for (interface, old_id) in &old.interfaces {
            let Some(new_id) = new.interfaces.get(interface) else {
                broken.push(format!("{name}/{interface} is gone"));
                continue;
            };
            let (before, now) = (items(frozen, *old_id), items(published, *new_id));
            for item in before.difference(&now) {
                broken.push(format!("{name}/{interface} no longer has\n{item}"));
            }
            for item in now.difference(&before) {
                if is_function(item) && phases.contains(new_id) {
                    broken.push(format!(
                        "{name}/{interface} is exported by components, and none has\n{item}"
                    ));
                }
                added.push(format!("{name}/{interface} has besides\n{item}"));
            }
        }
        for (world, old_id) in &old.worlds {
            let Some(new_id) = new.worlds.get(world) else {
                broken.push(format!("the world {name}/{world} is gone"));
                continue;
            };
            let (before, now) = (&frozen.worlds[*old_id], &published.worlds[*new_id]);
            let imports = |resolve, world: &wit_parser::World| names(resolve, world.imports.keys());
            let exports = |resolve, world: &wit_parser::World| names(resolve, world.exports.keys());
            // A component of the world may lack what was added to its imports, and has all of its exports.
            let gone = imports(frozen, before);
            for import in gone.difference(&imports(published, now)) {
                broken.push(format!(
                    "the world {name}/{world} no longer imports {import}"
                ));
            }
            if exports(frozen, before) != exports(published, now) {
                broken.push(format!("the world {name}/{world} has other exports"));
            }
            if imports(frozen, before) != imports(published, now) {
                added.push(format!("the world {name}/{world} imports more"));
            }
        }
        let more = |kind: &str, name_of: &dyn Fn(&str) -> bool, all: Vec<&String>| -> Vec<String> {
            let new = all.into_iter().filter(|one| !name_of(one));
            new.map(|one| format!("{name} has the {kind} {one} besides"))
                .collect()
        };
        let interfaces = new.interfaces.keys().collect();
        added.extend(more(
            "interface",
            &|one| old.interfaces.contains_key(one),
            interfaces,
        ));
        let worlds = new.worlds.keys().collect();
        added.extend(more("world", &|one| old.worlds.contains_key(one), worlds));
        if same {
            broken.extend(added);
        }
    }
    broken
}

#[test]
fn what_was_published_as_wit_0_1_is_unchanged() {
    let frozen = read(&root().join("tests/golden/0.1/wit"));
    let broken = broken(&frozen, &read(&root().join("wit")));
    assert!(broken.is_empty(), "{}\n\n{POLICY}", broken.join("\n"));
}

/// A capability with a function, and a phase, as versions that say what they are told.
fn packages(version: &str, capability: &str, phase: &str, world: &str) -> Resolve {
    let mut resolve = Resolve::new();
    resolve
        .push_str(
            "capability.wit",
            &format!("package airlock:capability@{version}; interface keys {{ {capability} }}"),
        )
        .unwrap();
    resolve
        .push_str(
            "bundle.wit",
            &format!(
                "package airlock:bundle@{version}; interface tasks {{ {phase} }}
                 world one {{ import airlock:capability/keys@{version}; export tasks; {world} }}"
            ),
        )
        .unwrap();
    resolve
}

const KEYS: &str = "record key { name: string } get: func(key: key) -> string;";
const RUN: &str = "run: func(entry: string) -> string;";

#[test]
fn additions_make_a_patch_version_and_anything_else_is_told_with_what_it_breaks() {
    let frozen = packages("0.1.0", KEYS, RUN, "");
    let told = |new: &Resolve| broken(&frozen, new);
    let documented = format!("/// Words.\n{KEYS}");
    assert_eq!(told(&packages("0.1.0", &documented, RUN, "")), [""; 0]);
    let more = format!("{KEYS} put: func(key: key);");
    assert_eq!(told(&packages("0.1.1", &more, RUN, "")), [""; 0]);
    let unversioned = told(&packages("0.1.0", &more, RUN, ""));
    assert!(
        unversioned[0].contains("has besides\nput: func"),
        "{unversioned:?}"
    );
    for (capability, phase, world, part) in [
        // A record's fields are its type: with one more it is another.
        (
            KEYS.replace("string }", "string, age: u32 }"),
            RUN.to_owned(),
            "",
            "no longer has\nrecord key",
        ),
        (
            KEYS.replace("-> string", "-> option<string>"),
            RUN.to_owned(),
            "",
            "no longer has\nget",
        ),
        (
            KEYS.to_owned(),
            format!("{RUN} stop: func();"),
            "",
            "none has\nstop",
        ),
        (
            KEYS.to_owned(),
            RUN.to_owned(),
            "export stop: func();",
            "has other exports",
        ),
    ] {
        let broken = told(&packages("0.1.1", &capability, &phase, world));
        assert!(
            broken.iter().any(|line| line.contains(part)),
            "{part}: {broken:?}"
        );
    }
    let next = told(&packages("0.2.0", KEYS, RUN, ""));
    assert_eq!(next.len(), 2, "{next:?}");
    assert!(next[0].contains("is 0.2.0, and components want 0.1.0"));
}
