//! Hostile bundles in a host that also serves a well-behaved team: each is stopped by the limit or the error
//! that is there for it, which its import error or its task says, and the other team's runs go on.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on is to fail"
)]

use std::path::Path;

use airlock_tests::{Host, escape, guest, guest_with};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Each bundle that must not give DAGs, and what its import error says.
const REFUSED: [(&str, &[&str]); 6] = [
    ("hostile_parse_loop", &["AL-0501", "parse_cpu_time"]),
    ("hostile_parse_trap", &["AL-0520"]),
    ("hostile_cycle", &["AL-0312", "→"]),
    ("hostile_duplicates", &["AL-0331", "`same`"]),
    ("hostile_million_tasks", &["AL-050"]),
    ("hostile_sockets", &["wasi:sockets"]),
];

/// Each task that must fail, and what its note says.
const STOPPED: [(&str, &[&str]); 9] = [
    ("busy", &["AL-0501", "task_cpu_time"]),
    ("grow", &["AL-0503", "memory_per_instance"]),
    ("recurse", &["AL-0506"]),
    ("recurse_in_memory", &["AL-05"]),
    ("return_huge", &["AL-05"]),
    ("panic", &["AL-0514"]),
    ("huge_string", &["AL-0507", "host_call_bytes"]),
    ("sleep", &["AL-0502", "task_wall_time"]),
    ("not_json", &["AL-0517"]),
];

fn manifest(name: &str) -> String {
    format!("[bundle]\nname = \"{name}\"\nversion = \"0.1.0\"\n")
}

/// What the guest `tasks` asks for; what it gets is in the grants below.
const TASKS_REQUEST: &str = "\n[[request.connection]]\nid = \"granted\"\naccess = \"read\"\n\
    [[request.variable]]\nkey = \"granted.*\"\n\
    [[request.directory]]\npath = \"in\"\nmode = \"read\"\n";

fn bundle(name: &str, source: &Path) -> String {
    format!(
        "[[team.bundle]]\nname = \"{name}\"\nsource = \"{}\"\n",
        source.display()
    )
}

/// What asks for everything.
fn generous(name: &str) -> String {
    manifest(name)
        + "[[request.connection]]\nid = \"bank\"\naccess = \"read\"\n[[request.http]]\nurl = \"https://*.example.com/*\"\n"
}

/// A compiled guest without any `bundle.toml`.
fn component_of(name: &str) -> Vec<u8> {
    let file = format!("tests/guests/target/wasm32-wasip2/release/{name}.wasm");
    std::fs::read(airlock_tests::checkout().join(file)).unwrap()
}

