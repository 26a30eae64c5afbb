//! Who vouches for a bundle: minisign signatures over a canonical manifest of component and request.
//!
//! What is signed is a text of five lines, so that it can be signed by any tool of that format, on a machine that
//! never sees the component, and read by whoever signs. It names the component and its `bundle.toml` by their hashes;
//! neither can be changed without another text. Where the signature stands (beside the component, as
//! `NAME.wasm.minisig`, and kept with the content once it counted) proves nothing: it is checked each time that it is
//! relied on, against the keys that count then.

use std::{
    cmp::Ordering,
    ffi::OsString,
    fmt,
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
    str::FromStr,
};

use airlock_model::id::{BundleHash, BundleName};
use minisign_verify::{Error as Minisign, Signature};

use crate::inspect::{Inspection, hash};

/// The largest signature that is looked at, in bytes; ordinary ones have about 300.
pub const MAX_SIGNATURE_BYTES: usize = 4 * 1024;

/// What a signature's file has after the component's name.
const ENDING: &str = ".minisig";

/// Where the signature of a component stands.
#[must_use]
pub fn signature_path(component: &Path) -> PathBuf {
    let mut path = OsString::from(component);
    path.push(ENDING);
    path.into()
}

/// The signature beside a component, unchecked; none where there is none that can be read. Of one that is too large
/// just enough is read to see that. For callers that may block for the time of a small file.
#[must_use]
pub fn read_signature(component: &Path) -> Option<Vec<u8>> {
    let path = signature_path(component);
    if !fs::metadata(&path).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    let most = MAX_SIGNATURE_BYTES as u64 + 1;
    let file = File::open(path).ok()?;
    file.take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The canonical manifest of a bundle: what is signed. The same bytes give the same text, and other bytes another.
#[must_use]
pub fn canonical_manifest(inspection: &Inspection) -> String {
    let manifest = &inspection.manifest;
    format!(
        "airlock bundle manifest 1\nname: {}\nversion: {}\ncomponent: b3:{}\nrequest: b3:{}\n",
        manifest.name,
        manifest.version,
        inspection.hash,
        hash(manifest.text.as_bytes()),
    )
}

/// A public key of minisign: the second line of its file, which begins with `RW`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    text: String,
    key: minisign_verify::PublicKey,
}

/// A text that is no public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no public key of minisign; write the second line of the file `NAME.pub`, which begins with RW"
)]
pub struct NoKey;

impl FromStr for PublicKey {
    type Err = NoKey;
    /// The key's line, or the whole file with its comment.
    fn from_str(text: &str) -> Result<Self, NoKey> {
        let line = text
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty() && !line.starts_with("untrusted comment:"))
            .ok_or(NoKey)?;
        let key = minisign_verify::PublicKey::from_base64(line).map_err(|_| NoKey)?;
        Ok(Self {
            text: line.to_owned(),
            key,
        })
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.text.cmp(&other.text))
    }
}

/// A key as a team has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// For people; unique in the team.
    pub name: String,
    /// The key.
    pub key: PublicKey,
    /// Nothing that was signed with it counts any more.
    pub revoked: bool,
}

/// Why a bundle counts as signed by nobody. Each says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is none.
    #[error(
        "AL-0250: the bundle `{bundle}` (b3:{hash}) is not signed; sign what `airlock bundle manifest FILE` prints with a key of its team, and put the signature beside the component as `NAME.wasm{ENDING}`, where Airlock's user can read it"
    )]
    Missing {
        /// The bundle.
        bundle: BundleName,
        /// Its content.
        hash: BundleHash,
    },
    /// More bytes than any signature has.
    #[error(
        "AL-0251: the signature of the bundle `{0}` has more than {MAX_SIGNATURE_BYTES} bytes; this is no signature: sign what `airlock bundle manifest FILE` prints again"
    )]
    TooLarge(BundleName),
    /// Not the format.
    #[error(
        "AL-0252: the signature of the bundle `{0}` is not in minisign's format; sign what `airlock bundle manifest FILE` prints again"
    )]
    Malformed(BundleName),
    /// By somebody whom the team does not know.
    #[error(
        "AL-0253: the bundle `{0}` is signed with a key that is none of those that count for it; sign it with one of its team's keys, or add the key as a [[team.signing_key]]"
    )]
    UnknownKey(BundleName),
    /// By a key that counts for nothing any more.
    #[error(
        "AL-0254: the bundle `{bundle}` is signed with the key `{}`, which is revoked; look at the bundle again, and sign it with a key that counts", key.escape_debug()
    )]
    Revoked {
        /// The bundle.
        bundle: BundleName,
        /// The key's name.
        key: String,
    },
    /// Of other bytes, or damaged.
    #[error(
        "AL-0255: the signature is not one of this bundle `{bundle}` (b3:{hash}), but of another file or version, or it was changed; sign what `airlock bundle manifest FILE` prints for this file"
    )]
    OtherContent {
        /// The bundle.
        bundle: BundleName,
        /// Its content.
        hash: BundleHash,
    },
    /// Made in the way of old versions of minisign, which sign what they are given without hashing it first.
    #[error(
        "AL-0256: the signature of the bundle `{0}` is of minisign's old kind; sign it with minisign 0.11 or newer, without its option -l"
    )]
    Legacy(BundleName),
}

/// The name of the key that vouches for a bundle. A revoked key counts for nothing, also where it is listed a second
/// time under another name.
///
/// # Errors
/// A [`SignatureError`] when none does.
pub fn signer<'a>(
    inspection: &Inspection,
    signature: Option<&[u8]>,
    keys: &'a [SigningKey],
) -> Result<&'a str, SignatureError> {
    let bundle = || inspection.manifest.name.clone();
    let Some(bytes) = signature else {
        return Err(SignatureError::Missing {
            bundle: bundle(),
            hash: inspection.hash,
        });
    };
    if bytes.len() > MAX_SIGNATURE_BYTES {
        return Err(SignatureError::TooLarge(bundle()));
    }
    let malformed = || SignatureError::Malformed(bundle());
    let text = std::str::from_utf8(bytes).map_err(|_| malformed())?;
    let signature = Signature::decode(text).map_err(|_| malformed())?;
    let manifest = canonical_manifest(inspection);
    let mut error = SignatureError::UnknownKey(bundle());
    let mut found = None;
    for key in keys {
        match key.key.key.verify(manifest.as_bytes(), &signature, false) {
            Ok(()) if key.revoked => {
                return Err(SignatureError::Revoked {
                    bundle: bundle(),
                    key: key.name.clone(),
                });
            }
            Ok(()) => {
                found.get_or_insert(key.name.as_str());
            }
            Err(Minisign::UnexpectedKeyId) => {}
            Err(Minisign::UnexpectedAlgorithm) => error = SignatureError::Legacy(bundle()),
            Err(_) => {
                error = SignatureError::OtherContent {
                    bundle: bundle(),
                    hash: inspection.hash,
                }
            }
        }
    }
    found.ok_or(error)
}

#[cfg(test)]
mod tests;
