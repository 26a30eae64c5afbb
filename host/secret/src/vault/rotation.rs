//! Replacing the key. At every moment the key file holds each key that seals anything in the database: the
//! new key is durable beside the old one before anything is sealed with it, and the old one goes when
//! nothing is sealed with it any more. A crash in between is healed by running the rotation again.

use airlock_model::id::Scope;

use super::Vault;
use crate::{
    file::{KeyringError, remove_leftovers},
    keyring::{KeyId, Keyring},
    seal::Subject,
};

/// What a rotation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// The key that seals now.
    pub key: KeyId,
    /// How many values were sealed anew.
    pub resealed: u64,
    /// It was begun before, and is finished now.
    pub resumed: bool,
}

impl Vault {
    /// Replaces the key, and seals everything in the database anew. While it lasts, settings are looked up as
    /// ever, but neither listed nor changed.
    ///
    /// # Errors
    /// A [`KeyringError`]; nothing is lost then, and it can be run again.
    pub async fn rotate(&self) -> Result<Rotation, KeyringError> {
        let _all_sealing = self.sealing.write().await;
        let present = Keyring::load(&self.key_file)?;
        remove_leftovers(&self.key_file)?;
        let resumed = present.is_rotating();
        let both = if resumed {
            present
        } else {
            let both = present.with_new_key()?;
            both.save(&self.key_file)?;
            both
        };
        self.use_keyring(both.clone());
        let reseal = |scope: &Scope, kind: &str, name: &str, sealed: &[u8]| {
            let subject = Subject { scope, kind, name };
            let opened = both.open(&subject, sealed);
            opened
                .and_then(|value| both.seal(&subject, &value))
                .map_err(|error| error.to_string())
        };
        let resealed = self.connections.reseal_all(&reseal).await;
        let resealed = resealed.map_err(KeyringError::Reseal)?;
        let new = both.active_only();
        new.save(&self.key_file)?;
        self.use_keyring(new);
        Ok(Rotation {
            key: both.active(),
            resealed,
            resumed,
        })
    }
}