/// A section of this kind, with its length before it.
fn sized(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    let mut left = bytes.len();
    loop {
        let low = u8::try_from(left & 0x7f).unwrap();
        left >>= 7;
        out.push(low | if left > 0 { 0x80 } else { 0 });
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(bytes);
    out
}

/// A `bundle.toml` as it stands in a component.
fn section(manifest: &str) -> Vec<u8> {
    let name = airlock_bundle::SECTION.as_bytes();
    let mut bytes = vec![u8::try_from(name.len()).unwrap()];
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(manifest.as_bytes());
    sized(0, &bytes)
}

/// Files that are no bundles at all, or lie about what they are, each with what is said of it.
fn no_bundles(folder: &Path) -> Vec<(&'static str, &'static [&'static str])> {
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(folder.join(format!("{name}.wasm")), bytes).unwrap()
    };
    write("text", b"#!/bin/sh\nrm -rf /\n");
    // The header of a core module, and nothing else.
    write("core", b"\0asm\x01\0\0\0");
    // The header of a component: valid, and of no world that a host of ours knows.
    write("empty", b"\0asm\x0d\0\x01\0");
    let mut large = b"\0asm\x0d\0\x01\0".to_vec();
    large.resize(64 << 20, 0);
    write("large", &large);
    // A working component that says two things of what it asks for, or says it where nobody should look.
    let component = component_of("hostile_tasks");
    let (narrow, generous_one) = (
        section(&manifest("two-requests")),
        section(&generous("two-requests")),
    );
    write(
        "two-requests",
        &[&*component, &narrow, &generous_one].concat(),
    );
    let nested = [b"\0asm\x0d\0\x01\0", &*section(&generous("nested"))].concat();
    write("nested", &[&*component, &sized(4, &nested)].concat());
    let module = [b"\0asm\x01\0\0\0", &*section(&generous("inner"))].concat();
    write("inner", &[&*component, &sized(1, &module)].concat());
    write(
        "renamed",
        &[&*component, &section(&generous("tasks"))].concat(),
    );
    let cut = section(&generous("cut"));
    write("cut", &[&*component, &cut[..cut.len() - 9]].concat());
    vec![
        ("text", &["AL-02", "WebAssembly"]),
        ("core", &["AL-02", "wasm32-wasip2"]),
        ("empty", &["AL-02"]),
        ("large", &["AL-0224", "at most"]),
        ("two-requests", &["AL-0207"]),
        ("nested", &["AL-0206"]),
        ("inner", &["AL-0206"]),
        ("renamed", &["AL-0241", "`tasks`"]),
        ("cut", &["AL-02"]),
    ]
}

fn config(folder: &Path) -> String {
    let mut text = format!(
        "[[team]]\nname = \"good\"\n{}[[team]]\nname = \"hostile\"\n[team.pool]\ninstances = 8\nthreads = 2\n\
         memory_per_instance = \"32 MiB\"\nparse_cpu_time = \"300ms\"\ntask_cpu_time = \"200ms\"\n\
         task_wall_time = \"12s\"\nlog_bytes = \"64 KiB\"\n",
        bundle("noop", &guest("noop"))
    );
    for (name, _) in REFUSED {
        let name_of_bundle = name.replace('_', "-");
        text += &bundle(
            &name_of_bundle,
            &guest_with(folder, name, &manifest(&name_of_bundle)),
        );
    }
    for (name, _) in no_bundles(folder) {
        text += &bundle(name, &folder.join(format!("{name}.wasm")));
    }
    let tasks = guest_with(
        folder,
        "hostile_tasks",
        &(manifest("tasks") + TASKS_REQUEST),
    );
    text += &bundle("tasks", &tasks);
    std::fs::create_dir(folder.join("in")).unwrap();
    text += &format!(
        "[[team.bundle.grant.connection]]\nid = \"granted\"\naccess = \"read\"\n\
         [[team.bundle.grant.variable]]\nkey = \"granted.*\"\n\
         [[team.bundle.grant.directory]]\npath = \"in\"\nhost = \"{}\"\nmode = \"read\"\n",
        folder.join("in").display()
    );
    // The same component with nothing granted, by the file's own word: it imports what it may not have.
    let ungranted = folder.join("ungranted");
    std::fs::create_dir(&ungranted).unwrap();
    let ungranted = guest_with(
        &ungranted,
        "hostile_tasks",
        &(manifest("ungranted") + TASKS_REQUEST),
    );
    text + &bundle("ungranted", &ungranted) + "[team.bundle.grant]\n"
}

async fn import_error(host: &Host, bundle: &str) -> String {
    host.until(&format!("an import error of {bundle}"), async || {
        let errors = host.get("/importErrors?limit=100").await;
        let errors = errors["import_errors"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        errors
            .into_iter()
            .map(|error| error.to_string())
            .find(|text| text.contains(&format!("\"{bundle}\"")))
    })
    .await
}

#[tokio::test]
async fn every_attack_is_stopped_by_name_and_the_other_team_goes_on() {
    let folder = TempDir::new().unwrap();
    let no_bundles = no_bundles(folder.path());
    let host = Host::start(&config(folder.path()));
    host.dag("hostile_busy").await;

    let mut attacks = vec![];
    for (name, parts) in STOPPED {
        for _ in 0..2 {
            let dag = format!("hostile_{name}");
            attacks.push((
                name,
                parts,
                host.trigger(&dag, json!({"logical_date": null})).await,
            ));
        }
    }
    // While they are at it.
    for _ in 0..3 {
        let run = host.trigger("chain50", json!({"logical_date": null})).await;
        assert_eq!(host.ended("chain50", &run).await, "success");
    }
    for (name, parts, run) in attacks {
        let dag = format!("hostile_{name}");
        assert_eq!(host.ended(&dag, &run).await, "failed", "{name}");
        let tasks = host
            .get(&format!(
                "/dags/{dag}/dagRuns/{}/taskInstances",
                escape(&run)
            ))
            .await;
        let note = tasks["task_instances"][0].to_string();
        for part in parts {
            assert!(note.contains(part), "{name}: {part} is missing in {note}");
        }
    }

    for (name, parts) in REFUSED
        .iter()
        .map(|(name, parts)| (name.replace('_', "-"), *parts))
    {
        let text = import_error(&host, &name).await;
        for part in parts {
            assert!(text.contains(part), "{name}: {part} is missing in {text}");
        }
    }
    for (name, parts) in no_bundles {
        let text = import_error(&host, name).await;
        for part in parts {
            assert!(text.contains(part), "{name}: {part} is missing in {text}");
        }
    }
    let text = import_error(&host, "ungranted").await;
    for part in ["AL-0410", "airlock:capability/", "[[team.bundle.grant."] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    let list = ["audit", "list", "--bundle", "ungranted"];
    let denied = host.cli_json(&list);
    let denied = denied.as_array().unwrap();
    assert!(!denied.is_empty());
    for row in denied {
        let told = (&row["action"], &row["team_name"], &row["detail"]["code"]);
        let wanted = ["capability.denied", "hostile", "AL-0410"].map(Value::from);
        assert_eq!(told, (&wanted[0], &wanted[1], &wanted[2]), "{row}");
        assert_eq!(row["detail"]["phase"], "load", "{row}");
    }

    let run = host
        .trigger("wide1000", json!({"logical_date": null}))
        .await;
    assert_eq!(host.ended("wide1000", &run).await, "success");
}

#[tokio::test]
async fn a_flood_of_log_lines_is_cut_and_says_so() {
    let folder = TempDir::new().unwrap();
    let host = Host::start(&config(folder.path()));
    host.dag("hostile_flood_log").await;
    for attack in ["flood_log", "flood_print"] {
        let dag = format!("hostile_{attack}");
        let run = host.trigger(&dag, json!({"logical_date": null})).await;
        host.ended(&dag, &run).await;
        let logs = host.cli(&["tasks", "logs", &dag, &run, attack]);
        let text = String::from_utf8_lossy(&logs.stdout).into_owned();
        assert!(
            text.contains("AL-0511"),
            "{attack}: {}",
            text.lines().last().unwrap_or_default()
        );
        assert!(text.len() < 1 << 20, "{attack} left {} bytes", text.len());
    }
    let sizes = |value: &Value| value["total_entries"].as_u64();
    assert_eq!(
        sizes(&host.get("/dags/hostile_flood_log/dagRuns").await),
        Some(1)
    );
}
