use std::path::{Path, PathBuf};

use super::{document::Origin, *};

fn bases() -> Bases {
    Bases {
        file: "/etc/airlock".into(),
        environment: "/srv/airlock".into(),
    }
}

fn with_environment(text: &str, environment: &[(&str, &str)]) -> Loaded {
    let environment = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let file = Some(PathBuf::from("/etc/airlock/airlock.toml"));
    interpret("/home/a/.airlock".into(), file, text, &bases(), environment)
}

pub(super) fn check(text: &str) -> Vec<String> {
    with_environment(text, &[])
        .mistakes
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn without_a_file_there_is_one_team_and_every_default() {
    let loaded = with_environment("", &[]);
    assert!(loaded.mistakes.is_empty());
    let config = loaded.config;
    assert_eq!(config.teams.len(), 1);
    assert_eq!(config.teams[0].name, TeamName::default_team());
    assert_eq!(
        config.automatic.as_deref(),
        Some(Path::new("/home/a/.airlock/bundles"))
    );
    assert_eq!(
        config.database_url().reveal(),
        "sqlite:///home/a/.airlock/airlock.db"
    );
    assert_eq!(
        config.teams[0].limits.team_limits(),
        airlock_sandbox::TeamLimits::default()
    );
    let (triggers, callbacks) = (config.triggers.options(), config.callbacks.options());
    assert_eq!(triggers, airlock_scheduler::TriggerOptions::default());
    assert_eq!(callbacks, airlock_scheduler::CallbackOptions::default());
}

#[test]
fn a_whole_configuration_is_read() {
    let text = r#"
        [limits]
        threads = 3
        [triggers]
        per_team = 4
        file_interval = "500ms"
        [callbacks]
        tries = 1
        retry_delay = "1m"
        [[variable]]
        key = "region"
        value = "eu"
        [[team]]
        name = "payments"
        weight = 4
        [team.pool]
        memory = "1.5 GiB"
        task_cpu_time = "1m 30s"
        trigger_cpu_time = "200ms"
        trigger_wall_time = "2s"
        trigger_state_bytes = "8 KiB"
        callback_cpu_time = "3s"
        callback_wall_time = "4s"
        [[team.bundle]]
        name = "ledger"
        source = "ledger.wasm"
        dag_id_prefix = "payments_"
        [[team.bundle.grant.directory]]
        path = "archive"
        host = "data"
        [[team.bundle.grant.variable]]
        key = "ledger.*"
        [[team.connection]]
        id = "bank"
        conn_type = "http"
        port = 443
        extra = { timeout = 10 }
        [[team.task_pool]]
        name = "api"
        slots = 4
    "#;
    let loaded = with_environment(text, &[]);
    let wrong: Vec<_> = loaded.mistakes.iter().map(ToString::to_string).collect();
    assert_eq!(
        wrong,
        [
            "warning[AL-0109]: airlock.toml:26: team.payments.bundle.ledger.source: `/etc/airlock/ledger.wasm` is not there (yet): nothing is loaded from it until it is"
        ]
    );
    let config = loaded.checked().unwrap();
    assert!(config.automatic.is_none());
    let [team] = config.teams.as_slice() else {
        panic!("{:?}", config.teams);
    };
    let limits = team.limits.team_limits();
    assert_eq!(limits.threads, 3, "inherited from [limits]");
    assert_eq!(limits.memory, 3 << 29);
    assert_eq!(limits.task_cpu_time.as_secs(), 90);
    let waiting = (limits.trigger_cpu_time, limits.trigger_wall_time);
    assert_eq!((waiting.0.as_millis(), waiting.1.as_secs()), (200, 2));
    assert_eq!(limits.trigger_state_bytes, 8 << 10);
    let heard = (limits.callback_cpu_time, limits.callback_wall_time);
    assert_eq!((heard.0.as_secs(), heard.1.as_secs()), (3, 4));
    let triggers = config.triggers.options();
    assert_eq!((triggers.parallelism, triggers.per_team), (64, 4));
    assert_eq!(triggers.file_interval.as_millis(), 500);
    let callbacks = config.callbacks.options();
    assert_eq!((callbacks.tries, callbacks.retry_delay.as_secs()), (1, 60));
    assert_eq!(team.weight, 4);
    let bundle = &team.bundles[0];
    assert_eq!(bundle.source, Path::new("/etc/airlock/ledger.wasm"));
    assert_eq!(
        bundle.grant.as_ref().unwrap().directory[0].host,
        Path::new("/etc/airlock/data"),
        "relative to the file"
    );
    assert_eq!(bundle.grant.as_ref().unwrap().variable.len(), 1);
    let connection = &team.settings.connections[0];
    assert_eq!(connection.port, Some(443));
    assert_eq!(
        connection.extra.as_ref().unwrap().reveal(),
        r#"{"timeout":10}"#
    );
    assert_eq!(team.settings.pools[0].slots, 4);
    assert_eq!(config.global.variables[0].value.reveal(), "eu");
}

#[test]
fn every_mistake_is_found_at_once_with_its_line() {
    let text = r#"[server]
listen = "localhost"
lisen = "127.0.0.1:1"
[scheduler]
parallelism = 0
lease = "10s"
heartbeat = "8s"
drain_timeout = 30
[triggers]
lease = "0s"
per_team = 0
[callbacks]
tries = 0
lease = "999ms"
retry_delay = "1h"
[sheduler]
[[team]]
name = "a b"
[[team]]
name = "payments"
[[team.bundle]]
name = "ledger"
[[team.bundle]]
name = "ledger"
source = "/"
[[team.bundle.grant.conection]]
id = "x"
[[team.bundle.grant.connection]]
id = "x"
access = "everything"
[[team]]
name = "payments"
pool = 3
"#;
    let found = check(text);
    let expected = [
        "error[AL-0104]: airlock.toml:2: server.listen: `localhost` will not do; write an address and port",
        "error[AL-0103]: airlock.toml:3: server: there is no option `lisen`; did you mean `listen`?",
        "error[AL-0108]: airlock.toml:4: scheduler: lease (10s) must be at least twice heartbeat (8s)",
        "error[AL-0104]: airlock.toml:5: scheduler.parallelism: `0` will not do; write 1 to 100000",
        "error[AL-0104]: airlock.toml:8: scheduler.drain_timeout: `30` will not do; write a duration with a unit",
        "error[AL-0104]: airlock.toml:10: triggers.lease: `0s` will not do; write \"1s\" to \"1h\"",
        "error[AL-0104]: airlock.toml:11: triggers.per_team: `0` will not do; write 1 to 100000",
        "error[AL-0108]: airlock.toml:12: callbacks: max_retry_delay (5m) must not be shorter than retry_delay (1h)",
        "error[AL-0104]: airlock.toml:13: callbacks.tries: `0` will not do; write 1 to 100",
        "error[AL-0104]: airlock.toml:14: callbacks.lease: `999ms` will not do; write \"1s\" to \"1h\"",
        "error[AL-0103]: airlock.toml:16: there is no option `sheduler`; did you mean `scheduler`?",
        "error[AL-0104]: airlock.toml:18: team.a b.name: `a b` will not do; write a name of letters",
        "error[AL-0105]: airlock.toml:21: team.payments.bundle.ledger: `source` is missing here; set it",
        "error[AL-0106]: airlock.toml:23: team.payments.bundle.ledger: bundle `ledger` stands twice, first at airlock.toml:21",
        "error[AL-0103]: airlock.toml:26: team.payments.bundle.ledger.grant.conection: there is no option `conection`; did you mean `connection`?",
        "error[AL-0104]: airlock.toml:30: team.payments.bundle.ledger.grant.connection.x.access: ",
        "error[AL-0106]: airlock.toml:31: team.payments: team `payments` stands twice, first at airlock.toml:19",
        "error[AL-0104]: airlock.toml:33: team.payments.pool: `3` will not do; write a table [team.payments.pool]",
    ];
    for wanted in expected {
        assert!(
            found.iter().any(|line| line.starts_with(wanted)),
            "{wanted}\nis not in\n{}",
            found.join("\n")
        );
    }
    assert_eq!(found.len(), expected.len(), "{}", found.join("\n"));
}

#[test]
fn text_that_is_not_toml_is_told_with_its_line_and_the_rest_is_still_checked() {
    let found = check("[server]\nlisten = 127.0.0.1\n[log]\nfilter = 3\n");
    assert!(
        found
            .iter()
            .any(|m| m.starts_with("error[AL-0102]: airlock.toml:2")),
        "{found:?}"
    );
    assert!(
        found
            .iter()
            .any(|m| m.starts_with("error[AL-0104]: airlock.toml:4")),
        "{found:?}"
    );
}

#[test]
fn the_environment_wins_over_the_file_also_inside_lists() {
    let text = "[server]\nlisten = '127.0.0.1:1'\n[[team]]\nname = 'big-data'\n[[team.connection]]\nid = 'bank/eu'\nconn_type = 'http'\n";
    let loaded = with_environment(
        text,
        &[
            ("AIRLOCK__SERVER__LISTEN", "127.0.0.1:9"),
            ("AIRLOCK__SERVER__ALLOWED_HOSTS", "a.example, b.example"),
            ("AIRLOCK__SCHEDULER__PARALLELISM", "7"),
            ("AIRLOCK__TEAM__BIG_DATA__POOL__THREADS", "5"),
            (
                "AIRLOCK__TEAM__BIG_DATA__CONNECTION__BANK_EU__PASSWORD",
                "hush",
            ),
            ("AIRLOCK__TEAM__BIG_DATA__CONNECTION__BANK_EU__PORT", "443"),
            ("AIRLOCK_HOME", "/elsewhere"),
            ("PATH", "/bin"),
        ],
    );
    assert!(loaded.mistakes.is_empty(), "{:?}", loaded.mistakes);
    let listed = |path: &str| {
        let found = loaded.effective.iter().find(|e| e.path == path);
        found.map(|e| (e.value.clone(), e.origin.to_string()))
    };
    assert_eq!(
        listed("server.listen"),
        Some((
            "\"127.0.0.1:9\"".into(),
            "environment AIRLOCK__SERVER__LISTEN".into()
        ))
    );
    assert_eq!(
        listed("team.big-data.connection.bank/eu.password")
            .unwrap()
            .0,
        "\"***\"",
        "secrets are not listed"
    );
    assert_eq!(
        listed("team.big-data.pool.memory").unwrap().1,
        "default, from [limits]"
    );
    let config = loaded.config;
    assert_eq!(config.server.allowed_hosts, ["a.example", "b.example"]);
    assert_eq!(config.scheduler.parallelism, 7);
    assert_eq!(config.teams[0].limits.threads, 5);
    let bank = &config.teams[0].settings.connections[0];
    assert_eq!(bank.password.as_ref().unwrap().reveal(), "hush");
    assert_eq!(bank.port, Some(443));
}

#[test]
fn an_environment_variable_that_fits_nothing_is_a_mistake() {
    let loaded = with_environment(
        "[[team]]\nname = 'a'\n",
        &[
            ("AIRLOCK__SERVER__LISTNE", "x"),
            ("AIRLOCK__TEAM__B__WEIGHT", "2"),
            ("AIRLOCK____", "2"),
        ],
    );
    let found: Vec<_> = loaded.mistakes.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 3, "{found:#?}");
    for name in [
        "AIRLOCK__SERVER__LISTNE",
        "AIRLOCK__TEAM__B__WEIGHT",
        "AIRLOCK____",
    ] {
        assert!(found.iter().any(|m| m.contains(name)), "{found:#?}");
    }
}

