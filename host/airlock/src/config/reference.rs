//! The configuration reference and the commented example, written from the table of options.

use std::fmt::Write as _;

use super::{
    document::ENVIRONMENT_PREFIX,
    options::{
        Bundles, Callbacks, Compile, Database, Limits, Log, Scheduler, Secrets, Security, Server,
        Triggers,
    },
    policy::Policy,
    section::{Given, OptionDoc, Section},
    team::{SigningKeyOptions, TeamOptions},
};

/// Every section, in the order of the file.
pub(crate) fn sections() -> Vec<Section> {
    let mut sections = vec![
        Server::section(),
        Database::section(),
        Scheduler::section(),
        Triggers::section(),
        Callbacks::section(),
        Security::section(),
        Secrets::section(),
        Log::section(),
        Limits::section(),
        Compile::section(),
        Bundles::section(),
        reviewer(),
    ];
    sections.extend(settings(
        ["[[connection]]", "[[variable]]", "[[task_pool]]"],
        "every team that has none of its own of that name",
    ));
    sections.push(team());
    sections.push(Section {
        header: "[team.pool]",
        doc:
            "The limits of the team's instance pool. What is not set here is taken from `[limits]`."
                .to_owned(),
        options: Limits::section().options,
    });
    sections.push(signing_key());
    sections.push(share());
    sections.push(bundle());
    sections.push(Policy::section());
    sections.extend(grants());
    sections.extend(settings(
        [
            "[[team.connection]]",
            "[[team.variable]]",
            "[[team.task_pool]]",
        ],
        "this team only",
    ));
    sections
}

const NAME: &str = "letters, digits, `_`, `-`, `.`; at most 250 bytes";

fn reviewer() -> Section {
    Section {
        header: "[[reviewer]]",
        doc: "Somebody who reads reviews, grants and the audit, and decides on grants. Repeat the section for each. Where there is one, the operator does not decide any more. `airlock config new-token` makes a token and prints this section.".to_owned(),
        options: vec![
            OptionDoc::new(
                "name",
                "text",
                Given::Required,
                "\"rita\"",
                "As the audit names them. Unique.",
            ),
            OptionDoc::new(
                "token_hash",
                "text",
                Given::Required,
                "\"b3:d74981efa70a0c880b8d8c1985d075dbcbf679b99a5f9914e5aaf96b831a9e24\"",
                "The BLAKE3 of their token; the token itself stands nowhere.",
            ),
        ],
    }
}

fn team() -> Section {
    let mut section = TeamOptions::section();
    section.options.insert(
        0,
        OptionDoc::new(
            "name",
            "name",
            Given::Required,
            "\"payments\"",
            format!("Unique: {NAME}."),
        ),
    );
    section
}

fn signing_key() -> Section {
    let mut section = SigningKeyOptions::section();
    let required =
        |name, kind, example, doc| OptionDoc::new(name, kind, Given::Required, example, doc);
    section.options.splice(
        0..0,
        [
            required(
                "name",
                "text",
                "\"release\"",
                "For people; unique in the team.",
            ),
            required(
                "key",
                "public key",
                "\"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\"",
                "The second line of minisign's file `NAME.pub`.",
            ),
        ],
    );
    section
}

fn share() -> Section {
    Section {
        header: "[[team.share]]",
        doc: "A connection or variable of the team that a bundle of another team may have, if its grant says `from` this team. Repeat the section for each.".to_owned(),
        options: vec![
            OptionDoc::new("connection", "name", Given::Unset, "\"bank\"", "The connection that is shared."),
            OptionDoc::new("variable", "name", Given::Unset, "\"ledger.currency\"", "The variable that is shared: one key."),
            OptionDoc::new("bundle", "name", Given::Required, "\"reports\"", "The bundle that it is shared with."),
            OptionDoc::new("dags", "list of texts", Given::Unset, "[\"monthly\"]", "For these DAGs of it only."),
        ],
    }
}

