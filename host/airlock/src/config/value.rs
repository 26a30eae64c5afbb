//! The kinds of values that options take: how each is read, and how it is written.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use airlock_model::id::{BundleName, ConnectionId, PoolName, TeamName, VariableKey};

use super::document::{Node, Origin, Value};

/// Where relative paths begin: those of the file beside it, those of the environment where the command runs.
#[derive(Debug, Clone)]
pub(crate) struct Bases {
    pub(crate) file: PathBuf,
    pub(crate) environment: PathBuf,
}

/// A value that an option can have.
pub(crate) trait Setting: Sized {
    /// What may be written, for the reference.
    const KIND: &'static str;
    /// Reads it, or says what is wrong in a clause that follows the option's name.
    fn read(node: &Node, bases: &Bases) -> Result<Self, String>;
    /// As it would be written in TOML; a secret is masked.
    fn show(&self) -> String;
    /// Nothing is set, and nothing stands in for it.
    fn is_unset(&self) -> bool {
        false
    }
}

pub(in crate::config) fn wrong(node: &Node, wanted: &str) -> String {
    let given = match &node.value {
        Value::Text(text) => format!("`{}`", text.escape_debug()),
        Value::Integer(number) => format!("`{number}`"),
        Value::Float(number) => format!("`{number}`"),
        Value::Boolean(value) => format!("`{value}`"),
        Value::Time(text) => format!("`{}`", text.escape_debug()),
        Value::List(_) | Value::Table(_) => node.kind().to_owned(),
    };
    format!("{given} will not do; write {wanted}")
}

/// Text as TOML writes it.
pub(crate) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A number of bytes, written as `64 MiB`, `1.5 GiB`, `10 MB` or a plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ByteSize(u64);

const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl ByteSize {
    pub(crate) const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    pub(crate) const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    pub(crate) const fn gib(count: u64) -> Self {
        Self(count << 30)
    }

    /// In bytes.
    pub(crate) const fn get(self) -> u64 {
        self.0
    }

    /// As a number of bytes of this machine's memory, at most all that it can address.
    pub(crate) fn in_memory(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text
            .find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(digits)?;
        let unit = unit.trim();
        let factor = if unit.is_empty() {
            1
        } else {
            UNITS
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(unit))?
                .1
        };
        let number = number.replace('_', "");
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(factor).map(Self);
        }
        let (whole, fraction) = number.split_once('.')?;
        let scale = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let part = fraction.parse::<u64>().ok()?.checked_mul(factor)? / scale;
        whole
            .parse::<u64>()
            .ok()?
            .checked_mul(factor)?
            .checked_add(part)
            .map(Self)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = UNITS
            .iter()
            .find(|(name, factor)| {
                name.ends_with("iB") && self.0 >= *factor && self.0.is_multiple_of(*factor)
            })
            .copied()
            .unwrap_or(("B", 1));
        write!(f, "{} {unit}", self.0 / factor)
    }
}

