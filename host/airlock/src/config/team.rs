//! Teams, and what is theirs: instance pool, bundles with their grants, connections, variables, task pools.

use std::path::PathBuf;

use airlock_bundle::{NoKey, PublicKey, SigningKey};
use airlock_grant::Grant;
use airlock_model::{
    connection::{Connection, Pool, Variable},
    id::{BundleName, PoolName, Scope, TeamName},
    mask::Sensitive,
};

use super::{
    document::{Node, Value},
    mistake::Problem,
    nesting::Places,
    options::Limits,
    policy::Policy,
    reader::{Reader, Unique},
    section::section,
    sharing::{self, Written},
    value::{Setting, quoted},
};

/// A team as it is configured.
#[derive(Debug, Clone)]
pub(crate) struct Team {
    /// Unique.
    pub(crate) name: TeamName,
    /// Its share of `scheduler.parallelism` when all teams want more than there is.
    pub(crate) weight: u32,
    /// The limits of its instance pool.
    pub(crate) limits: Limits,
    /// Its bundles.
    pub(crate) bundles: Vec<Bundle>,
    /// Whether a bundle that nobody signed whose key counts is kept out.
    pub(crate) require_signatures: bool,
    /// Who may sign its bundles.
    pub(crate) signing_keys: Vec<SigningKey>,
    /// What belongs to it alone.
    pub(crate) settings: Settings,
}

/// A bundle as it is configured.
#[derive(Debug, Clone)]
pub(crate) struct Bundle {
    /// Unique over all teams.
    pub(crate) name: BundleName,
    /// A component file, or a folder with one.
    pub(crate) source: PathBuf,
    /// What all its DAGs' ids must begin with.
    pub(crate) dag_id_prefix: Option<String>,
    /// What else its DAGs have to keep.
    pub(crate) policy: Policy,
    /// What it may reach of what it asks for; none where people decide that through the API.
    pub(crate) grant: Option<Grant>,
}

/// Connections, variables and task pools of one scope. They win over those of the database.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) connections: Vec<Connection>,
    pub(crate) variables: Vec<Variable>,
    pub(crate) pools: Vec<Pool>,
}

section! {
    /// A team: the owner of bundles, and the border that nothing crosses ungranted. Repeat the section for each.
    /// Without any there is one team, `default`.
    TeamOptions in "[[team]]" {
        /// The team's share of `scheduler.parallelism`, against the other teams' weights, when all want more
        /// than there is.
        weight: u32 = 1, in 1..=1000;
        /// Whether only bundles run that are signed with one of the team's keys, old versions included: see
        /// `[[team.signing_key]]`.
        require_signatures: bool = false;
    }
}

section! {
    /// A key with which the team's bundles are signed. Several may count at once: put a new one beside the old one, sign
    /// with the new one, revoke the old one.
    SigningKeyOptions in "[[team.signing_key]]" {
        /// Whether nothing that was signed with it counts any more, whenever it was signed. Leave a revoked key here: one
        /// that is not listed is unknown, which says less.
        revoked: bool = false;
    }
}

/// What the teams have in common while they are read.
pub(super) struct Teams<'a> {
    /// What `[team.pool]` leaves open.
    pub(super) limits: &'a Limits,
    /// Over all teams.
    pub(super) bundles: Unique,
    /// Over all teams.
    pub(super) names: Unique,
    /// Over all teams.
    pub(super) directories: Places,
    /// Over all teams, to be looked at when all bundles are known.
    pub(super) shares: Vec<Written<'a>>,
}

impl<'a> Teams<'a> {
    /// Reads one `[[team]]`; none where it has no name.
    pub(super) fn team(&mut self, mut reader: Reader<'a>) -> Option<Team> {
        let name: Option<TeamName> = reader.required("name");
        if let Some(name) = &name {
            self.names.check(name.as_str(), &reader);
        }
        let pool = reader.section("pool");
        let limits = Limits::read(pool, self.limits.clone(), Some("[limits]"));
        let bundles = reader.list("bundle");
        let bundles = bundles
            .into_iter()
            .filter_map(|b| self.bundle(name.as_ref(), b))
            .collect();
        let shares = reader.list("share").into_iter();
        self.shares
            .extend(shares.filter_map(|share| sharing::read(name.as_ref(), share)));
        let scope = name.clone().map_or(Scope::Global, Scope::Team);
        let settings = settings(&mut reader, &scope);
        let signing_keys = signing_keys(&mut reader);
        let required = reader.take("require_signatures");
        if signing_keys.is_empty()
            && required.is_some_and(|node| node.value == Value::Boolean(true))
        {
            let problem = "without any `[[team.signing_key]]` this would keep every bundle out; list the team's keys";
            reader.mistake(
                "require_signatures",
                Problem::Contradiction(problem.to_owned()),
            );
        }
        let TeamOptions {
            weight,
            require_signatures,
        } = TeamOptions::read(reader, TeamOptions::default(), None);
        Some(Team {
            name: name?,
            weight,
            limits,
            bundles,
            require_signatures,
            signing_keys,
            settings,
        })
    }