fn bundle() -> Section {
    Section {
        header: "[[team.bundle]]",
        doc: "A bundle of the team. It reaches nothing but what its grants below name, and of that only what its `bundle.toml` asks for.".to_owned(),
        options: vec![
            OptionDoc::new("name", "name", Given::Required, "\"ledger\"", format!("Unique over all teams: {NAME}.")),
            OptionDoc::new(
                "source",
                "path",
                Given::Required,
                "\"bundles/ledger.wasm\"",
                "The component, or a folder with one. It is watched: a new version is live as soon as it is whole. A relative path begins where this file stands.",
            ),
            OptionDoc::new(
                "dag_id_prefix",
                "text",
                Given::Unset,
                "\"payments_\"",
                "What the ids of all its DAGs must begin with; another is an import error.",
            ),
        ],
    }
}

/// The options that narrow every kind of grant.
fn narrowing() -> [OptionDoc; 3] {
    [
        OptionDoc::new(
            "phases",
            "list of texts",
            Given::Unset,
            "[\"task\"]",
            "In these phases only.",
        ),
        OptionDoc::new(
            "dags",
            "list of texts",
            Given::Unset,
            "[\"payments_daily\"]",
            "For these DAGs only.",
        ),
        OptionDoc::new(
            "tasks",
            "list of texts",
            Given::Unset,
            "[\"book\"]",
            "For these tasks only.",
        ),
    ]
}

fn grant(header: &'static str, doc: &str, mut options: Vec<OptionDoc>) -> Section {
    options.extend(narrowing());
    Section {
        header,
        doc: doc.to_owned(),
        options,
    }
}

fn grants() -> [Section; 5] {
    [
        grant(
            "[[team.bundle.grant.connection]]",
            "A connection that the bundle may have.",
            vec![
                OptionDoc::new(
                    "id",
                    "name",
                    Given::Required,
                    "\"bank\"",
                    "Which: the team's own, else the global one.",
                ),
                OptionDoc::new(
                    "from",
                    "name",
                    Given::Unset,
                    "\"payments\"",
                    "Of this other team, which [shares](#teamshare) it; without it, the own team's, else the global one.",
                ),
                OptionDoc::new(
                    "access",
                    "one of `use`, `read`",
                    Given::Value("\"use\"".to_owned()),
                    "\"use\"",
                    "With `use` the host reaches the system for the bundle, and logs in; with `read` the bundle's code sees the connection, its password included.",
                ),
            ],
        ),
        grant(
            "[[team.bundle.grant.variable]]",
            "Variables that the bundle may read.",
            vec![
                OptionDoc::new(
                    "key",
                    "text",
                    Given::Required,
                    "\"ledger.*\"",
                    "One key, or all that begin with a prefix.",
                ),
                OptionDoc::new(
                    "from",
                    "name",
                    Given::Unset,
                    "\"payments\"",
                    "Of this other team, which [shares](#teamshare) it, and then one key; without it, the own team's, else the global one.",
                ),
            ],
        ),
        grant(
            "[[team.bundle.grant.directory]]",
            "A directory that the bundle may see.",
            vec![
                OptionDoc::new(
                    "path",
                    "text",
                    Given::Required,
                    "\"archive\"",
                    "Where the bundle sees it.",
                ),
                OptionDoc::new(
                    "host",
                    "path",
                    Given::Required,
                    "\"data/archive\"",
                    "Where it is on this host. A relative path begins where this file stands.",
                ),
                OptionDoc::new(
                    "mode",
                    "one of `read`, `read-write`",
                    Given::Value("\"read\"".to_owned()),
                    "\"read\"",
                    "Whether its files may also be created, written, renamed and removed.",
                ),
            ],
        ),
        grant(
            "[[team.bundle.grant.http]]",
            "HTTP calls that the bundle may make.",
            vec![
                OptionDoc::new(
                    "url",
                    "text",
                    Given::Required,
                    "\"https://api.bank.example/v1/*\"",
                    "One URL, or all that begin with what stands before a `*` at its end.",
                ),
                OptionDoc::new(
                    "methods",
                    "list of texts",
                    Given::Value("[\"GET\"]".to_owned()),
                    "[\"GET\", \"POST\"]",
                    "With these methods.",
                ),
            ],
        ),
        assets(),
    ]
}

