//! Configuration: one file, `airlock.toml`, and the environment over it.
//!
//! The options are declared once ([`options`], [`team`]); the checks, the listing and the reference come from
//! that declaration. Reading never stops at a mistake: [`load`] returns all of them.

mod deserialize;
mod document;
mod mistake;
mod nesting;
mod options;
mod policy;
mod reader;
mod reference;
mod reviewer;
mod section;
mod sharing;
mod team;
mod value;

#[cfg(test)]
mod tests;

use std::{
    cell::RefCell,
    fmt,
    path::{Path, PathBuf},
};

use airlock_grant::Share;
use airlock_model::id::{Scope, TeamName};
use airlock_server::auth::Reviewer;

pub(crate) use mistake::Mistake;
pub(crate) use options::{
    Callbacks, Compile, Database, Limits, Log, LogFormat, RequireHardening, Scheduler, Secrets,
    Security, Server, Triggers,
};
pub(crate) use reader::Effective;
pub(crate) use reference::{example, reference};
pub(crate) use reviewer::wrong_name;
pub(crate) use team::{Bundle, Settings, Team};
pub(crate) use value::DatabaseUrl;

use document::Origin;
use mistake::Problem;
use nesting::Places;
use options::Bundles;
use reader::{Findings, Reader, Unique};
use team::Teams;
use value::Bases;

/// The file's name, in the current folder and in the home folder.
pub(crate) const FILE_NAME: &str = "airlock.toml";

/// Where to look.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place {
    /// `--config`.
    pub(crate) file: Option<PathBuf>,
    /// `--home` or AIRLOCK_HOME.
    pub(crate) home: Option<PathBuf>,
    /// `--bundles`.
    pub(crate) bundles: Option<PathBuf>,
}

/// The whole configuration, as it is in force.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// `$AIRLOCK_HOME`: the folder that holds all state.
    pub(crate) home: PathBuf,
    /// The file that was read, if there is one.
    pub(crate) file: Option<PathBuf>,
    pub(crate) server: Server,
    pub(crate) database: Database,
    pub(crate) scheduler: Scheduler,
    pub(crate) triggers: Triggers,
    pub(crate) callbacks: Callbacks,
    pub(crate) security: Security,
    pub(crate) secrets: Secrets,
    /// Who decides on grants; where there is nobody, the operator does.
    pub(crate) reviewers: Vec<Reviewer>,
    pub(crate) log: Log,
    pub(crate) compile: Compile,
    /// At least one.
    pub(crate) teams: Vec<Team>,
    /// What teams share with bundles of others.
    pub(crate) shares: Vec<Share>,
    /// Nobody configured a team: the only one is `default`, its bundles are the components in this folder, and
    /// each is granted what it asks for.
    pub(crate) automatic: Option<PathBuf>,
    /// What belongs to no team.
    pub(crate) global: Settings,
}

impl Config {
    /// Where the database is.
    pub(crate) fn database_url(&self) -> DatabaseUrl {
        self.database.url.clone().unwrap_or_else(|| {
            let file = self.home.join("airlock.db");
            format!("sqlite://{}", file.display()).into()
        })
    }

    /// The settings of every scope.
    pub(crate) fn settings(&self) -> impl Iterator<Item = (Scope, &Settings)> {
        std::iter::once((Scope::Global, &self.global)).chain(
            self.teams
                .iter()
                .map(|team| (Scope::Team(team.name.clone()), &team.settings)),
        )
    }
}

/// A configuration that was read, with all that was found on the way.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The configuration; where an option is wrong, with its default.
    pub(crate) config: Config,
    /// Everything that is wrong, in the order of the file.
    pub(crate) mistakes: Vec<Mistake>,
    /// Every option that is in force, in the order of the reference.
    pub(crate) effective: Vec<Effective>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("AL-0101: the configuration `{}` cannot be read; name another with --config", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is no home folder.
    #[error("AL-0110: there is no home folder to keep state in; set AIRLOCK_HOME or give --home")]
    NoHome,
    /// The file is wrong.
    #[error("{0}")]
    Mistakes(Mistakes),
}

