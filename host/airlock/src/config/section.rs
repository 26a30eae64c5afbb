//! The form in which options are declared: once, as a table that is the struct, its defaults, its reader and
//! its page of the reference.

use std::ops::RangeInclusive;

use super::value::Setting;

/// A section of the file, for the reference.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    /// As it stands in the file: `[server]` or `[[team]]`.
    pub(crate) header: &'static str,
    /// What it is for.
    pub(crate) doc: String,
    /// Its options, in order.
    pub(crate) options: Vec<OptionDoc>,
}

/// An option, for the reference.
#[derive(Debug, Clone)]
pub(crate) struct OptionDoc {
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) doc: String,
    /// What may be written.
    pub(crate) kind: String,
    /// What is in force when nothing is set.
    pub(crate) default: Given,
    /// Something that could be written, as TOML.
    pub(crate) example: String,
}

/// What an option is when nobody sets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Given {
    /// It has to be set.
    Required,
    /// It is left out.
    Unset,
    /// This value, as TOML.
    Value(String),
}

impl OptionDoc {
    /// An option with a default.
    pub(crate) fn with_default<T: Setting>(
        name: &'static str,
        doc: String,
        default: &T,
        range: Option<&RangeInclusive<T>>,
    ) -> Self {
        let range =
            range.map(|range| format!(", {} to {}", range.start().show(), range.end().show()));
        let (default, example) = if default.is_unset() {
            (Given::Unset, example_of(T::KIND).to_owned())
        } else {
            (Given::Value(default.show()), default.show())
        };
        Self {
            name,
            doc,
            kind: format!("{}{}", T::KIND, range.unwrap_or_default()),
            default,
            example,
        }
    }

    /// An option without one.
    pub(crate) fn new(
        name: &'static str,
        kind: &str,
        default: Given,
        example: &str,
        doc: impl Into<String>,
    ) -> Self {
        Self {
            name,
            doc: doc.into(),
            kind: kind.to_owned(),
            default,
            example: example.to_owned(),
        }
    }
}

/// Something of this kind, where no default can serve as the example.
fn example_of(kind: &str) -> &'static str {
    match kind {
        "duration" => "\"2h\"",
        "integer" => "16",
        "list of texts" => "[\"default_pool\"]",
        "regular expression" => "\"payments_[a-z_]+\"",
        "URL" => "\"postgres://airlock@localhost/airlock\"",
        _ => "\"bundles\"",
    }
}

/// Declares a section whose options all have defaults:
/// `name: type = default, in range;`, with doc comments that become the reference.
macro_rules! section {
    (
        $(#[doc = $doc:literal])*
        $name:ident in $header:literal {
            $( $(#[doc = $odoc:literal])* $option:ident: $type:ty = $default:expr $(, in $range:expr)?; )*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub(crate) struct $name {
            $( $(#[doc = $odoc])* pub(crate) $option: $type, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $option: $default, )* }
            }
        }

        impl $name {
            /// The section as the reference shows it.
            pub(crate) fn section() -> $crate::config::section::Section {
                $crate::config::section::Section {
                    header: $header,
                    doc: [$($doc.trim()),*].join(" "),
                    options: vec![$(
                        $crate::config::section::OptionDoc::with_default::<$type>(
                            stringify!($option),
                            [$($odoc.trim()),*].join(" "),
                            &$default,
                            $crate::config::section::section!(@range $type $(, $range)?),
                        ),
                    )*],
                }
            }

            /// Reads the section; what is not set is taken from `otherwise`, which is named for `config list`.
            pub(crate) fn read(
                mut reader: $crate::config::reader::Reader<'_>,
                otherwise: Self,
                inherited: Option<&'static str>,
            ) -> Self {
                let read = Self {
                    $( $option: reader.option(
                        stringify!($option),
                        $crate::config::section::section!(@range $type $(, $range)?),
                        otherwise.$option,
                        inherited,
                    ), )*
                };
                reader.finish();
                read
            }
        }
    };
    (@range $type:ty) => { None::<&std::ops::RangeInclusive<$type>> };
    (@range $type:ty, $range:expr) => { Some(&$range) };
}
pub(crate) use section;
