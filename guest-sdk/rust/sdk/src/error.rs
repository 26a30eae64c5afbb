//! How a task fails, or says that it need not run.

use std::{error::Error as StdError, fmt, panic::Location};

use crate::definition;

/// What a task or DAG function returns that may fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a task failed or was skipped.
///
/// Every `std::error::Error` becomes one through `?`, which also notes the file and line of that `?`; the
/// host shows both. [`fail`] fails a task for good, [`skip`] skips it, and [`ResultExt::context`] says what
/// was being done. `{}` prints the message, `{:#}` its causes too, `{:?}` everything over several lines.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    /// What was being done, innermost first.
    contexts: Vec<String>,
    root: Root,
    location: &'static Location<'static>,
}

/// Where it began.
enum Root {
    Text(String),
    Error(Box<dyn StdError + Send + Sync + 'static>),
}

/// What the host is to make of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The task fails, and is tried again where it has tries left.
    Failure,
    /// The task fails, whatever tries it has left.
    Fatal,
    /// The task is skipped.
    Skip,
}

/// Ends the task as `skipped`, which its downstream tasks see as their trigger rules say.
///
/// ```
/// # use airlock_sdk::prelude::*;
/// #[task]
/// fn weekend_only(ctx: &Context) -> Result<()> {
///     if ctx.date()?.weekday() != jiff::civil::Weekday::Sunday {
///         return Err(skip("it is not Sunday"));
///     }
///     Ok(())
/// }
/// ```
#[track_caller]
#[must_use = "return it as `Err(skip(…))`"]
pub fn skip(why: impl fmt::Display) -> Error {
    Error::new(Kind::Skip, Root::Text(why.to_string()))
}

/// Fails the task for good: no further try, whatever `retries` says.
///
/// ```
/// # use airlock_sdk::prelude::*;
/// # let answer = Some(());
/// # let run = || -> Result<()> {
/// let answer = answer.ok_or_else(|| fail("the account is closed"))?;
/// # Ok(()) };
/// ```
#[track_caller]
#[must_use = "return it as `Err(fail(…))`"]
pub fn fail(why: impl fmt::Display) -> Error {
    Error::new(Kind::Fatal, Root::Text(why.to_string()))
}

impl Error {
    #[track_caller]
    fn new(kind: Kind, root: Root) -> Self {
        Self(Box::new(Inner {
            kind,
            contexts: Vec::new(),
            root,
            location: Location::caller(),
        }))
    }

    /// An error that is only a text. The task is tried again where it has tries left.
    #[track_caller]
    #[must_use]
    pub fn msg(message: impl fmt::Display) -> Self {
        Self::new(Kind::Failure, Root::Text(message.to_string()))
    }

    /// The same error under a message that says what was being done; the old message becomes its cause.
    #[must_use]
    pub fn context(mut self, message: impl fmt::Display) -> Self {
        self.0.contexts.push(message.to_string());
        self
    }

    /// Whether it skips the task instead of failing it.
    #[must_use]
    pub fn is_skip(&self) -> bool {
        self.0.kind == Kind::Skip
    }