#[test]
fn a_folder_of_bundles_and_teams_exclude_each_other() {
    let found = check("[bundles]\nfolder = 'b'\n[[team]]\nname = 'a'\n");
    assert!(
        found[0].starts_with("error[AL-0108]: airlock.toml:1: bundles"),
        "{found:?}"
    );
    let mut loaded = with_environment("[[team]]\nname = 'a'\n", &[]);
    loaded.use_bundles("/b".into());
    assert!(loaded.checked().is_err());
    let mut loaded = with_environment("", &[]);
    loaded.use_bundles("/b".into());
    assert_eq!(loaded.checked().unwrap().automatic, Some("/b".into()));
}

#[test]
fn the_hosts_own_roots_begin_where_the_file_stands_and_stand_in_the_environment_as_in_path() {
    let roots = |text: &str, environment: &[(&str, &str)]| {
        let loaded = with_environment(text, environment);
        assert!(loaded.mistakes.is_empty(), "{:?}", loaded.mistakes);
        loaded.config.security.roots
    };
    let text = "[security]\nroots = ['data', '/srv/more']\n";
    let file = ["/etc/airlock/data", "/srv/more"].map(PathBuf::from);
    assert_eq!(roots(text, &[]), file);
    let variable = ("AIRLOCK__SECURITY__ROOTS", "data:/srv/more:");
    let environment = ["/srv/airlock/data", "/srv/more"].map(PathBuf::from);
    assert_eq!(roots(text, &[variable]), environment);
}

