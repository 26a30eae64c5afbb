//! Decisions, by table and by property.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::grant::{AssetGrant, ConnectionGrant, DirectoryGrant, HttpGrant, VariableGrant};
use crate::item::{AssetAccess, GuestPath, Mode};
use crate::pattern::AssetPattern;
use airlock_model::id::{DagId, TaskId};

fn label() -> BundleLabel {
    BundleLabel {
        name: BundleName::new("weather").unwrap(),
        version: "0.1.0".into(),
        hash: BundleHash::from_bytes([0x9f; 32]),
    }
}

fn request(text: &str) -> Request {
    Request::from_bundle_toml(text).unwrap()
}

/// Reads grants as the configuration nests them.
fn grant(text: &str) -> Grant {
    #[derive(serde::Deserialize)]
    struct Config {
        team: Vec<Team>,
    }
    #[derive(serde::Deserialize)]
    struct Team {
        bundle: Vec<Bundle>,
    }
    #[derive(serde::Deserialize)]
    struct Bundle {
        #[serde(default)]
        grant: Grant,
    }
    let config: Config = toml::from_str(&format!("[[team]]\n[[team.bundle]]\n{text}"))
        .unwrap_or_else(|error| panic!("{error}\n{text}"));
    config.team[0].bundle[0].grant.clone()
}

fn effective(asks: &str, grants: &str) -> Effective {
    Effective::new(
        TeamName::new("default").unwrap(),
        label(),
        &request(asks),
        &grant(grants),
    )
}

fn task(dag: &str, task: &str) -> Caller {
    Caller::task(DagId::new(dag).unwrap(), TaskId::new(task).unwrap())
}

#[test]
fn a_denied_connection_reads_as_the_manual_shows() {
    let both = effective("", "");
    let caller = task("weather", "write_daily");
    let denial = both.read_connection(&caller, "warehouse").unwrap_err();
    assert_eq!(
        denial.to_string(),
        "\
AL-0412: this bundle uses a connection that it neither asks for nor is granted
  bundle   weather 0.1.0 (b3:9f9f9f9f…), team default
  phase    task `write_daily` of DAG `weather`
  wanted   connection `warehouse`, read
  asks for (no connections)
  granted  (no connections)
  help     ask for it in bundle.toml:
             [[request.connection]]
             id = \"warehouse\"
             access = \"read\"
           and grant it in airlock.toml, below the [[team.bundle]] named \"weather\" of team \"default\":
             [[team.bundle.grant.connection]]
             id = \"warehouse\"
             access = \"read\""
    );
    assert_eq!(denial.code(), "AL-0412");
    assert_eq!(denial.caller(), &caller);
    let asked = effective(
        "[[request.connection]]\nid = \"warehouse\"\naccess = \"read\"\n",
        "",
    );
    let denial = asked.read_connection(&caller, "warehouse").unwrap_err();
    assert!(
        denial
            .to_string()
            .starts_with("AL-0412: this bundle asks for a connection that its grant does not hold")
    );
    assert_eq!(denial.request_snippet(), None);
}

