//! How text that somebody else wrote is shown: escaped, and not longer than it needs to be.

use std::fmt::Write as _;

/// How many characters of a guest's word are shown.
pub(crate) const SHOWN_CHARS: usize = 120;

/// The text with control and other unprintable characters escaped, cut after [`SHOWN_CHARS`].
pub(crate) fn shown(text: &str) -> String {
    let mut chars = text.chars();
    let mut shown: String = chars
        .by_ref()
        .take(SHOWN_CHARS)
        .flat_map(char::escape_debug)
        .collect();
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}

/// The text as a TOML basic string, with its quotes; printable ASCII stays as it is.
pub(crate) fn toml_string(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            ' '..='~' => quoted.push(c),
            c => {
                let _ = write!(quoted, "\\U{:08X}", u32::from(c));
            }
        }
    }
    quoted.push('"');
    quoted
}

/// Several texts as a TOML array on one line.
pub(crate) fn toml_array<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = texts.into_iter().map(toml_string).collect();
    format!("[{}]", quoted.join(", "))
}