#[test]
fn hardening_cannot_be_switched_off_and_required() {
    for (text, required) in [
        ("", Some(airlock_confine::Required::None)),
        (
            "require_hardening = 'full'",
            Some(airlock_confine::Required::Full),
        ),
        ("hardening = false", None),
    ] {
        let loaded = with_environment(&format!("[security]\n{text}\n"), &[]);
        assert_eq!(loaded.config.security.required(), required, "{text}");
    }
    let found = check("[security]\nhardening = false\nrequire_hardening = 'partial'\n");
    assert!(
        found[0].starts_with("error[AL-0108]: airlock.toml:1: security"),
        "{found:?}"
    );
}

#[test]
fn signing_keys_are_read_and_a_key_stands_once() {
    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    let key = |name: &str, key: &str| {
        format!("[[team.signing_key]]\nname = \"{name}\"\nkey = \"{key}\"\n")
    };
    let team = "[[team]]\nname = \"payments\"\nrequire_signatures = true\n";
    let text = format!("{team}{}revoked = true\n", key("release", KEY));
    let loaded = with_environment(&text, &[]);
    assert!(loaded.mistakes.is_empty(), "{:?}", loaded.mistakes);
    let team_read = &loaded.config.teams[0];
    assert!(team_read.require_signatures && team_read.signing_keys[0].revoked);
    assert_eq!(team_read.signing_keys[0].key.to_string(), KEY);
    // A key that is revoked under one name is not to count under another.
    let text = [
        team,
        &key("release", KEY),
        &key("again", KEY),
        &key("bad", "RWQ"),
    ]
    .concat();
    let mistakes = check(&text);
    assert_eq!(mistakes.len(), 2, "{mistakes:?}");
    for (mistake, part) in mistakes
        .iter()
        .zip(["stands twice", "no public key of minisign"])
    {
        assert!(mistake.contains(part), "{mistake}");
    }
}

