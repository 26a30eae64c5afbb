//! Who may use the API: whoever holds the installation's token, and reviewers with tokens of their own.
//!
//! The installation's token is made at the first start and kept in a file that only its owner can read; the
//! command line finds it there. Of a reviewer's token the configuration knows the hash. What a request brought is
//! proved by what its handler takes before anything else: [`Operator`], [`Reader`] or [`Decider`]; and the router
//! asks for some token once more around all of them, so that a handler that forgot would still be closed.

use std::{
    fmt,
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use airlock_model::audit::Actor;
use axum::{
    extract::{FromRef, FromRequestParts, Request, State},
    http::{header, request::Parts},
    middleware::Next,
    response::Response,
};
use rand::RngCore;

use crate::problem::ApiError;

/// The token's file in the home folder.
pub const TOKEN_FILE: &str = "token";
/// Random bytes of a token; written as twice as many hexadecimal digits.
const TOKEN_BYTES: usize = 32;
/// The shortest token that is accepted from a file, in characters.
const SHORTEST_TOKEN: usize = 32;

/// The secret that opens the API. Has no `Display`, and its `Debug` shows nothing.
#[derive(Clone)]
pub struct Token(Arc<str>);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(***)")
    }
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read or made.
    #[error("AL-0814: the token file `{}` cannot be used", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others can read it.
    #[error(
        "AL-0815: others can read the token file `{0}`; run `chmod 600 {0}`, or remove it and start again for a new token",
        path.display()
    )]
    Exposed {
        /// Which.
        path: PathBuf,
    },
    /// It holds no token.
    #[error(
        "AL-0816: the token file `{}` holds no token of at least {SHORTEST_TOKEN} printable characters; remove it and start again for a new one", path.display()
    )]
    Malformed {
        /// Which.
        path: PathBuf,
    },
}

impl Token {
    /// Takes a text as token.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The token, to send it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Reads the token of a home folder.
    ///
    /// # Errors
    /// A [`TokenError`] when there is none, or when others could have read it.
    pub fn read(home: &Path) -> Result<Self, TokenError> {
        Self::read_file(home.join(TOKEN_FILE))
    }

    /// A token that nobody has yet.
    #[must_use]
    pub fn new_random() -> Self {
        let mut bytes = [0_u8; TOKEN_BYTES];
        rand::rng().fill_bytes(&mut bytes);
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Self(text.into())
    }

    /// Reads the token in this file.
    ///
    /// # Errors
    /// A [`TokenError`] when there is none, or when others could have read it.
    pub fn read_file(path: PathBuf) -> Result<Self, TokenError> {
        let unusable = |source| TokenError::Unusable {
            path: path.clone(),
            source,
        };
        let mut file = fs::File::open(&path).map_err(unusable)?;
        if file.metadata().map_err(unusable)?.permissions().mode() & 0o077 != 0 {
            return Err(TokenError::Exposed { path });
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(unusable)?;
        let text = text.trim();
        if text.len() < SHORTEST_TOKEN || !text.chars().all(|c| c.is_ascii_graphic()) {
            return Err(TokenError::Malformed { path });
        }
        Ok(Self(text.into()))
    }

    /// Reads the token of a home folder, and makes one first where there is none.
    ///
    /// # Errors
    /// A [`TokenError`].
    pub fn read_or_create(home: &Path) -> Result<Self, TokenError> {
        match Self::create(home) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => {
                return Err(TokenError::Unusable {
                    path: home.join(TOKEN_FILE),
                    source,
                });
            }
        }
        Self::read(home)
    }

    /// Makes the file whole or not at all: it is written beside, and linked to its name.
    fn create(home: &Path) -> io::Result<()> {
        let path = home.join(TOKEN_FILE);
        if path.exists() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let text = Self::new_random();
        let draft = home.join(format!("{TOKEN_FILE}.{}", std::process::id()));
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)
            .and_then(|mut file| {
                file.write_all(text.reveal().as_bytes())?;
                file.sync_all()
            })
            .and_then(|()| fs::hard_link(&draft, &path));
        let removed = fs::remove_file(&draft);
        written.and(removed)
    }

    /// What may be known of it.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(&self.0)
    }
}

/// What is kept of a token: its BLAKE3. Written `b3:` and 64 hexadecimal digits. Two are compared without telling
/// by the duration how much of them is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenHash(blake3::Hash);

impl TokenHash {
    fn of(token: &str) -> Self {
        Self(blake3::hash(token.as_bytes()))
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b3:{}", self.0.to_hex())
    }
}

impl FromStr for TokenHash {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, &'static str> {
        let hash = text.strip_prefix("b3:").map(blake3::Hash::from_hex);
        match hash {
            Some(Ok(hash)) => Ok(Self(hash)),
            _ => Err(
                "write `b3:` and the 64 hexadecimal digits that `airlock config new-token` prints",
            ),
        }
    }
}

/// A person who decides on grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reviewer {
    /// As the audit names them.
    pub name: String,
    /// What is known of their token.
    pub token: TokenHash,
}