impl Setting for ByteSize {
    const KIND: &'static str = "size";
    fn read(node: &Node, _: &Bases) -> Result<Self, String> {
        let size = match &node.value {
            Value::Text(text) => Self::parse(text),
            Value::Integer(number) => u64::try_from(*number).ok().map(Self),
            _ => None,
        };
        size.ok_or_else(|| wrong(node, "a size such as \"64 MiB\""))
    }
    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Setting for Duration {
    const KIND: &'static str = "duration";
    fn read(node: &Node, _: &Bases) -> Result<Self, String> {
        let duration = match &node.value {
            Value::Text(text) => humantime::parse_duration(text).ok(),
            _ => None,
        };
        duration.ok_or_else(|| {
            wrong(
                node,
                "a duration with a unit, such as \"30s\" or \"1h 30m\"",
            )
        })
    }
    /// Long ones in whole days, as their months and years have no length that people know.
    fn show(&self) -> String {
        const DAY: u64 = 86_400;
        let days = self.as_secs() / DAY;
        let whole = self.as_secs().is_multiple_of(DAY) && self.subsec_nanos() == 0;
        match days {
            30.. if whole => quoted(&format!("{days}days")),
            _ => quoted(&humantime::format_duration(*self).to_string()),
        }
    }
}

impl Setting for bool {
    const KIND: &'static str = "true or false";
    fn read(node: &Node, _: &Bases) -> Result<Self, String> {
        let value = match &node.value {
            Value::Boolean(value) => Some(*value),
            Value::Text(text) if node.is_environment() => text.parse().ok(),
            _ => None,
        };
        value.ok_or_else(|| wrong(node, "true or false"))
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

macro_rules! integer {
    ($($type:ty),*) => { $(
        impl Setting for $type {
            const KIND: &'static str = "integer";
            fn read(node: &Node, _: &Bases) -> Result<Self, String> {
                let value = match &node.value {
                    Value::Integer(number) => Self::try_from(*number).ok(),
                    Value::Text(text) if node.is_environment() => text.parse().ok(),
                    _ => None,
                };
                value.ok_or_else(|| wrong(node, &format!("an integer from {} to {}", Self::MIN, Self::MAX)))
            }
            fn show(&self) -> String {
                self.to_string()
            }
        }
    )* };
}
integer!(u16, u32, usize, i32);

macro_rules! parsed {
    ($($type:ty, $kind:literal, $wanted:literal;)*) => { $(
        impl Setting for $type {
            const KIND: &'static str = $kind;
            fn read(node: &Node, _: &Bases) -> Result<Self, String> {
                let Value::Text(text) = &node.value else { return Err(wrong(node, $wanted)) };
                text.parse().map_err(|_| wrong(node, $wanted))
            }
            fn show(&self) -> String {
                quoted(&self.to_string())
            }
        }
    )* };
}
parsed! {
    SocketAddr, "address", "an address and port such as \"127.0.0.1:8080\"";
    TeamName, "name", "a name of letters, digits, `_`, `-` and `.`, at most 250 bytes";
    BundleName, "name", "a name of letters, digits, `_`, `-` and `.`, at most 250 bytes";
    PoolName, "name", "a name of letters, digits, spaces, `_`, `-` and `.`, at most 250 bytes";
    ConnectionId, "name", "an id of letters, digits, `_`, `-`, `.` and `/`, at most 250 bytes";
    VariableKey, "name", "a key of letters, digits, `_`, `-`, `.`, `/` and `:`, at most 250 bytes";
}

impl Setting for String {
    const KIND: &'static str = "text";
    fn read(node: &Node, _: &Bases) -> Result<Self, String> {
        match &node.value {
            Value::Text(text) => Ok(text.clone()),
            _ => Err(wrong(node, "a text in quotes")),
        }
    }
    fn show(&self) -> String {
        quoted(self)
    }
}

impl Setting for PathBuf {
    const KIND: &'static str = "path";
    fn read(node: &Node, bases: &Bases) -> Result<Self, String> {
        match &node.value {
            Value::Text(text) if !text.is_empty() => {
                let base: &Path = match node.origin {
                    Origin::Environment(_) => &bases.environment,
                    _ => &bases.file,
                };
                Ok(base.join(text))
            }
            _ => Err(wrong(node, "a path")),
        }
    }
    fn show(&self) -> String {
        quoted(&self.to_string_lossy())
    }
}

impl Setting for airlock_secret::Order {
    const KIND: &'static str = "list of texts";
    fn read(node: &Node, bases: &Bases) -> Result<Self, String> {
        let names = Vec::<String>::read(node, bases).unwrap_or_default();
        Self::of_names(names.iter().map(String::as_str)).ok_or_else(|| {
            wrong(node, "`configuration`, `files` and `database`, each once, in the order in which they are asked")
        })
    }
    fn show(&self) -> String {
        let names = self.backends().iter().map(|one| one.name().to_owned());
        names.collect::<Vec<_>>().show()
    }
}

impl Setting for Vec<String> {
    const KIND: &'static str = "list of texts";
    fn read(node: &Node, bases: &Bases) -> Result<Self, String> {
        match &node.value {
            Value::List(items) => items.iter().map(|item| String::read(item, bases)).collect(),
            Value::Text(text) if node.is_environment() => Ok(text
                .split(',')
                .map(|part| part.trim().to_owned())
                .filter(|part| !part.is_empty())
                .collect()),
            _ => Err(wrong(node, "a list such as [\"one\", \"two\"]")),
        }
    }
    fn show(&self) -> String {
        let items: Vec<String> = self.iter().map(|item| quoted(item)).collect();
        format!("[{}]", items.join(", "))
    }
}

impl Setting for Vec<PathBuf> {
    const KIND: &'static str = "list of paths";
    fn read(node: &Node, bases: &Bases) -> Result<Self, String> {
        match &node.value {
            Value::List(items) => items
                .iter()
                .map(|item| PathBuf::read(item, bases))
                .collect(),
            // As in PATH.
            Value::Text(text) if node.is_environment() => Ok(std::env::split_paths(text)
                .filter(|path| !path.as_os_str().is_empty())
                .map(|path| bases.environment.join(path))
                .collect()),
            _ => Err(wrong(node, "a list such as [\"/srv/data\"]")),
        }
    }
    fn show(&self) -> String {
        let items: Vec<String> = self.iter().map(Setting::show).collect();
        format!("[{}]", items.join(", "))
    }
}

/// An option that may stay unset.
impl<T: Setting> Setting for Option<T> {
    const KIND: &'static str = T::KIND;
    fn read(node: &Node, bases: &Bases) -> Result<Self, String> {
        T::read(node, bases).map(Some)
    }
    fn show(&self) -> String {
        self.as_ref().map_or_else(|| "unset".to_owned(), T::show)
    }
    fn is_unset(&self) -> bool {
        self.is_none()
    }
}

/// A value that is never shown.
impl Setting for airlock_model::mask::Sensitive {
    const KIND: &'static str = "secret text";
    fn read(node: &Node, _: &Bases) -> Result<Self, String> {
        match &node.value {
            Value::Text(text) => Ok(Self::new(text.as_str())),
            _ => Err("a text in quotes is wanted".to_owned()),
        }
    }
    fn show(&self) -> String {
        quoted("***")
    }
}

/// A choice of few words.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
        pub(crate) enum $name { $($(#[$vdoc])* $variant),* }

        impl $crate::config::value::Setting for $name {
            const KIND: &'static str = concat!("one of", $(" `", $text, "`"),*);
            fn read(node: &$crate::config::document::Node, _: &$crate::config::value::Bases) -> Result<Self, String> {
                match &node.value {
                    $($crate::config::document::Value::Text(text) if text == $text => Ok(Self::$variant),)*
                    _ => Err($crate::config::value::wrong(node, Self::KIND)),
                }
            }
            fn show(&self) -> String {
                match self { $(Self::$variant => $crate::config::value::quoted($text)),* }
            }
        }
    };
}
pub(crate) use choice;
pub(in crate::config) use wrong as wrong_value;

/// What is logged, as a list of levels and modules.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd)]
pub(crate) struct LogFilter(pub(crate) String);

impl Setting for LogFilter {
    const KIND: &'static str = "text";
    fn read(node: &Node, bases: &Bases) -> Result<Self, String> {
        let text = String::read(node, bases)?;
        match tracing_subscriber::EnvFilter::try_new(&text) {
            Ok(_) => Ok(Self(text)),
            Err(_) => Err(wrong(
                node,
                "a filter such as \"info\" or \"info,airlock_scheduler=debug\"",
            )),
        }
    }
    fn show(&self) -> String {
        quoted(&self.0)
    }
}

/// Where the database is. A password in it is never shown.
#[derive(Clone, PartialEq, Eq, PartialOrd)]
pub(crate) struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The whole URL, password included.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// The URL with its password masked.
    pub(crate) fn shown(&self) -> String {
        let Some((scheme, rest)) = self.0.split_once("://") else {
            return self.0.clone();
        };
        let masked = rest.rsplit_once('@').and_then(|(login, host)| {
            let (user, _) = login.split_once(':')?;
            Some(format!("{scheme}://{user}:***@{host}"))
        });
        let shown = masked.unwrap_or_else(|| self.0.clone());
        // A password may also stand in the query.
        match shown.split_once("password=") {
            Some((before, after)) => {
                let rest = after.find('&').and_then(|at| after.get(at..)).unwrap_or("");
                format!("{before}password=***{rest}")
            }
            None => shown,
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl From<String> for DatabaseUrl {
    fn from(url: String) -> Self {
        Self(url)
    }
}

impl Setting for DatabaseUrl {
    const KIND: &'static str = "URL";
    fn read(node: &Node, _: &Bases) -> Result<Self, String> {
        match &node.value {
            Value::Text(text)
                if ["sqlite:", "postgres:", "postgresql:"]
                    .iter()
                    .any(|scheme| text.starts_with(scheme)) =>
            {
                Ok(Self(text.clone()))
            }
            // The value may hold a password, so it is not repeated.
            _ => Err(
                "this will not do; write \"sqlite:PATH\" or \"postgres://USER:PASSWORD@HOST/DATABASE\""
                    .to_owned(),
            ),
        }
    }
    fn show(&self) -> String {
        quoted(&self.shown())
    }
}