#[test]
fn sizes_and_durations_are_read_as_people_write_them() {
    let read = |text: &str| {
        let loaded = with_environment(&format!("[server]\nbody_limit = {text}\n"), &[]);
        (loaded.mistakes.is_empty()).then_some(loaded.config.server.body_limit.get())
    };
    assert_eq!(read("'64 KiB'"), Some(65536));
    assert_eq!(read("'64kib'"), Some(65536));
    assert_eq!(read("'1.5 MiB'"), Some(3 << 19));
    assert_eq!(read("'1 MB'"), Some(1_000_000));
    assert_eq!(read("0x1_0000"), Some(65536));
    for bad in [
        "'64 MB/s'",
        "'-1'",
        "'99999999999999999999 GiB'",
        "'1.5.5 MiB'",
        "''",
        "-5",
        "1e6",
        "9999999999999999999999",
    ] {
        assert_eq!(read(bad), None, "{bad}");
    }
}

#[test]
fn passwords_in_the_database_url_are_never_shown() {
    for (url, shown) in [
        ("postgres://a:hunter2@h/db", "postgres://a:***@h/db"),
        ("postgres://a:p@ss:w@h/db", "postgres://a:***@h/db"),
        (
            "postgres://h/db?user=a&password=hunter2&x=1",
            "postgres://h/db?user=a&password=***&x=1",
        ),
        ("sqlite:x.db", "sqlite:x.db"),
    ] {
        let loaded = with_environment("", &[("AIRLOCK__DATABASE__URL", url)]);
        let listed = loaded
            .effective
            .iter()
            .find(|e| e.path == "database.url")
            .unwrap();
        assert_eq!(listed.value, format!("\"{shown}\""));
        assert_eq!(loaded.config.database_url().reveal(), url);
    }
    let loaded = with_environment("", &[("AIRLOCK__DATABASE__URL", "mysql://a:hunter2@h")]);
    assert!(!format!("{:?}", loaded.mistakes).contains("hunter2"));
}