#[test]
fn a_denial_says_for_whom_its_grants_count() {
    let asks = "
[[request.connection]]
id = \"warehouse\"
access = \"read\"
[[request.variable]]
key = \"rates.limit\"
";
    let grants = "
[[team.bundle.grant.connection]]
id = \"archive\"
access = \"read\"
[[team.bundle.grant.connection]]
id = \"warehouse\"
access = \"read\"
dags = [\"weather\"]
tasks = [\"read\", \"write\"]
[[team.bundle.grant.variable]]
key = \"rates.limit\"
phases = [\"task\"]
[[team.bundle.grant.variable]]
key = \"rates.none\"
dags = []
";
    let both = effective(asks, grants);
    let denial = both
        .read_connection(&task("weather", "check"), "warehouse")
        .unwrap_err()
        .to_string();
    let line = "\n  granted  connection `archive`, read; \
                connection `warehouse`, read (only for tasks `read`, `write` of DAG `weather`)\n";
    assert!(denial.contains(line), "{denial}");
    assert!(
        denial.contains("\n  asks for connection `warehouse`, read\n"),
        "that it counts for this task need not be said: {denial}"
    );
    let denial = both
        .variable(&Caller::parse(), "rates.limit")
        .unwrap_err()
        .to_string();
    for line in [
        "\n  asks for variable `rates.limit` (only for phase task)\n",
        "\n  granted  variable `rates.limit` (only for phase task); variable `rates.none` (for nobody)\n",
    ] {
        assert!(denial.contains(line), "{denial}");
    }
}

#[test]
fn both_sides_must_name_it() {
    let asks = "
[[request.connection]]
id = \"both\"
access = \"read\"
[[request.connection]]
id = \"asked\"
access = \"read\"
[[request.variable]]
key = \"ledger.*\"
[[request.directory]]
path = \"reports\"
mode = \"read-write\"
[[request.http]]
url = \"https://*.example.com/*\"
methods = [\"GET\", \"POST\"]
";
    let grants = "
[[team.bundle.grant.connection]]
id = \"both\"
access = \"read\"
[[team.bundle.grant.connection]]
id = \"granted\"
access = \"read\"
[[team.bundle.grant.variable]]
key = \"ledger.currency\"
[[team.bundle.grant.directory]]
path = \"/reports/\"
host = \"/srv/reports\"
[[team.bundle.grant.http]]
url = \"https://api.example.com/v1/*\"
";
    let effective = effective(asks, grants);
    let caller = task("d", "t");
    let connection = |id| effective.read_connection(&caller, id).is_ok();
    assert!(connection("both"));
    assert!(!connection("asked") && !connection("granted") && !connection("neither"));
    assert!(effective.variable(&caller, "ledger.currency").is_ok());
    assert!(effective.variable(&caller, "ledger.other").is_err());

    let permit = effective.directory(&caller, "./reports").unwrap();
    assert_eq!(permit.team().as_str(), "default");
    assert_eq!(permit.item().mode(), Mode::Read, "the less of the two");
    assert_eq!(permit.item().host(), Path::new("/srv/reports"));
    assert_eq!(effective.directories(&caller), [permit]);
    assert!(effective.directories(&Caller::parse()).is_empty());

    let http = |method, url| {
        let target = HttpTarget::parse(method, url).unwrap();
        effective.http(&caller, target)
    };
    let permit = http("GET", "https://api.example.com/v1/x").unwrap();
    assert!(!permit.may_reach_private());
    assert!(http("POST", "https://api.example.com/v1/x").is_err());
    assert!(http("GET", "https://api.example.com/v2").is_err());
    assert!(http("GET", "https://www.example.com/v1/x").is_err());
}

#[test]
fn a_grant_can_be_narrowed_to_dags_tasks_and_phases() {
    let asks = "[[request.variable]]\nkey = \"k\"\nphases = [\"parse\", \"task\"]\n";
    let allowed = |narrowing: &str, caller: &Caller| {
        let grants = format!("[[team.bundle.grant.variable]]\nkey = \"k\"\n{narrowing}");
        effective(asks, &grants).variable(caller, "k").is_ok()
    };
    let callers = [
        Caller::parse(),
        task("a", "x"),
        task("a", "y"),
        task("b", "x"),
    ];
    for (narrowing, expected) in [
        ("", [true, true, true, true]),
        ("phases = [\"parse\"]", [true, false, false, false]),
        ("phases = [\"task\"]", [false, true, true, true]),
        ("dags = [\"a\"]", [false, true, true, false]),
        ("tasks = [\"x\"]", [false, true, false, true]),
        (
            "dags = [\"a\"]\ntasks = [\"x\"]",
            [false, true, false, false],
        ),
        ("dags = []", [false; 4]),
        ("dags = [\"a\"]\nphases = [\"parse\"]", [false; 4]),
    ] {
        for (caller, expected) in callers.iter().zip(expected) {
            assert_eq!(
                allowed(narrowing, caller),
                expected,
                "{narrowing} {caller:?}"
            );
        }
    }
    // Asked for in the task phase only, where nothing is said.
    let unsaid = effective(
        "[[request.variable]]\nkey = \"k\"\n",
        "[[team.bundle.grant.variable]]\nkey = \"k\"\n",
    );
    assert!(unsaid.variable(&callers[0], "k").is_err());
    assert!(unsaid.variable(&callers[1], "k").is_ok());
}

#[test]
fn while_parsing_only_variables_can_be_had_and_the_denial_says_so() {
    let effective = effective(
        "[[request.connection]]\nid = \"c\"\naccess = \"read\"\n",
        "[[team.bundle.grant.connection]]\nid = \"c\"\naccess = \"read\"\n",
    );
    let denial = effective
        .read_connection(&Caller::parse(), "c")
        .unwrap_err();
    let text = denial.to_string();
    assert!(text.starts_with("AL-0412"), "{text}");
    assert!(text.contains("do this in a task"), "{text}");
    assert_eq!(
        (denial.request_snippet(), denial.grant_snippet()),
        (None, None)
    );
}

#[test]
fn the_automatic_grant_holds_what_is_asked_for_below_the_bundles_folder() {
    let request = request(
        "[[request.directory]]\npath = \"/data/in\"\n[[request.connection]]\nid = \"c\"\naccess = \"read\"\n
         [[request.variable]]\nkey = \"v\"\nphases = [\"parse\"]\n
         [[request.http]]\nurl = \"http://127.0.0.1:9999/*\"\n",
    );
    let all = Effective::grant_all(label(), &request, Path::new("/srv/weather"));
    assert_eq!(all.source(), Source::Automatic);
    let caller = task("d", "t");
    let permit = all.directory(&caller, "data/in").unwrap();
    assert_eq!(permit.item().host(), Path::new("/srv/weather/data/in"));
    assert_eq!(permit.item().within(), Some(Path::new("/srv/weather")));
    assert!(all.read_connection(&caller, "c").is_ok());
    assert!(all.variable(&Caller::parse(), "v").is_ok());
    assert!(all.variable(&caller, "v").is_err());
    let target = HttpTarget::parse("GET", "http://127.0.0.1:9999/x").unwrap();
    assert!(all.http(&caller, target).unwrap().may_reach_private());
    for climbing in ["..", "../x", "a/../../x", "a\\b", "", "/", ".", "a\0b"] {
        assert!(GuestPath::new(climbing).is_err(), "{climbing:?}");
    }
}

#[test]
fn what_parsing_depends_on_is_what_both_sides_name_for_it() {
    let effective = effective(
        "[[request.variable]]\nkey = \"a.*\"\nphases = [\"parse\"]
         [[request.variable]]\nkey = \"b\"\nphases = [\"parse\", \"task\"]
         [[request.variable]]\nkey = \"c\"",
        "[[team.bundle.grant.variable]]\nkey = \"a.b.*\"
         [[team.bundle.grant.variable]]\nkey = \"a.x\"
         [[team.bundle.grant.variable]]\nkey = \"b*\"
         [[team.bundle.grant.variable]]\nkey = \"c\"
         [[team.bundle.grant.variable]]\nkey = \"d\"",
    );
    let mut names: Vec<String> = (effective.parse_variables().iter())
        .map(|permit| permit.item().to_string())
        .collect();
    names.sort();
    assert_eq!(names, ["a.b.*", "a.x", "b"]);
}

#[test]
fn what_a_guest_writes_is_shown_escaped_and_bounded_and_gets_no_snippet_when_nothing_could_allow_it()
 {
    let effective = effective("", "");
    let hostile = format!("\x1b[2J\"]\n[[request.http]]{}", "x".repeat(10_000));
    let caller = task("d", "t");
    for denial in [
        effective.read_connection(&caller, &hostile).unwrap_err(),
        effective.variable(&caller, &hostile).unwrap_err(),
        effective.directory(&caller, &hostile).unwrap_err(),
        effective.directory(&caller, "../etc").unwrap_err(),
        effective.variable(&caller, "").unwrap_err(),
    ] {
        let text = denial.to_string();
        assert!(
            denial.is_malformed() && text.starts_with("AL-0416"),
            "{text}"
        );
        assert!(!text.contains('\x1b') && text.len() < 1500, "{text}");
        assert_eq!(
            (denial.request_snippet(), denial.grant_snippet()),
            (None, None)
        );
    }
}

#[test]
fn a_denial_is_the_same_whether_or_not_the_thing_exists() {
    // Nothing here could look: what differs between two denials is the word that was asked for.
    let effective = effective("", "");
    let caller = task("d", "t");
    let denied = |key: &str| effective.variable(&caller, key).unwrap_err().to_string();
    assert_eq!(denied("real"), denied("none").replace("none", "real"));
}

const KEYS: [&str; 5] = ["a", "a.b", "a.b.c", "b", "ab"];
const PATTERNS: [&str; 6] = ["a", "a.b", "a.*", "a*", "b", "a.b.*"];
const REACH: [Access; 2] = [Access::Use, Access::Read];
const ACCESS: [AssetAccess; 2] = [AssetAccess::Consume, AssetAccess::Produce];
const URLS: [&str; 5] = [
    "https://h.example.com/a",
    "https://h.example.com/a/*",
    "https://*.example.com/*",
    "http://127.0.0.1:81/*",
    "https://h.example.com/a/b%2A",
];
const TARGETS: [&str; 5] = [
    "https://h.example.com/a",
    "https://h.example.com/a/b*?q=1",
    "https://x.example.com/",
    "http://127.0.0.1:81/x",
    "https://h.example.com/*",
];

fn phases() -> impl Strategy<Value = Phases> {
    subsequence(Phase::ALL.to_vec(), 1..=2).prop_map(|phases| Phases::try_from(phases).unwrap())
}

fn ids<T: Clone + std::fmt::Debug + 'static>(
    make: impl Fn(&str) -> T,
) -> impl Strategy<Value = Option<Vec<T>>> {
    proptest::option::of(subsequence(vec![make("a"), make("b")], 0..=2))
}

prop_compose! {
    fn requests()(
        variable in proptest::collection::vec((select(&PATTERNS[..]), phases()), 0..4),
        connection in subsequence(KEYS.to_vec(), 0..3),
        access in select(&REACH[..]),
        directory in subsequence(KEYS.to_vec(), 0..3),
        http in subsequence(URLS.to_vec(), 0..3),
        asset in proptest::collection::vec((select(&PATTERNS[..]), select(&ACCESS[..])), 0..4),
    ) -> Request {
        use crate::request::{AssetRequest, ConnectionRequest, DirectoryRequest, HttpRequest, VariableRequest};
        let (reason, phases) = (None, Phases::default());
        Request {
            variable: variable.into_iter().map(|(key, phases)| VariableRequest {
                key: VariablePattern::new(key).unwrap(), reason: None, phases,
            }).collect(),
            connection: connection.into_iter().map(|id| ConnectionRequest {
                id: ConnectionId::new(id).unwrap(), access, reason: reason.clone(), phases,
            }).collect(),
            directory: directory.into_iter().map(|path| DirectoryRequest {
                path: GuestPath::new(path).unwrap(), mode: Mode::ReadWrite, reason: reason.clone(), phases,
            }).collect(),
            http: http.into_iter().map(|url| HttpRequest {
                url: crate::http::HttpPattern::new(url).unwrap(), methods: crate::request::get(),
                reason: reason.clone(), phases,
            }).collect(),
            asset: asset.into_iter().map(|(name, access)| AssetRequest {
                name: AssetPattern::new(name).unwrap(), access, reason: None,
            }).collect(),
        }
    }
}

prop_compose! {
    fn grants()(
        variable in proptest::collection::vec((select(&PATTERNS[..]), proptest::option::of(phases())), 0..4),
        connection in subsequence(KEYS.to_vec(), 0..3),
        access in select(&REACH[..]),
        directory in subsequence(KEYS.to_vec(), 0..3),
        http in subsequence(URLS.to_vec(), 0..3),
        asset in proptest::collection::vec((select(&PATTERNS[..]), select(&ACCESS[..])), 0..4),
        dags in ids(|id| DagId::new(id).unwrap()),
        tasks in ids(|id| TaskId::new(id).unwrap()),
    ) -> Grant {
        Grant {
            variable: variable.into_iter().map(|(key, phases)| VariableGrant {
                key: VariablePattern::new(key).unwrap(), from: None, phases, dags: dags.clone(), tasks: tasks.clone(),
            }).collect(),
            connection: connection.into_iter().map(|id| ConnectionGrant {
                id: ConnectionId::new(id).unwrap(), access, from: None, phases: None,
                dags: dags.clone(), tasks: tasks.clone(),
            }).collect(),
            directory: directory.into_iter().map(|path| DirectoryGrant {
                path: GuestPath::new(path).unwrap(), host: "/srv".into(), mode: Mode::ReadWrite,
                phases: None, dags: dags.clone(), tasks: tasks.clone(),
            }).collect(),
            http: http.into_iter().map(|url| HttpGrant {
                url: crate::http::HttpPattern::new(url).unwrap(), methods: crate::request::get(),
                phases: None, dags: dags.clone(), tasks: tasks.clone(),
            }).collect(),
            asset: asset.into_iter().map(|(name, access)| AssetGrant {
                name: AssetPattern::new(name).unwrap(), access, dags: dags.clone(), tasks: tasks.clone(),
            }).collect(),
        }
    }
}

fn callers() -> Vec<Caller> {
    let mut callers = vec![Caller::parse()];
    for dag in ["a", "b"] {
        callers.extend(["a", "b"].map(|id| task(dag, id)));
    }
    callers
}

#[test]
fn a_definition_may_do_with_assets_what_is_granted_to_it_and_each_denial_says_what_would_allow_it()
{
    use airlock_model::{
        dag::{AssetCondition, AssetRef, AssetSpec, DagSpec, TaskSpec, WatcherSpec},
        time::Timestamp,
        trigger::{HostEvent, Trigger},
    };
    let name = |name: &str| AssetRef::Name(name.to_owned());
    let dag = DagSpec {
        dag_id: "load".into(),
        asset_condition: Some(AssetCondition::Any(vec![
            AssetCondition::Of(name("prices")),
            AssetCondition::All(vec![AssetCondition::Of(AssetRef::Uri(
                "s3://fx/eur".into(),
            ))]),
        ])),
        tasks: vec![TaskSpec {
            task_id: "write".into(),
            inlets: vec![name("rates")],
            outlets: vec![name("reports"), AssetRef::Alias("late".into())],
            ..TaskSpec::default()
        }],
        assets: vec![
            AssetSpec {
                name: "prices".into(),
                uri: Some("s3://market/prices".into()),
                ..AssetSpec::default()
            },
            AssetSpec {
                name: "inbox".into(),
                watchers: vec![
                    WatcherSpec {
                        name: "other".into(),
                        trigger: Trigger::Host(HostEvent::Asset(name("outbox"))),
                    },
                    WatcherSpec {
                        name: "clock".into(),
                        trigger: Trigger::Time(Timestamp::from_micros(0).unwrap()),
                    },
                ],
                ..AssetSpec::default()
            },
        ],
        ..DagSpec::default()
    };
    let denied = |effective: &Effective| -> Vec<(String, Option<String>)> {
        let denials = effective.denied_assets(&dag).into_iter();
        denials
            .map(|denial| {
                assert_eq!(denial.code(), "AL-0417");
                let task = denial.caller().task_id.as_ref().map(ToString::to_string);
                (denial.item().to_string(), task)
            })
            .collect()
    };
    let wanted = [
        ("prices", "consume", None),
        ("s3://fx/eur", "consume", None),
        ("rates", "consume", Some("write")),
        ("reports", "produce", Some("write")),
        ("late", "produce", Some("write")),
        ("inbox", "produce", None),
        ("outbox", "consume", None),
        // Whoever describes an asset says what its URI means.
        ("s3://market/prices", "consume", None),
    ];
    let told = wanted.map(|(name, access, task)| {
        let item = format!("asset `{name}`, {access}");
        (item, task.map(str::to_owned))
    });
    assert_eq!(denied(&effective("", "")), told);

    // What the denials print is what it takes.
    let (mut asks, mut grants) = (String::new(), String::new());
    for denial in effective("", "").denied_assets(&dag) {
        asks += &denial.request_snippet().unwrap();
        grants += &denial.grant_snippet().unwrap();
    }
    assert!(
        !asks.contains("phases") && !grants.contains("phases"),
        "{asks}{grants}"
    );
    assert_eq!(denied(&effective(&asks, &grants)), []);
    assert_eq!(denied(&effective(&asks, "")), told);
    assert_eq!(denied(&effective("", &grants)), told);

    // A grant for a task is for its inlets and outlets; what is the DAG's own is not the task's.
    let narrowed = grants.replace("access =", "tasks = [\"write\"]\naccess =");
    let own: Vec<_> = told
        .iter()
        .filter(|(_, task)| task.is_none())
        .cloned()
        .collect();
    assert_eq!(denied(&effective(&asks, &narrowed)), own);
    let other = grants.replace("access =", "dags = [\"other\"]\naccess =");
    assert_eq!(denied(&effective(&asks, &other)), told);

    // Of a flood the first are told, and no work is done for the rest.
    let outlets = (0..100_000).map(|i| name(&i.to_string())).collect();
    let flood = DagSpec {
        tasks: vec![TaskSpec {
            outlets,
            ..TaskSpec::default()
        }],
        ..dag.clone()
    };
    assert_eq!(effective("", "").denied_assets(&flood).len(), 32);
}

#[test]
fn a_denied_asset_reads_as_the_manual_shows() {
    let caller = task("ledger", "write");
    let asks = "[[request.asset]]\nname = \"reports/*\"\naccess = \"produce\"\n";
    let grants = "[[team.bundle.grant.asset]]\nname = \"reports/daily\"\naccess = \"produce\"\ndags = [\"other\"]\n";
    let denial = effective(asks, grants)
        .asset(&caller, "reports/daily", AssetAccess::Produce)
        .unwrap_err();
    assert_eq!(
        denial.to_string(),
        "AL-0417: this bundle asks for an asset that its grant does not hold
  bundle   weather 0.1.0 (b3:9f9f9f9f…), team default
  phase    task `write` of DAG `ledger`
  wanted   asset `reports/daily`, produce
  asks for asset `reports/*`, produce
  granted  asset `reports/daily`, produce (only for DAG `other`)
  help     grant it in airlock.toml, below the [[team.bundle]] named \"weather\" of team \"default\":
             [[team.bundle.grant.asset]]
             name = \"reports/daily\"
             access = \"produce\"
             dags = [\"ledger\"]
             tasks = [\"write\"]"
    );
    for wrong in ["", " a", "a*b", "*", "a\u{1b}*"] {
        assert!(AssetPattern::new(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn where_all_is_granted_that_is_asked_for_a_denial_says_to_ask_and_nothing_else() {
    let all = Effective::grant_all(label(), &Request::default(), Path::new("/b"));
    let denial = all
        .variable(&task("d", "t"), "key")
        .unwrap_err()
        .to_string();
    assert!(denial.contains("[[request.variable]]"), "{denial}");
    assert!(!denial.contains("airlock.toml"), "{denial}");
    let refused = all
        .check_imports(&["airlock:capability/variables@0.1.0"])
        .unwrap_err();
    let refused = refused[0].to_string();
    assert!(refused.contains("[[request.variable]]"), "{refused}");
    assert!(!refused.contains("airlock.toml"), "{refused}");
}

#[test]
fn what_is_granted_and_not_asked_for_is_told() {
    let asks = "[[request.variable]]\nkey = \"a.b\"\n[[request.http]]\nurl = \"https://h.example.com/a\"\n";
    let grants = r#"
        [[team.bundle.grant.variable]]
        key = "a.*"
        [[team.bundle.grant.variable]]
        key = "other"
        [[team.bundle.grant.connection]]
        id = "bank"
        access = "read"
        [[team.bundle.grant.http]]
        url = "https://*.example.com/*"
        [[team.bundle.grant.http]]
        url = "https://h.example.com/a"
        methods = ["POST"]
        [[team.bundle.grant.directory]]
        path = "archive"
        host = "/srv"
        [[team.bundle.grant.asset]]
        name = "reports"
        access = "produce"
    "#;
    assert_eq!(
        effective(asks, grants).unasked(),
        [
            "variable `other`",
            "connection `bank`, read",
            "directory `archive`, read",
            "POST https://h.example.com/a",
            "asset `reports`, produce"
        ]
    );
}

#[test]
fn an_explanation_names_the_rules_behind_a_yes_and_the_text_behind_a_no() {
    let asks = "[[request.variable]]\nkey = \"a.*\"\n";
    let grants = r#"
        [[team.bundle.grant.variable]]
        key = "a.b"
        tasks = ["pay"]
        [[team.bundle.grant.variable]]
        key = "*"
        tasks = ["other"]
    "#
    .replace("\"*\"", "\"a*\"");
    let effective = effective(asks, &grants);
    let key = Item::Variable("a.b".into());
    assert_eq!(
        effective.explain(&task("ledger", "pay"), &key),
        Explanation::Allowed {
            asks: vec!["variable `a.*` (only for phase task)".into()],
            grants: vec!["variable `a.b` (only for task `pay`)".into()],
        }
    );
    match effective.explain(&task("ledger", "tell"), &key) {
        Explanation::Denied(denial) => assert!(denial.grant_snippet().is_some()),
        unexpected => panic!("{unexpected:?}"),
    }
}

fn items() -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    for key in KEYS {
        items.push(Item::Variable(key.to_owned()));
        items.extend(REACH.map(|access| Item::Connection(key.to_owned(), access)));
        items.push(Item::Directory(key.to_owned()));
        items.extend(ACCESS.map(|access| Item::Asset(key.to_owned(), access)));
    }
    for url in TARGETS {
        for method in ["GET", "POST"] {
            items.push(Item::Http(HttpTarget::parse(method, url).unwrap()));
        }
    }
    items
}

fn decide(effective: &Effective, caller: &Caller, item: &Item) -> Result<(), Denial> {
    match item {
        Item::Variable(key) => effective.variable(caller, key).map(drop),
        Item::Connection(id, access) => effective.connection(caller, id, *access).map(drop),
        Item::Directory(path) => effective.directory(caller, path).map(drop),
        Item::Http(target) => effective.http(caller, target.clone()).map(drop),
        Item::Asset(name, access) => effective.asset(caller, name, *access),
    }
}

/// Every decision there is.
fn decisions(effective: &Effective) -> Vec<(Caller, Item, bool)> {
    let mut all = Vec::new();
    for caller in callers() {
        for item in items() {
            let yes = decide(effective, &caller, &item).is_ok();
            all.push((caller.clone(), item, yes));
        }
    }
    all
}

fn with(request: &Request, grant: &Grant) -> Effective {
    Effective::new(TeamName::default_team(), label(), request, grant)
}

/// Whether one side names the item for the caller, said again in the plainest way.
fn named(item: &Item, caller: &Caller, request: &Request) -> bool {
    match item {
        Item::Variable(key) => (request.variable.iter())
            .any(|one| one.key.matches(key) && one.phases.contains(caller.phase)),
        Item::Connection(id, access) => (request.connection.iter()).any(|one| {
            one.id.as_str() == id && one.access >= *access && one.phases.contains(caller.phase)
        }),
        Item::Directory(path) => (request.directory.iter())
            .any(|one| one.path.as_str() == path && one.phases.contains(caller.phase)),
        Item::Http(target) => request.http.iter().any(|one| {
            one.url.matches(target)
                && one.methods.contains(target.method())
                && one.phases.contains(caller.phase)
        }),
        Item::Asset(name, access) => {
            (request.asset.iter()).any(|one| one.name.matches(name) && one.access == *access)
        }
    }
}

/// Whether the grant names the item for the caller, said in the plainest way too.
fn granted(item: &Item, caller: &Caller, grant: &Grant) -> bool {
    let admits =
        |phases: Option<Phases>, dags: &Option<Vec<DagId>>, tasks: &Option<Vec<TaskId>>| {
            phases.is_none_or(|phases| phases.contains(caller.phase))
                && dags
                    .as_ref()
                    .is_none_or(|dags| dags.iter().any(|id| caller.dag_id.as_ref() == Some(id)))
                && tasks
                    .as_ref()
                    .is_none_or(|tasks| tasks.iter().any(|id| caller.task_id.as_ref() == Some(id)))
        };
    match item {
        Item::Variable(key) => (grant.variable.iter())
            .any(|one| one.key.matches(key) && admits(one.phases, &one.dags, &one.tasks)),
        Item::Connection(id, access) => (grant.connection.iter()).any(|one| {
            let enough = one.id.as_str() == id && one.access >= *access;
            enough && admits(one.phases, &one.dags, &one.tasks)
        }),
        Item::Directory(path) => (grant.directory.iter())
            .any(|one| one.path.as_str() == path && admits(one.phases, &one.dags, &one.tasks)),
        Item::Http(target) => grant.http.iter().any(|one| {
            one.url.matches(target)
                && one.methods.contains(target.method())
                && admits(one.phases, &one.dags, &one.tasks)
        }),
        Item::Asset(name, access) => grant.asset.iter().any(|one| {
            one.name.matches(name) && one.access == *access && admits(None, &one.dags, &one.tasks)
        }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_decision_is_what_a_plain_reading_of_both_sides_says(
        request in requests(), mut grant in grants(), more in grants(),
    ) {
        // A directory is granted once to each caller; all else may be granted by several entries together.
        grant.variable.extend(more.variable);
        grant.connection.extend(more.connection);
        grant.http.extend(more.http);
        grant.asset.extend(more.asset);
        for (caller, item, yes) in decisions(&with(&request, &grant)) {
            let plain = named(&item, &caller, &request) && granted(&item, &caller, &grant);
            prop_assert_eq!(yes, plain, "{:?} {:?}", caller, item);
        }
    }

    #[test]
    fn a_request_with_nothing_beyond_another_allows_nothing_beyond_it(
        old in requests(), new in requests(),
    ) {
        let granted = |request: &Request| Effective::grant_all(label(), request, Path::new("/b"));
        let (before, after) = (granted(&old), granted(&new));
        let more = decisions(&after).iter().zip(decisions(&before)).any(|((.., is), (.., was))| *is && !was);
        prop_assert!(!more || !new.beyond(&old).is_empty());
        prop_assert!(new.beyond(&new).is_empty());
    }

    #[test]
    fn what_is_not_asked_for_is_denied_whatever_is_granted(request in requests(), grant in grants()) {
        for (caller, item, yes) in decisions(&with(&request, &grant)) {
            prop_assert!(!yes || named(&item, &caller, &request));
        }
        for (_, _, yes) in decisions(&with(&Request::default(), &grant)) {
            prop_assert!(!yes);
        }
        for (_, _, yes) in decisions(&with(&request, &Grant::default())) {
            prop_assert!(!yes);
        }
    }

    #[test]
    fn the_automatic_grant_allows_what_is_asked_for_and_no_more(request in requests()) {
        let all = Effective::grant_all(label(), &request, Path::new("/b"));
        for (caller, item, yes) in decisions(&all) {
            prop_assert_eq!(yes, named(&item, &caller, &request));
        }
    }

    #[test]
    fn narrowing_never_widens(request in requests(), grant in grants(), dag in select(vec!["a", "b"])) {
        let before = decisions(&with(&request, &grant));
        let mut narrowed = grant;
        let only = Some(vec![DagId::new(dag).unwrap()]);
        let meet = |dags: &mut Option<Vec<DagId>>| match dags {
            Some(dags) => dags.retain(|one| only.as_ref().unwrap().contains(one)),
            none => none.clone_from(&only),
        };
        narrowed.variable.iter_mut().for_each(|one| meet(&mut one.dags));
        narrowed.connection.iter_mut().for_each(|one| meet(&mut one.dags));
        narrowed.directory.iter_mut().for_each(|one| meet(&mut one.dags));
        narrowed.http.iter_mut().for_each(|one| meet(&mut one.dags));
        narrowed.asset.iter_mut().for_each(|one| meet(&mut one.dags));
        for ((caller, item, was), (.., is)) in before.iter().zip(decisions(&with(&request, &narrowed))) {
            prop_assert!(!is || *was, "{:?} {:?}", caller, item);
            prop_assert!(!is || caller.dag_id == Some(DagId::new(dag).unwrap()));
        }
    }

    #[test]
    fn pasting_what_a_denial_prints_allows_that_call(
        request in requests(), grant in grants(),
        caller in select(callers()), item in select(items()),
    ) {
        let before = with(&request, &grant);
        let Err(denial) = decide(&before, &caller, &item) else { return Ok(()) };
        // Parsing may have variables and define assets; there nothing is to be pasted for the others.
        if caller.phase == Phase::Parse && !matches!(item, Item::Variable(_) | Item::Asset(..)) {
            return Ok(());
        }
        let (request_text, grant_text) = (denial.request_snippet(), denial.grant_snippet());
        prop_assert!(request_text.is_some() || grant_text.is_some());
        let text = denial.to_string();
        for line in [&request_text, &grant_text].into_iter().flatten().flat_map(|text| text.lines()) {
            prop_assert!(text.contains(line), "{} is not in {}", line, text);
        }
        // Pasted at the end of the files as they are.
        let asks = format!("[bundle]\n{}\n{}", nested("request", &request), request_text.unwrap_or_default());
        let grants = format!("{}\n{}", nested("team.bundle.grant", &grant), grant_text.unwrap_or_default());
        let after = effective(&asks, &grants);
        prop_assert!(decide(&after, &caller, &item).is_ok(), "{}\n{}", asks, grants);
        // And no call that is about something else.
        for ((other, thing, was), (.., is)) in decisions(&before).iter().zip(decisions(&after)) {
            let about = match (&item, thing) {
                // To read is to use as well.
                (Item::Connection(id, most), Item::Connection(same, access)) => id == same && access <= most,
                _ => thing == &item,
            };
            prop_assert!(was == &is || about, "{:?} {:?}", other, thing);
            prop_assert!(!was || is);
        }
    }

    #[test]
    fn an_interface_is_linked_just_when_some_call_through_it_is_allowed(
        request in requests(), grant in grants(),
    ) {
        let effective = with(&request, &grant);
        for (kind, import) in [
            (Kind::Variable, "airlock:capability/variables@0.1.0"),
            (Kind::Directory, "airlock:capability/directories@0.1.0"),
            (Kind::Http, "wasi:http/outgoing-handler@0.2.6"),
        ] {
            let allowed = decisions(&effective).iter()
                .any(|(_, item, yes)| *yes && item.kind() == kind);
            let linked = effective.check_imports(&[import]).is_ok();
            // The few items tried here are not all that a prefix or a pattern allows.
            prop_assert!(linked || !allowed);
            if kind == Kind::Directory {
                prop_assert_eq!(linked, allowed);
            }
            prop_assert_eq!(linked, !effective.phases(kind).is_empty());
        }
        let readable = decisions(&effective).iter()
            .any(|(_, item, yes)| *yes && matches!(item, Item::Connection(_, Access::Read)));
        let shown = effective.check_imports(&["airlock:capability/connections@0.1.0"]).is_ok();
        prop_assert_eq!(shown, readable);
    }
}

/// The tables of a request or grant as TOML, each below its full name.
fn nested(path: &str, tables: &impl serde::Serialize) -> String {
    let plain = toml::to_string(tables).unwrap();
    plain.replace("[[", &format!("[[{path}."))
}
