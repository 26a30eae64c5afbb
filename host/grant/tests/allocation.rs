//! A yes costs no memory: what a decision gives was made when the grant was read.

use std::{alloc::System, path::Path};

use airlock_grant::{AssetAccess, BundleLabel, Caller, Effective, HttpTarget, Request};
use airlock_model::id::{BundleHash, BundleName, DagId, TaskId};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn allocations<T>(work: impl FnOnce() -> T) -> usize {
    let region = Region::new(HEAP);
    let made = work();
    let count = region.change().allocations;
    drop(made);
    count
}

#[test]
fn what_is_granted_is_allowed_without_an_allocation() {
    let asks = r#"
        [[request.variable]]
        key = "ledger.currency"
        [[request.variable]]
        key = "rates.*"
        [[request.connection]]
        id = "bank"
        access = "read"
        [[request.directory]]
        path = "archive/in"
        [[request.http]]
        url = "https://*.example.com/v1/*"
        [[request.asset]]
        name = "reports/*"
        access = "produce"
    "#;
    let request = Request::from_bundle_toml(asks).unwrap();
    let label = BundleLabel {
        name: BundleName::new("ledger").unwrap(),
        version: "1.0.0".into(),
        hash: BundleHash::from_bytes([7; 32]),
    };
    let effective = Effective::grant_all(label, &request, Path::new("/srv/ledger"));
    let caller = Caller::task(DagId::new("d").unwrap(), TaskId::new("t").unwrap());
    let target = HttpTarget::parse("GET", "https://api.example.com/v1/rates?day=1").unwrap();
    for (what, count) in [
        (
            "a variable",
            allocations(|| effective.variable(&caller, "ledger.currency").unwrap()),
        ),
        (
            "a connection",
            allocations(|| effective.read_connection(&caller, "bank").unwrap()),
        ),
        (
            "a directory",
            allocations(|| effective.directory(&caller, "archive/in").unwrap()),
        ),
        (
            "an HTTP call",
            allocations(|| effective.http(&caller, target).unwrap()),
        ),
        (
            "an asset",
            allocations(|| {
                let name = "reports/2024";
                effective
                    .asset(&caller, name, AssetAccess::Produce)
                    .unwrap();
            }),
        ),
    ] {
        assert_eq!(count, 0, "{what}");
    }
    // A key that only its beginning names is the caller's own text, and is taken along.
    let taken = allocations(|| effective.variable(&caller, "rates.chf").unwrap());
    assert_eq!(taken, 1);
}