/// Everything that is wrong with a configuration.
#[derive(Debug)]
pub(crate) struct Mistakes(pub(crate) Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl Loaded {
    /// The configuration, if nothing in it is wrong.
    ///
    /// # Errors
    /// [`ConfigError::Mistakes`], with warnings left out.
    pub(crate) fn checked(self) -> Result<Config, ConfigError> {
        let wrong: Vec<Mistake> = self
            .mistakes
            .into_iter()
            .filter(|mistake| !mistake.problem.is_warning())
            .collect();
        if wrong.is_empty() {
            Ok(self.config)
        } else {
            Err(ConfigError::Mistakes(Mistakes(wrong)))
        }
    }
}

/// The home folder: as given, or `.airlock` in the user's.
///
/// # Errors
/// [`ConfigError::NoHome`].
pub(crate) fn home(given: Option<&Path>) -> Result<PathBuf, ConfigError> {
    let home = match given {
        Some(home) => home.to_owned(),
        None => std::env::home_dir()
            .filter(|home| !home.as_os_str().is_empty())
            .ok_or(ConfigError::NoHome)?
            .join(".airlock"),
    };
    std::path::absolute(&home).map_err(|source| ConfigError::Unreadable { path: home, source })
}

/// Reads the configuration from its file and the environment.
///
/// # Errors
/// A [`ConfigError`] when a file was named that cannot be read, or there is no home folder. What is wrong
/// inside is in [`Loaded::mistakes`].
pub(crate) fn load(
    place: &Place,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Loaded, ConfigError> {
    let home = home(place.home.as_deref())?;
    let (file, text) = match &place.file {
        Some(path) => (Some(path.clone()), read(path)?),
        None => {
            let places = [PathBuf::from(FILE_NAME), home.join(FILE_NAME)];
            match places.into_iter().find(|path| path.exists()) {
                Some(path) => {
                    let text = read(&path)?;
                    (Some(path), text)
                }
                None => (None, String::new()),
            }
        }
    };
    let file = file.and_then(|path| std::path::absolute(path).ok());
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    let bases = Bases {
        file: file
            .as_deref()
            .and_then(Path::parent)
            .map_or_else(|| here.clone(), Path::to_owned),
        environment: here,
    };
    let mut loaded = interpret(home, file, &text, &bases, environment);
    if let Some(bundles) = &place.bundles {
        loaded.use_bundles(std::path::absolute(bundles).unwrap_or_else(|_| bundles.clone()));
    }
    Ok(loaded)
}

/// Every option at its default.
///
/// # Errors
/// [`ConfigError::NoHome`].
pub(crate) fn defaults(place: &Place) -> Result<Loaded, ConfigError> {
    let home = home(place.home.as_deref())?;
    let bases = Bases {
        file: home.clone(),
        environment: home.clone(),
    };
    Ok(interpret(home, None, "", &bases, []))
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    })
}

impl Loaded {
    /// `--bundles` names the folder of the one team that nobody configured.
    fn use_bundles(&mut self, folder: PathBuf) {
        match &mut self.config.automatic {
            Some(automatic) => *automatic = folder,
            None => self.mistakes.push(Mistake {
                origin: Origin::Default,
                path: "--bundles".to_owned(),
                problem: Problem::Contradiction(
                    "a folder of bundles belongs to the one team that is there when no [[team]] is configured; name each bundle in a [[team.bundle]] instead"
                        .to_owned(),
                ),
            }),
        }
    }
}

