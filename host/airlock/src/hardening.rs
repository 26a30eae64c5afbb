//! The second wall around a host: which folders the configuration leaves it, and whether what the kernel gives is
//! enough.
//!
//! It is built before the host has threads, since a thread that is there already would stay outside. Commands that
//! build or test a bundle are no hosts: they run the author's compiler, and what a wall leaves of it is nothing.

use std::path::{Path, PathBuf};

use airlock_confine::{Mode, Report, Roots, confine_host};
use airlock_store::Store;
use tracing::warn;

use crate::{config::Config, error::CliError, house};

/// Restricts this process to what this configuration needs, warns of what is missing, and tells what holds.
///
/// # Errors
/// A [`CliError`] when it is less than the configuration requires, or the home folder cannot be made.
pub(crate) fn harden(config: &Config) -> Result<Option<Report>, CliError> {
    let Some(required) = config.security.required() else {
        warn!(
            "AL-0121: the host does not restrict itself, because `hardening` of [security] is off; whoever breaks out of the sandbox has all that this user has"
        );
        return Ok(None);
    };
    // It has to be there to be named.
    house::private_folder(&config.home).map_err(CliError::room)?;
    let report = confine_host(&roots(config));
    for lacking in report.lacking() {
        warn!("AL-0122: the host could not restrict itself as far as it would: {lacking}");
    }
    for gap in report.gaps() {
        warn!("AL-0123: {gap}");
    }
    report.require(required).map_err(CliError::room)?;
    Ok(Some(report))
}

/// What the host has to reach.
fn roots(config: &Config) -> Roots {
    let mut roots = Roots::default();
    roots.add(&config.home, Mode::ReadWrite);
    for root in &config.security.roots {
        roots.add(root, Mode::ReadWrite);
    }
    // Beside the database's file stand its log and its index.
    let database = Store::file(config.database_url().reveal());
    if let Some(folder) = database.as_deref().and_then(folder) {
        roots.add(folder, Mode::ReadWrite);
    }
    if let Some(secrets) = &config.secrets.files {
        roots.add(secrets, Mode::Read);
    }
    if let Some(passwords) = postgres_passwords().filter(|file| file.exists()) {
        roots.add(passwords, Mode::Read);
    }
    // Granted what they ask for, in folders of their own beside them.
    if let Some(bundles) = &config.automatic {
        roots.add(bundles, Mode::ReadWrite);
    }
    for bundle in config.teams.iter().flat_map(|team| &team.bundles) {
        for place in sources(&bundle.source) {
            roots.add(place, Mode::Read);
        }
        for directory in bundle.grant.iter().flat_map(|grant| &grant.directory) {
            let mode = match directory.mode {
                airlock_grant::Mode::Read => Mode::Read,
                airlock_grant::Mode::ReadWrite => Mode::ReadWrite,
            };
            roots.add(&directory.host, mode);
        }
    }
    roots
}

/// Where a bundle's file may be: a new version takes the place of the old, so a file's folder is needed, the one that
/// is named and, where a link leads elsewhere, that one too. A file in the root of the file system stands for itself.
fn sources(source: &Path) -> Vec<PathBuf> {
    if source.is_dir() {
        return vec![source.to_owned()];
    }
    let real = source.canonicalize().ok();
    [Some(source), real.as_deref()]
        .into_iter()
        .flatten()
        .map(|file| match folder(file) {
            Some(folder) if folder.parent().is_some() => folder,
            _ => file.to_owned(),
        })
        .collect()
}

/// The folder of a file; of a relative one, as seen from here.
fn folder(file: &Path) -> Option<PathBuf> {
    Some(std::path::absolute(file).ok()?.parent()?.to_owned())
}

/// Where PostgreSQL's clients keep passwords.
fn postgres_passwords() -> Option<PathBuf> {
    let named = std::env::var_os("PGPASSFILE").map(PathBuf::from);
    named.or_else(|| Some(std::env::home_dir()?.join(".pgpass")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Place, load};

    /// The roots of a host with this configuration, in this folder, where its home is `home`.
    fn of(folder: &Path, text: &str) -> Vec<(PathBuf, Mode)> {
        let file = folder.join("airlock.toml");
        std::fs::write(&file, text).unwrap();
        let place = Place {
            file: Some(file),
            home: Some(folder.join("home")),
            bundles: None,
        };
        let config = load(&place, []).unwrap().checked().unwrap();
        let own = roots(&config);
        let places = own.iter().filter(|(path, _)| path.starts_with(folder));
        places
            .map(|(path, mode)| (path.strip_prefix(folder).unwrap().to_owned(), mode))
            .collect()
    }

    #[test]
    fn a_host_keeps_its_home_what_is_granted_and_the_folders_of_its_bundles() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        for name in ["built", "releases/2", "many"] {
            std::fs::create_dir_all(folder.join(name)).unwrap();
        }
        std::fs::write(folder.join("releases/2/linked.wasm"), "").unwrap();
        std::os::unix::fs::symlink(
            "../releases/2/linked.wasm",
            folder.join("built/linked.wasm"),
        )
        .unwrap();
        let bundle = |name: &str, source: &str| {
            format!("[[team.bundle]]\nname = \"{name}\"\nsource = \"{source}\"\n")
        };
        let text = format!(
            "[database]\nurl = \"sqlite:{}/data/airlock.db\"\n[security]\nroots = [\"later\"]\n[[team]]\nname = \"a\"\n{}{}{}\
             [[team.bundle.grant.directory]]\npath = \"in\"\nhost = \"inbox\"\n\
             [[team.bundle.grant.directory]]\npath = \"out\"\nhost = \"outbox\"\nmode = \"read-write\"\n",
            folder.display(),
            bundle("one", "built/linked.wasm"),
            bundle("two", "many"),
            bundle("three", "not-there/three.wasm"),
        );
        let expected = [
            ("built", Mode::Read),
            ("data", Mode::ReadWrite),
            ("home", Mode::ReadWrite),
            ("inbox", Mode::Read),
            ("later", Mode::ReadWrite),
            ("many", Mode::Read),
            ("not-there", Mode::Read),
            ("outbox", Mode::ReadWrite),
            ("releases/2", Mode::Read),
        ];
        assert_eq!(
            of(&folder, &text),
            expected.map(|(path, mode)| (path.into(), mode))
        );
        let automatic = of(&folder, "[bundles]\nfolder = \"many\"\n");
        let expected = [("home", Mode::ReadWrite), ("many", Mode::ReadWrite)];
        assert_eq!(automatic, expected.map(|(path, mode)| (path.into(), mode)));
    }

    #[test]
    fn a_file_in_the_root_of_the_file_system_does_not_open_all_of_it() {
        assert_eq!(
            sources(Path::new("/ledger.wasm")),
            [Path::new("/ledger.wasm")]
        );
    }
}
