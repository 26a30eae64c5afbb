//! The keys: one that seals, and while they are being replaced the one before.

use std::fmt;

use zeroize::Zeroizing;

use crate::seal::{SealError, Subject, fill, open, seal};

/// Which key sealed a value. Tells nothing of the key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; Self::BYTES]);

impl KeyId {
    pub(crate) const BYTES: usize = 8;

    pub(crate) const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) id: KeyId,
    pub(crate) secret: Zeroizing<[u8; 32]>,
}

/// The keys of one installation, the sealing one first. Its `Debug` shows their ids.
#[derive(Clone)]
pub struct Keyring {
    active: Key,
    older: Vec<Key>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.keys().map(|key| key.id))
            .finish()
    }
}

/// The first line of a key file.
const HEAD: &str = "# Airlock's keys. Whoever has this file can open every secret in the database, and without it nobody can.";

impl Keyring {
    /// A keyring of one new key.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub fn generate() -> Result<Self, SealError> {
        let mut id = [0; KeyId::BYTES];
        let mut secret = Zeroizing::new([0; 32]);
        fill(&mut id)?;
        fill(&mut *secret)?;
        let active = Key {
            id: KeyId(id),
            secret,
        };
        let older = Vec::new();
        Ok(Self { active, older })
    }

    /// The id of the key that seals.
    #[must_use]
    pub const fn active(&self) -> KeyId {
        self.active.id
    }

    /// Whether keys are being replaced: then there is more than one.
    #[must_use]
    pub fn is_rotating(&self) -> bool {
        !self.older.is_empty()
    }

    /// The same keys, with a new one in front that seals from now on.
    pub(crate) fn with_new_key(&self) -> Result<Self, SealError> {
        let Self { active, .. } = Self::generate()?;
        let older = self.keys().cloned().collect();
        Ok(Self { active, older })
    }

    /// The sealing key alone.
    pub(crate) fn active_only(&self) -> Self {
        Self {
            active: self.active.clone(),
            older: Vec::new(),
        }
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.active).chain(&self.older)
    }

    /// Seals a value for the place where it will stand.
    ///
    /// # Errors
    /// A [`SealError`].
    pub fn seal(&self, subject: &Subject<'_>, value: &[u8]) -> Result<Vec<u8>, SealError> {
        seal(&self.active, subject, value)
    }

    /// Opens a value in the place where it stands.
    ///
    /// # Errors
    /// A [`SealError`].
    pub fn open(
        &self,
        subject: &Subject<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let find = |id: &KeyId| self.keys().find(|key| key.id == *id);
        open(find, subject, sealed)
    }

    /// The text of the key file.
    pub(crate) fn to_text(&self) -> Zeroizing<String> {
        // One allocation of sufficient size, so that no copy is left behind by growing.
        let mut text = Zeroizing::new(String::with_capacity(
            HEAD.len() + 1 + 90 * self.keys().count(),
        ));
        text.push_str(HEAD);
        text.push('\n');
        for key in self.keys() {
            push_hex(&mut text, key.id.as_bytes());
            text.push(' ');
            push_hex(&mut text, &*key.secret);
            text.push('\n');
        }
        text
    }
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
}

/// Which line of a key file is not understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotUnderstood {
    pub(crate) line: usize,
}

impl Keyring {
    /// Reads the text of a key file, wholly or not at all.
    pub(crate) fn from_text(text: &str) -> Result<Self, NotUnderstood> {
        let mut keys: Vec<Key> = Vec::new();
        let mut line = 0;
        for (index, content) in text.lines().enumerate() {
            line = index + 1;
            if content.trim().is_empty() || content.starts_with('#') {
                continue;
            }
            let key = content
                .split_once(' ')
                .and_then(|(id, secret)| {
                    let id = KeyId(*hex(id)?);
                    let secret = hex(secret.trim_end())?;
                    Some(Key { id, secret })
                })
                .filter(|key| keys.iter().all(|other| other.id != key.id))
                .ok_or(NotUnderstood { line })?;
            keys.push(key);
        }
        let mut keys = keys.into_iter();
        let active = keys.next().ok_or(NotUnderstood { line })?;
        let older = keys.collect();
        Ok(Self { active, older })
    }
}

fn hex<const N: usize>(text: &str) -> Option<Zeroizing<[u8; N]>> {
    if text.len() != 2 * N || !text.is_ascii() {
        return None;
    }
    let mut bytes = Zeroizing::new([0; N]);
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        for digit in pair {
            let value = char::from(*digit).to_digit(16)?;
            *byte = *byte << 4 | u8::try_from(value).ok()?;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