    /// Whether the task may be tried again.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.0.kind == Kind::Failure
    }

    /// Where it came up: the `?`, or the call that made it.
    #[must_use]
    pub fn location(&self) -> definition::Location {
        self.0.location.into()
    }

    /// What caused it, outermost first, without its own message.
    #[must_use]
    pub fn causes(&self) -> Vec<String> {
        self.messages().skip(1).collect()
    }

    /// The first of the errors behind this one that is an `E`.
    #[must_use]
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        self.chain().find_map(|error| error.downcast_ref())
    }

    /// The errors of others that it holds, outermost first.
    fn chain(&self) -> impl Iterator<Item = &(dyn StdError + 'static)> {
        let first: Option<&(dyn StdError + 'static)> = match &self.0.root {
            Root::Text(_) => None,
            Root::Error(error) => Some(&**error),
        };
        std::iter::successors(first, |&error| error.source())
    }

    /// Its own message, then those of its causes.
    fn messages(&self) -> impl Iterator<Item = String> {
        let text = match &self.0.root {
            Root::Text(text) => Some(text.clone()),
            Root::Error(_) => None,
        };
        let contexts = self.0.contexts.iter().rev().cloned();
        contexts
            .chain(text)
            .chain(self.chain().map(ToString::to_string))
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for Error {
    #[track_caller]
    fn from(error: E) -> Self {
        Self::new(Kind::Failure, Root::Error(Box::new(error)))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, message) in self.messages().enumerate() {
            match i {
                0 => f.write_str(&message)?,
                _ if f.alternate() => write!(f, ": {message}")?,
                _ => break,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({})", self.location())?;
        self.causes()
            .iter()
            .try_for_each(|cause| write!(f, "\n  caused by: {cause}"))
    }
}

/// Says what was being done when a `Result` or `Option` turned out bad.
///
/// ```
/// # use airlock_sdk::prelude::*;
/// # #[task]
/// # fn read() -> Result<String> {
/// let text = std::fs::read_to_string("archive/today.csv").context("reading today's figures")?;
/// let first = text.lines().next().with_context(|| format!("{} bytes without a line", text.len()))?;
/// # Ok(first.to_owned()) }
/// ```
pub trait ResultExt<T>: Sized {
    /// Adds a message; an absent value becomes an error of this text.
    ///
    /// # Errors
    /// Where there is no value.
    #[track_caller]
    fn context(self, message: impl fmt::Display) -> Result<T>;

    /// The same, for a message that costs something to make.
    ///
    /// # Errors
    /// Where there is no value.
    #[track_caller]
    fn with_context<M: fmt::Display>(self, message: impl FnOnce() -> M) -> Result<T>;
}

impl<T, E: Into<Error>> ResultExt<T> for std::result::Result<T, E> {
    // `match` rather than a closure: a closure would be the location that the error notes.
    #[track_caller]
    fn context(self, message: impl fmt::Display) -> Result<T> {
        match self {
            Ok(value) => Ok(value),
            Err(error) => Err(error.into().context(message)),
        }
    }

    #[track_caller]
    fn with_context<M: fmt::Display>(self, message: impl FnOnce() -> M) -> Result<T> {
        match self {
            Ok(value) => Ok(value),
            Err(error) => Err(error.into().context(message())),
        }
    }
}

impl<T> ResultExt<T> for Option<T> {
    #[track_caller]
    fn context(self, message: impl fmt::Display) -> Result<T> {
        match self {
            Some(value) => Ok(value),
            None => Err(Error::msg(message)),
        }
    }

    #[track_caller]
    fn with_context<M: fmt::Display>(self, message: impl FnOnce() -> M) -> Result<T> {
        match self {
            Some(value) => Ok(value),
            None => Err(Error::msg(message())),
        }
    }
}

/// Returns early with an error of this text, formatted as by `format!`.
///
/// ```
/// # use airlock_sdk::prelude::*;
/// # #[task]
/// # fn check(rows: usize) -> Result<()> {
/// if rows == 0 {
///     bail!("the file is empty");
/// }
/// # Ok(()) }
/// ```
#[macro_export]
macro_rules! bail {
    ($($text:tt)+) => {
        return ::core::result::Result::Err($crate::Error::msg(::core::format_args!($($text)+)).into())
    };
}

/// Returns early with an error of this text unless the condition holds.
///
/// ```
/// # use airlock_sdk::prelude::*;
/// # #[task]
/// # fn check(celsius: f64) -> Result<()> {
/// ensure!(celsius > -90.0, "{celsius} °C is colder than any place on Earth");
/// # Ok(()) }
/// ```
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            $crate::bail!($($text)+);
        }
    };
}
