//! The sealed form of a value: `version (1) | key id (8) | nonce (24) | ciphertext and tag (n + 16)`.

use airlock_model::id::Scope;
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305,
    aead::{Aead, Payload},
};
use rand::TryRngCore as _;
use zeroize::Zeroizing;

use crate::keyring::{Key, KeyId};

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;
const HEADER_BYTES: usize = 1 + KeyId::BYTES + NONCE_BYTES;

/// Where a sealed value stands. It opens nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject<'a> {
    /// Whose it is.
    pub scope: &'a Scope,
    /// `variable` or `connection`.
    pub kind: &'a str,
    /// Its key or id.
    pub name: &'a str,
}

impl Subject<'_> {
    /// The kind of a variable.
    pub const VARIABLE: &'static str = "variable";
    /// The kind of a connection.
    pub const CONNECTION: &'static str = "connection";

    /// What is authenticated with the value: every part with its length before it, so that no two subjects
    /// give the same bytes.
    fn associated(&self, header: &[u8]) -> Vec<u8> {
        let (tag, team) = match self.scope {
            Scope::Global => (&b"global"[..], ""),
            Scope::Team(team) => (&b"team"[..], team.as_str()),
        };
        let parts = [
            b"airlock sealed value",
            header,
            tag,
            team.as_bytes(),
            self.kind.as_bytes(),
            self.name.as_bytes(),
        ];
        let mut bytes = Vec::new();
        for part in parts {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part);
        }
        bytes
    }
}

impl std::fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, name) = (self.kind, self.name.escape_debug());
        match self.scope {
            Scope::Global => write!(f, "global {kind} `{name}`"),
            Scope::Team(team) => write!(f, "{kind} `{name}` of team {team}"),
        }
    }
}

/// Why a value was not sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The key is not in the keyring.
    #[error(
        "AL-0904: the {subject} is sealed with key {key}, which the keyring does not hold; put back the key file that belongs to this database"
    )]
    UnknownKey {
        /// Where the value stands.
        subject: String,
        /// The missing key.
        key: KeyId,
    },
    /// Changed, damaged, or sealed for another place.
    #[error(
        "AL-0905: the {subject} does not open: it was changed in the database, or moved there from another place; set it again"
    )]
    Broken {
        /// Where the value stands.
        subject: String,
    },
    /// Not of a form that this version knows.
    #[error(
        "AL-0906: the {subject} is sealed in a form that this version does not know; use the version of Airlock that wrote it, or set it again"
    )]
    Form {
        /// Where the value stands.
        subject: String,
    },
    /// The operating system gave no random numbers.
    #[error("AL-0907: the operating system gave no random numbers; nothing was sealed")]
    Random,
}

/// Seals a value with this key.
pub(crate) fn seal(key: &Key, subject: &Subject<'_>, value: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut nonce = [0; NONCE_BYTES];
    fill(&mut nonce)?;
    let mut sealed = Vec::with_capacity(HEADER_BYTES + value.len() + 16);
    sealed.push(VERSION);
    sealed.extend_from_slice(key.id.as_bytes());
    let payload = Payload {
        msg: value,
        aad: &subject.associated(&sealed),
    };
    let ciphertext = XChaCha20Poly1305::new((&*key.secret).into())
        .encrypt((&nonce).into(), payload)
        .map_err(|_| SealError::Form {
            subject: subject.to_string(),
        })?;
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(&ciphertext);
    Ok(sealed)
}

/// Opens a value with the key that `find` gives for the id which it names.
pub(crate) fn open<'k>(
    find: impl FnOnce(&KeyId) -> Option<&'k Key>,
    subject: &Subject<'_>,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let form = || SealError::Form {
        subject: subject.to_string(),
    };
    let (header, rest) = sealed.split_at_checked(1 + KeyId::BYTES).ok_or_else(form)?;
    let (version, id) = header.split_first().ok_or_else(form)?;
    let id = KeyId::from_bytes(id.try_into().map_err(|_| form())?);
    if *version != VERSION {
        return Err(form());
    }
    let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_BYTES>().ok_or_else(form)?;
    let key = find(&id).ok_or_else(|| SealError::UnknownKey {
        subject: subject.to_string(),
        key: id,
    })?;
    let payload = Payload {
        msg: ciphertext,
        aad: &subject.associated(header),
    };
    XChaCha20Poly1305::new((&*key.secret).into())
        .decrypt(nonce.into(), payload)
        .map(Zeroizing::new)
        .map_err(|_| SealError::Broken {
            subject: subject.to_string(),
        })
}

/// Random bytes from the operating system.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), SealError> {
    rand::rngs::OsRng
        .try_fill_bytes(bytes)
        .map_err(|_| SealError::Random)
}
