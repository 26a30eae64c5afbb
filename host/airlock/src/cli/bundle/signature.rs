//! `airlock bundle manifest|keygen|sign|verify`, and what `inspect` says of a signature.
//!
//! Keys and signatures are minisign's: whoever has that tool, or keys in a device, needs none of these but `manifest`.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use airlock_bundle::{
    Inspection, PublicKey, SigningKey, canonical_manifest, read_signature, signature_path, signer,
};
use minisign::{KeyPair, PError, SecretKeyBox};
use serde::Serialize;
use serde_json::json;

use super::inspect::read;
use crate::{
    config::Config,
    error::CliError,
    output::{self, Format, line, print_json, print_line},
};

/// Prints the canonical manifest.
pub(super) fn manifest(file: &Path) -> Result<(), CliError> {
    output::print(&canonical_manifest(&read(file)?))
}

fn refused(what: &str) -> impl FnOnce(PError) -> CliError + '_ {
    move |error| CliError::Usage(format!("{what}: {}", line(&error.to_string())))
}

/// Makes a key pair in `NAME.key` and `NAME.pub`; without a password, whoever reads the file can sign.
pub(super) fn keygen(format: Format, name: &Path, no_password: bool) -> Result<(), CliError> {
    let beside = |ending: &str| {
        let mut path = name.as_os_str().to_owned();
        path.push(ending);
        PathBuf::from(path)
    };
    let (secret, public) = (beside(".key"), beside(".pub"));
    let what = "the key pair cannot be made";
    let KeyPair { pk, sk } = match no_password {
        true => KeyPair::generate_unencrypted_keypair(),
        false => KeyPair::generate_encrypted_keypair(None),
    }
    .map_err(refused(what))?;
    let comment = Some("secret key of airlock bundle keygen");
    let text = sk.to_box(comment).map_err(refused(what))?.into_string();
    write_new(&secret, 0o600, &text)?;
    let text = pk.to_box().map_err(refused(what))?.into_string();
    write_new(&public, 0o644, &text)?;
    match format {
        Format::Json => print_json(&json!({
            "secret_key": secret, "public_key": public, "key": pk.to_base64(),
        })),
        Format::Table => print_line(&format!(
            "wrote {} (keep it secret) and {}; in airlock.toml:\n\n[[team.signing_key]]\nname = \"release\"\nkey = \"{}\"",
            secret.display(),
            public.display(),
            pk.to_base64()
        )),
    }
}

fn write_new(path: &Path, mode: u32, text: &str) -> Result<(), CliError> {
    let mut options = fs::OpenOptions::new();
    options
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| CliError::file("the key", path, &error))
}

/// Signs a component, and writes the signature beside it.
pub(super) fn sign(format: Format, file: &Path, key: &Path) -> Result<(), CliError> {
    let inspection = read(file)?;
    let text = fs::read_to_string(key).map_err(|error| CliError::file("the key", key, &error))?;
    let what = "the key cannot be used";
    let secret = SecretKeyBox::from_string(&text).map_err(refused(what))?;
    let secret = match secret.clone().into_unencrypted_secret_key() {
        Ok(secret) => secret,
        // Asks for the password at the terminal.
        Err(_) => secret.into_secret_key(None).map_err(refused(what))?,
    };
    let bundle = &inspection.manifest;
    let signature = minisign::sign(
        None,
        &secret,
        canonical_manifest(&inspection).as_bytes(),
        Some(&format!("{} {}", bundle.name, bundle.version)),
        None,
    )
    .map_err(refused(what))?
    .into_string();
    let path = signature_path(file);
    fs::write(&path, signature).map_err(|error| CliError::file("the signature", &path, &error))?;
    match format {
        Format::Json => print_json(&json!({ "signature": path })),
        Format::Table => print_line(&format!("wrote {}", path.display())),
    }
}

/// Whether the signature beside a component is by this key: a public key, or its file.
pub(super) fn verify(format: Format, file: &Path, key: &str) -> Result<(), CliError> {
    let inspection = read(file)?;
    let text = match key.parse::<PublicKey>() {
        Ok(_) => key.to_owned(),
        Err(_) => fs::read_to_string(key)
            .map_err(|error| CliError::file("the key", Path::new(key), &error))?,
    };
    let key = SigningKey {
        name: "key".to_owned(),
        key: text
            .parse()
            .map_err(|error: airlock_bundle::NoKey| CliError::Usage(error.to_string()))?,
        revoked: false,
    };
    signer(&inspection, read_signature(file).as_deref(), &[key]).map_err(CliError::room)?;
    let bundle = &inspection.manifest;
    match format {
        Format::Json => print_json(&json!({
            "name": bundle.name, "version": bundle.version.to_string(), "hash": inspection.hash,
            "signed": true,
        })),
        Format::Table => print_line(&format!(
            "{} {} b3:{} is signed with this key",
            bundle.name, bundle.version, inspection.hash
        )),
    }
}

/// What `inspect` tells of the signature beside a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Vouching {
    /// `signed`, `unsigned`, `invalid`; `unchecked`: there is one, and no team's keys are known.
    standing: &'static str,
    /// The name of the key.
    by: Option<String>,
    /// Why it counts for nothing.
    reason: Option<String>,
    /// Whether the bundle does not load without one.
    required: bool,
}

impl Vouching {
    /// With the keys of the team that the configuration gives the bundle to.
    pub(super) fn of(config: &Config, inspection: &Inspection, file: &Path) -> Self {
        let name = &inspection.manifest.name;
        let mut teams = config.teams.iter();
        let team = teams.find(|team| team.bundles.iter().any(|bundle| bundle.name == *name));
        let signature = read_signature(file);
        let told = |standing, by: Option<&str>, reason| Self {
            standing,
            by: by.map(str::to_owned),
            reason,
            required: team.is_some_and(|team| team.require_signatures),
        };
        let keys = team.map(|team| team.signing_keys.as_slice());
        match (signature, keys) {
            (None, _) => told("unsigned", None, None),
            (Some(_), None | Some([])) => told("unchecked", None, None),
            (Some(signature), Some(keys)) => match signer(inspection, Some(&signature), keys) {
                Ok(key) => told("signed", Some(key), None),
                Err(error) => told("invalid", None, Some(error.to_string())),
            },
        }
    }

    /// In a line, for people.
    pub(super) fn line(&self) -> String {
        let required = match (self.standing, self.required) {
            ("signed", _) | (_, false) => "",
            (_, true) => "; its team requires a signature: it does not load",
        };
        let what = match (self.standing, &self.by, &self.reason) {
            ("signed", Some(by), _) => format!("signed by {}", line(by)),
            ("unchecked", ..) => {
                "a signature is beside it, and no key is configured to check it with".to_owned()
            }
            (_, _, Some(reason)) => format!("signature invalid: {}", line(reason)),
            _ => "unsigned".to_owned(),
        };
        format!("{what}{required}")
    }
}