/// The options of every table of the example, uncommented.
fn uncommented() -> String {
    example()
        .lines()
        .filter(|line| !line.starts_with("# ") && !line.starts_with("#   "))
        .map(|line| line.trim_start_matches('#'))
        // The one folder and teams exclude each other, and so do a prefix and another team's variable.
        .filter(|line| {
            !line.starts_with("[bundles]")
                && !line.starts_with("folder")
                && !line.starts_with("from ")
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn everything_in_the_example_is_accepted() {
    let loaded = with_environment(&uncommented(), &[]);
    let wrong: Vec<_> = loaded
        .mistakes
        .iter()
        .filter(|m| !m.problem.is_warning())
        .map(ToString::to_string)
        .collect();
    assert_eq!(wrong, [""; 0], "{}", uncommented());
}

#[test]
fn everything_that_is_accepted_is_in_the_reference() {
    // An option that nobody knows, in each table: the walk says which it does know.
    let text: String = uncommented()
        .lines()
        .flat_map(|line| {
            let probe = line.starts_with('[').then_some("\nzz_unknown = 1");
            [line, probe.unwrap_or(""), "\n"]
        })
        .collect();
    let loaded = with_environment(&text, &[]);
    let unknown = loaded
        .mistakes
        .iter()
        .filter(
            |m| matches!(&m.problem, Problem::UnknownOption { name, .. } if name == "zz_unknown"),
        )
        .count();
    let tables = text.lines().filter(|line| line.starts_with('[')).count();
    assert_eq!(unknown, tables, "every table refuses what it does not know");
    for section in reference::sections() {
        let known = match section
            .header
            .trim_matches(['[', ']'])
            .rsplit_once("grant.")
        {
            Some((_, "connection")) => fields::<airlock_grant::ConnectionGrant>(),
            Some((_, "variable")) => fields::<airlock_grant::VariableGrant>(),
            Some((_, "directory")) => fields::<airlock_grant::DirectoryGrant>(),
            Some((_, "http")) => fields::<airlock_grant::HttpGrant>(),
            Some((_, "asset")) => fields::<airlock_grant::AssetGrant>(),
            _ => continue,
        };
        let mut documented: Vec<_> = section.options.iter().map(|o| o.name.to_owned()).collect();
        documented.sort();
        assert_eq!(documented, known, "{}", section.header);
    }
}

/// The fields that a serde type takes, from what it says about one that it does not.
fn fields<T: serde::de::DeserializeOwned>() -> Vec<String> {
    let table = document::Table::from([(
        "zz_unknown".to_owned(),
        document::Node {
            origin: Origin::Default,
            value: document::Value::Integer(1),
        },
    )]);
    let node = document::Node {
        origin: Origin::Default,
        value: document::Value::Table(table),
    };
    let Err(error) = T::deserialize(&node) else {
        panic!("it takes anything");
    };
    let message = error.to_string();
    let mut fields: Vec<String> = message
        .split('`')
        .skip(1)
        .step_by(2)
        .skip(1)
        .map(str::to_owned)
        .collect();
    fields.sort();
    fields
}

#[test]
fn the_committed_reference_is_what_the_code_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    if committed != reference() && std::env::var_os("AIRLOCK_BLESS").is_some() {
        std::fs::write(path, reference()).unwrap();
        return;
    }
    assert!(
        committed == reference(),
        "docs/configuration.md differs from the options; run this test with AIRLOCK_BLESS=1"
    );
}

#[test]
fn reviewers_have_distinct_names_and_hashes_of_their_tokens() {
    let hash = format!("b3:{}", "ab".repeat(32));
    let good = format!("[[reviewer]]\nname = \"rita\"\ntoken_hash = \"{hash}\"\n");
    let loaded = with_environment(&good, &[]);
    assert!(loaded.mistakes.is_empty(), "{:?}", loaded.mistakes);
    let reviewer = loaded.config.reviewers.first().unwrap();
    assert_eq!(
        (&*reviewer.name, reviewer.token.to_string()),
        ("rita", hash.clone())
    );
    for wrong in [
        format!("{good}{good}"),
        good.replace("rita", "operator"),
        good.replace("rita", "rita \\u001b"),
        good.replace("b3:", ""),
        "[[reviewer]]\nname = \"rita\"\n".to_owned(),
    ] {
        assert_eq!(check(&wrong).len(), 1, "{wrong}");
    }
}

#[test]
fn what_is_shared_names_a_thing_and_a_bundle_of_another_team() {
    let file = |share: &str| {
        format!(
            "[[team]]\nname = \"a\"\n[[team.share]]\n{share}[[team.bundle]]\nname = \"own\"\nsource = \"x.wasm\"\n\
             [[team]]\nname = \"b\"\n[[team.bundle]]\nname = \"reports\"\nsource = \"y.wasm\"\n"
        )
    };
    let good =
        file("connection = \"bank\"\nvariable = \"k\"\nbundle = \"reports\"\ndags = [\"d\"]\n");
    let loaded = with_environment(&good, &[]);
    assert_eq!(loaded.config.shares.len(), 2, "{:?}", loaded.mistakes);
    for (wrong, code) in [
        ("bundle = \"reports\"\n", "AL-0104"),
        ("connection = \"bank\"\n", "AL-0105"),
        ("connection = \"bank\"\nbundle = \"own\"\n", "AL-0112"),
        ("connection = \"bank\"\nbundle = \"none\"\n", "AL-0112"),
        (
            "connection = \"bank\"\nbundle = \"reports\"\ndags = [\"a b\"]\n",
            "AL-0104",
        ),
        (
            "connection = \"bank\"\nbundle = \"reports\"\ntasks = [\"t\"]\n",
            "AL-0103",
        ),
    ] {
        let mistakes = check(&file(wrong));
        let found = mistakes.iter().filter(|one| !one.contains("AL-0109"));
        let found: Vec<_> = found.collect();
        assert!(
            found.len() == 1 && found[0].contains(code),
            "{wrong}: {found:?}"
        );
    }
}

#[test]
fn to_require_signatures_without_a_key_is_a_mistake() {
    let team = "[[team]]\nname = \"payments\"\nrequire_signatures = true\n";
    let mistakes = check(team);
    assert!(
        mistakes.len() == 1 && mistakes[0].contains("AL-0108"),
        "{mistakes:?}"
    );
}