/// All tokens that open anything.
#[derive(Debug, Clone)]
pub struct Keys {
    operator: TokenHash,
    reviewers: Arc<[Reviewer]>,
}

/// Whose token a request brought.
enum Holder {
    Operator,
    Reviewer(String),
}

impl Keys {
    /// The installation's token, and those of reviewers.
    #[must_use]
    pub fn new(operator: &Token, reviewers: &[Reviewer]) -> Self {
        Self {
            operator: operator.hash(),
            reviewers: reviewers.into(),
        }
    }

    /// Whose token it is. Each is compared, whichever it is: the time tells nothing.
    fn holder(&self, parts: &Parts) -> Result<Holder, ApiError> {
        let mut values = parts.headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(ApiError::Unauthorised);
        };
        let presented = value
            .to_str()
            .ok()
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| TokenHash::of(token.trim()));
        let presented = presented.ok_or(ApiError::Unauthorised)?;
        let mut found = None;
        for reviewer in &*self.reviewers {
            if reviewer.token == presented {
                found = Some(Holder::Reviewer(reviewer.name.clone()));
            }
        }
        if self.operator == presented {
            found = Some(Holder::Operator);
        }
        found.ok_or(ApiError::Unauthorised)
    }
}

const OPERATOR: &str = "operator";

/// Whoever holds the installation's token. Only a request that brought it makes one.
#[derive(Debug, Clone, Copy)]
pub struct Operator(());

impl Operator {
    /// Who that is, for the audit: one token is one person.
    pub(crate) fn actor(self) -> Actor {
        Actor::person(OPERATOR)
    }
}

/// Whoever may read what reviewers read, and propose grants: a reviewer, or the operator.
#[derive(Debug, Clone)]
pub struct Reader(Actor);

impl Reader {
    /// Who that is, for the audit.
    pub(crate) fn actor(self) -> Actor {
        self.0
    }
}

/// Whoever may decide on grants: a reviewer; where none is configured, the operator.
#[derive(Debug, Clone)]
pub struct Decider(Actor);

impl Decider {
    /// Who that is, for the audit.
    pub(crate) fn actor(self) -> Actor {
        self.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Operator
where
    Keys: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Keys::from_ref(state).holder(parts)? {
            Holder::Operator => Ok(Self(())),
            Holder::Reviewer(_) => Err(ApiError::OperatorsOnly),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Reader
where
    Keys: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Ok(match Keys::from_ref(state).holder(parts)? {
            Holder::Operator => Self(Actor::person(OPERATOR)),
            Holder::Reviewer(name) => Self(Actor::person(&name)),
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Decider
where
    Keys: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let keys = Keys::from_ref(state);
        match keys.holder(parts)? {
            Holder::Reviewer(name) => Ok(Self(Actor::person(&name))),
            Holder::Operator if keys.reviewers.is_empty() => Ok(Self(Actor::person(OPERATOR))),
            Holder::Operator => Err(ApiError::ReviewersOnly),
        }
    }
}

/// Lets through what brings some token.
pub(crate) async fn require_token(
    State(keys): State<Keys>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    keys.holder(&parts)?;
    Ok(next.run(Request::from_parts(parts, body)).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_start_makes_a_token_that_only_its_owner_can_read_and_later_starts_keep_it() {
        let home = tempfile::tempdir().unwrap();
        assert!(matches!(
            Token::read(home.path()),
            Err(TokenError::Unusable { .. })
        ));
        let first = Token::read_or_create(home.path()).unwrap();
        assert_eq!(first.reveal().len(), 2 * TOKEN_BYTES);
        let path = home.path().join(TOKEN_FILE);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = Token::read_or_create(home.path()).unwrap();
        assert_eq!(first.reveal(), again.reveal());
        assert_eq!(
            fs::read_dir(home.path()).unwrap().count(),
            1,
            "no draft is left"
        );
    }

    #[test]
    fn a_token_that_others_can_read_or_that_is_none_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(TOKEN_FILE);
        Token::read_or_create(home.path()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(
            Token::read_or_create(home.path()),
            Err(TokenError::Exposed { .. })
        ));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for bad in ["", "short", &"a b".repeat(30)] {
            fs::write(&path, bad).unwrap();
            assert!(matches!(
                Token::read(home.path()),
                Err(TokenError::Malformed { .. })
            ));
        }
    }

    #[test]
    fn a_tokens_hash_is_read_as_it_is_written_and_tells_nothing_of_the_token() {
        let token = Token::new_random();
        let hash = token.hash().to_string();
        assert_eq!(hash.parse(), Ok(token.hash()));
        assert!(!hash.contains(token.reveal()));
        for wrong in ["", "b3:", "b3:12", &hash[3..], &format!("{hash}0")] {
            assert!(wrong.parse::<TokenHash>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_token_is_never_shown() {
        assert_eq!(format!("{:?}", Token::new("hunter2")), "Token(***)");
    }
}