    fn bundle(&mut self, team: Option<&TeamName>, mut reader: Reader<'_>) -> Option<Bundle> {
        let name: Option<BundleName> = reader.required("name");
        if let Some(name) = &name {
            self.bundles.check(name.as_str(), &reader);
        }
        let source: Option<PathBuf> = reader.required("source");
        if let Some(source) = &source
            && !source.exists()
        {
            let shown = source.to_string_lossy().into_owned();
            reader.mistake("source", Problem::NotThere(shown));
        }
        let dag_id_prefix = reader.optional("dag_id_prefix");
        let policy = Policy::read(reader.section("policy"), Policy::default(), None);
        let grant: Option<Grant> = reader.deserialize("grant");
        let grant = grant.map(|grant| grant.relative_to(reader.folder()));
        if let Some(grant) = grant.as_ref().filter(|grant| !grant.directory.is_empty()) {
            self.directories.check(team, grant, reader.section("grant"));
        }
        reader.finish();
        Some(Bundle {
            name: name?,
            source: source?,
            dag_id_prefix,
            policy,
            grant,
        })
    }
}

/// Reads the keys of a team. Each stands once, so that a revoked one is nowhere else.
fn signing_keys(reader: &mut Reader<'_>) -> Vec<SigningKey> {
    let (mut names, mut keys) = (Unique::new("signing key"), Unique::new("key"));
    let readers = reader.list("signing_key").into_iter();
    let read = readers.filter_map(|mut reader| {
        let name: Option<String> = reader.required("name");
        if let Some(name) = &name {
            names.check(name, &reader);
        }
        let key: Option<PublicKey> = reader.required("key");
        if let Some(key) = &key {
            keys.check(&key.to_string(), &reader);
        }
        let SigningKeyOptions { revoked } =
            SigningKeyOptions::read(reader, SigningKeyOptions::default(), None);
        Some(SigningKey {
            name: name?,
            key: key?,
            revoked,
        })
    });
    read.collect()
}

impl Setting for PublicKey {
    const KIND: &'static str = "public key";
    fn read(node: &Node, _: &super::value::Bases) -> Result<Self, String> {
        match &node.value {
            Value::Text(text) => text.parse().map_err(|error: NoKey| error.to_string()),
            _ => Err(NoKey.to_string()),
        }
    }
    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}

/// Reads the connections, variables and task pools of a scope.
pub(super) fn settings(reader: &mut Reader<'_>, scope: &Scope) -> Settings {
    let mut names = Unique::new("connection");
    let connections = reader.list("connection");
    let connections = connections
        .into_iter()
        .filter_map(|c| connection(c, &mut names))
        .collect();
    let mut names = Unique::new("variable");
    let variables = reader.list("variable");
    let variables = variables
        .into_iter()
        .filter_map(|v| variable(v, &mut names))
        .collect();
    let mut names = Unique::new("task pool");
    let pools = reader.list("task_pool");
    let pools = pools
        .into_iter()
        .filter_map(|p| pool(p, scope, &mut names))
        .collect();
    Settings {
        connections,
        variables,
        pools,
    }
}

fn connection(mut reader: Reader<'_>, names: &mut Unique) -> Option<Connection> {
    let id = reader.required("id");
    if let Some(id) = &id {
        let id: &airlock_model::id::ConnectionId = id;
        names.check(id.as_str(), &reader);
    }
    let conn_type = reader.required("conn_type");
    let read = Connection {
        id: id?,
        conn_type: conn_type?,
        description: reader.optional("description"),
        host: reader.optional("host"),
        port: reader.optional("port"),
        login: reader.optional("login"),
        password: reader.optional("password"),
        schema: reader.optional("schema"),
        extra: reader.optional::<Extra>("extra").map(|Extra(extra)| extra),
    };
    reader.finish();
    Some(read)
}

/// A connection's `extra`: a table, or the text of a JSON object.
struct Extra(Sensitive);

impl Setting for Extra {
    const KIND: &'static str = "table";
    fn read(node: &Node, _: &super::value::Bases) -> Result<Self, String> {
        use serde::Deserialize;
        let json = match &node.value {
            Value::Text(text) => serde_json::from_str(text).ok(),
            Value::Table(_) => serde_json::Value::deserialize(node).ok(),
            _ => None,
        };
        match json {
            Some(json @ serde_json::Value::Object(_)) => Ok(Self(Sensitive::new(json.to_string()))),
            _ => Err("write a table, or the text of a JSON object".to_owned()),
        }
    }
    fn show(&self) -> String {
        self.0.show()
    }
}

fn variable(mut reader: Reader<'_>, names: &mut Unique) -> Option<Variable> {
    let key: Option<airlock_model::id::VariableKey> = reader.required("key");
    if let Some(key) = &key {
        names.check(key.as_str(), &reader);
    }
    if reader.take("value").is_none() {
        reader.mistake("", Problem::Missing("value".to_owned()));
    }
    let value = reader.optional("value");
    let description = reader.optional("description");
    reader.finish();
    Some(Variable {
        key: key?,
        value: value?,
        description,
    })
}

fn pool(mut reader: Reader<'_>, scope: &Scope, names: &mut Unique) -> Option<Pool> {
    let name: Option<PoolName> = reader.required("name");
    if let Some(name) = &name {
        names.check(name.as_str(), &reader);
    }
    let slots: Option<i32> = reader.required("slots");
    if slots.is_some_and(|slots| slots < -1) {
        reader.mistake(
            "slots",
            Problem::Value("a pool has 0 or more slots, or -1 for no bound".to_owned()),
        );
    }
    let description = reader.optional("description");
    let include_deferred = reader.optional("include_deferred").unwrap_or(false);
    reader.finish();
    Some(Pool {
        scope: scope.clone(),
        name: name?,
        slots: slots?,
        description,
        include_deferred,
    })
}