fn assets() -> Section {
    let grant = grant(
        "[[team.bundle.grant.asset]]",
        "Assets of the team that the bundle may follow or change.",
        vec![
            OptionDoc::new(
                "name",
                "text",
                Given::Required,
                "\"reports/*\"",
                "One name or URI, the name of an alias, or all that begin with a prefix.",
            ),
            OptionDoc::new(
                "access",
                "one of `consume`, `produce`",
                Given::Required,
                "\"produce\"",
                "Whether changes of it make runs, end waits and are seen by tasks, or whether tasks and watchers change it. For both, write two tables.",
            ),
        ],
    );
    let has_phases = |option: &OptionDoc| option.name != "phases";
    Section {
        options: grant.options.into_iter().filter(has_phases).collect(),
        ..grant
    }
}

fn settings(headers: [&'static str; 3], seen_by: &'static str) -> [Section; 3] {
    let unset = |name, kind, example, doc: &'static str| {
        OptionDoc::new(name, kind, Given::Unset, example, doc)
    };
    let description = || unset("description", "text", "\"what it is for\"", "For people.");
    let [connection, variable, pool] = headers;
    [
        Section {
            header: connection,
            doc: format!(
                "A connection: where a system is, and how to log in to it. What stands here wins over the database, unless `backends` of `[secrets]` says otherwise, and cannot be changed through the API. Better than a password in this file is one in the environment. Seen by {seen_by}."
            ),
            options: vec![
                OptionDoc::new(
                    "id",
                    "name",
                    Given::Required,
                    "\"bank\"",
                    "Its id: letters, digits, `_`, `-`, `.`, `/`.",
                ),
                OptionDoc::new(
                    "conn_type",
                    "text",
                    Given::Required,
                    "\"http\"",
                    "The kind of system, such as `http` or `postgres`.",
                ),
                description(),
                unset(
                    "host",
                    "text",
                    "\"api.bank.example\"",
                    "Host name or address.",
                ),
                unset("port", "integer", "443", "Port."),
                unset("login", "text", "\"airlock\"", "User name."),
                unset(
                    "password",
                    "secret text",
                    "\"from the environment, rather\"",
                    "Password or token. Sealed where it is kept, masked where it is shown.",
                ),
                unset(
                    "schema",
                    "text",
                    "\"ledger\"",
                    "Database, or what the system calls it.",
                ),
                unset(
                    "extra",
                    "table",
                    "{ timeout = 10 }",
                    "Whatever else the system needs; treated as a secret.",
                ),
            ],
        },
        Section {
            header: variable,
            doc: format!(
                "A variable: a setting outside the code. What stands here wins over the database and cannot be changed through the API. Seen by {seen_by}."
            ),
            options: vec![
                OptionDoc::new(
                    "key",
                    "name",
                    Given::Required,
                    "\"ledger.currency\"",
                    "Its key: letters, digits, `_`, `-`, `.`, `/`, `:`.",
                ),
                OptionDoc::new(
                    "value",
                    "secret text",
                    Given::Required,
                    "\"CHF\"",
                    "Its value; treated as a secret.",
                ),
                description(),
            ],
        },
        Section {
            header: pool,
            doc: format!(
                "A pool: a bound on how many tasks that name it run at once. Not to be confused with the instance pool. Seen by {seen_by}."
            ),
            options: vec![
                OptionDoc::new(
                    "name",
                    "name",
                    Given::Required,
                    "\"bank_api\"",
                    "Its name; `default_pool` is the one of tasks that name none.",
                ),
                OptionDoc::new(
                    "slots",
                    "integer",
                    Given::Required,
                    "4",
                    "Slots in all; -1 means without bound.",
                ),
                description(),
                OptionDoc::new(
                    "include_deferred",
                    "true or false",
                    Given::Value("false".to_owned()),
                    "false",
                    "Whether deferred tasks keep their slots.",
                ),
            ],
        },
    ]
}