/// Reads a configuration's text.
fn interpret(
    home: PathBuf,
    file: Option<PathBuf>,
    text: &str,
    bases: &Bases,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Loaded {
    let mut mistakes = Vec::new();
    let shown = file
        .as_deref()
        .and_then(Path::file_name)
        .map_or_else(|| FILE_NAME.into(), |name| name.to_string_lossy());
    let mut document = document::parse(&shown.as_ref().into(), text, &mut mistakes);
    let mut variables: Vec<_> = environment.into_iter().collect();
    variables.sort();
    document::overlay(&mut document, variables, &mut mistakes);
    let findings = RefCell::new(Findings {
        mistakes,
        effective: Vec::new(),
    });
    let mut root = Reader::new(&findings, bases, &document, Origin::Default);
    let server = Server::read(root.section("server"), Server::default(), None);
    let database = Database::read(root.section("database"), Database::default(), None);
    let scheduler = root.section("scheduler");
    let scheduler = Scheduler::read(scheduler, Scheduler::default(), None);
    if scheduler.lease < scheduler.heartbeat * 2 {
        root.mistake(
            "scheduler",
            Problem::Contradiction(format!(
                "lease ({}) must be at least twice heartbeat ({}), or one late heartbeat loses it",
                humantime::format_duration(scheduler.lease),
                humantime::format_duration(scheduler.heartbeat),
            )),
        );
    }
    let triggers = Triggers::read(root.section("triggers"), Triggers::default(), None);
    let callbacks = Callbacks::read(root.section("callbacks"), Callbacks::default(), None);
    if callbacks.max_retry_delay < callbacks.retry_delay {
        root.mistake(
            "callbacks",
            Problem::Contradiction(format!(
                "max_retry_delay ({}) must not be shorter than retry_delay ({}), with which the pauses begin",
                humantime::format_duration(callbacks.max_retry_delay),
                humantime::format_duration(callbacks.retry_delay),
            )),
        );
    }
    let secrets = Secrets::read(root.section("secrets"), Secrets::default(), None);
    let security = Security::read(root.section("security"), Security::default(), None);
    if !security.hardening && security.require_hardening != RequireHardening::None {
        root.mistake(
            "security",
            Problem::Contradiction(
                "hardening is switched off, and require_hardening wants it; remove one of them"
                    .to_owned(),
            ),
        );
    }
    let log = Log::read(root.section("log"), Log::default(), None);
    let limits = Limits::read(root.section("limits"), Limits::default(), None);
    let compile = Compile::read(root.section("compile"), Compile::default(), None);
    let folder = Bundles::read(root.section("bundles"), Bundles::default(), None).folder;
    let reviewers = reviewer::reviewers(&mut root);
    let global = team::settings(&mut root, &Scope::Global);
    let mut reading = Teams {
        limits: &limits,
        bundles: Unique::new("bundle"),
        names: Unique::new("team"),
        directories: Places::default(),
        shares: Vec::new(),
    };
    let readers = root.list("team");
    let configured = !readers.is_empty();
    let mut teams: Vec<Team> = readers
        .into_iter()
        .filter_map(|r| reading.team(r))
        .collect();
    let shares = sharing::shares(reading.shares, &teams);
    if configured && folder.is_some() {
        root.mistake(
            "bundles",
            Problem::Contradiction(
                "[bundles] is for the one team that is there when no [[team]] is configured; name each bundle in a [[team.bundle]] instead"
                    .to_owned(),
            ),
        );
    }
    if teams.is_empty() {
        teams.push(Team {
            name: TeamName::default_team(),
            weight: 1,
            limits,
            bundles: Vec::new(),
            require_signatures: false,
            signing_keys: Vec::new(),
            settings: Settings::default(),
        });
    }
    root.finish();
    let Findings {
        mut mistakes,
        effective,
    } = findings.into_inner();
    mistakes.sort_by_key(|mistake| match &mistake.origin {
        Origin::File { line, .. } => *line,
        _ => usize::MAX,
    });
    Loaded {
        config: Config {
            automatic: (!configured).then(|| folder.unwrap_or_else(|| home.join("bundles"))),
            home,
            file,
            server,
            database,
            scheduler,
            triggers,
            callbacks,
            security,
            secrets,
            reviewers,
            log,
            compile,
            teams,
            shares,
            global,
        },
        mistakes,
        effective,
    }
}