/// Breaks a text into lines of at most `width` characters.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A whole `airlock.toml` in which every option stands, commented out, with its meaning.
pub(crate) fn example() -> String {
    let mut out = String::from(
        "# Airlock's configuration. Every option stands here with its default or an example, commented out.\n\
         # Sizes are written as \"64 MiB\", durations as \"30s\" or \"1h 30m\"; relative paths begin where this file\n\
         # stands. An environment variable wins over this file: AIRLOCK__SERVER__LISTEN is `listen` of [server].\n",
    );
    for section in sections() {
        out.push('\n');
        for line in wrapped(&section.doc, 108) {
            let _ = writeln!(out, "# {line}");
        }
        let _ = writeln!(out, "#{}", section.header);
        for option in &section.options {
            for line in wrapped(&option.doc, 106) {
                let _ = writeln!(out, "#   {line}");
            }
            let value = match &option.default {
                Given::Value(value) => value,
                Given::Required | Given::Unset => &option.example,
            };
            let _ = writeln!(out, "#{} = {value}", option.name);
        }
    }
    out
}

/// The reference, as Markdown.
pub(crate) fn reference() -> String {
    let mut out = String::from(
        "# Configuration\n\n\
         <!-- Written by `airlock config reference`; a test compares it with the code. -->\n\n\
         Airlock reads one file, `airlock.toml`: the one that `--config` names, else the one in the current folder,\n\
         else the one in the home folder (`--home`, `AIRLOCK_HOME`, default `~/.airlock`). Without any, the defaults\n\
         below hold. An option that is not known is an error.\n\n\
         - `airlock config check` shows every mistake at once, each with its line.\n\
         - `airlock config list` shows what is in force, and where each value comes from.\n\
         - `airlock config example` writes a file with every option, commented out.\n\n\
         Sizes are written as `\"64 MiB\"`, durations as `\"30s\"` or `\"1h 30m\"`. Relative paths begin where the file\n\
         stands.\n\n\
         An environment variable wins over the file. Its name is the option's path in capitals, with `__` between the\n\
         parts: `AIRLOCK__SCHEDULER__PARALLELISM`. In a list, the element is named by its `name`, `id` or `key`, with\n\
         `_` for what a variable's name cannot hold: `AIRLOCK__TEAM__PAYMENTS__POOL__THREADS`,\n\
         `AIRLOCK__TEAM__PAYMENTS__CONNECTION__BANK__PASSWORD`. The element itself must stand in the file.\n",
    );
    for section in sections() {
        let _ = write!(
            out,
            "\n## `{}`\n\n{}\n",
            section.header,
            wrapped(&section.doc, 110).join("\n")
        );
        for option in &section.options {
            let default = match &option.default {
                Given::Required => "required".to_owned(),
                Given::Unset => "unset by default".to_owned(),
                Given::Value(value) => format!("default `{value}`"),
            };
            let variable = match section.header.trim_matches(['[', ']']) {
                name if section.header.starts_with("[[") || name.contains('.') => String::new(),
                name => format!(
                    ", `{ENVIRONMENT_PREFIX}{}__{}`",
                    name.to_uppercase(),
                    option.name.to_uppercase()
                ),
            };
            let _ = write!(
                out,
                "\n### `{}`\n\n*{}, {default}{variable}*\n\n{}\n",
                option.name,
                option.kind,
                wrapped(&option.doc, 110).join("\n"),
            );
        }
    }
    out
}
