//! Paths of URLs, in the one spelling that is compared.

use std::borrow::Cow;

use super::TargetError;

/// Checks a path and gives the spelling that is compared: hexadecimal digits of encoded characters in
/// capitals, and `*` encoded, which in a pattern means something else.
pub(super) fn checked(path: &str) -> Result<String, TargetError> {
    let wrong = |problem| TargetError::new(path, problem);
    if !path.starts_with('/') {
        return Err(wrong("a path begins with `/`"));
    }
    if !path.bytes().all(|byte| matches!(byte, b'!'..=b'~')) {
        return Err(wrong(
            "a path has visible ASCII characters only; encode others with `%`",
        ));
    }
    if path.contains(['\\', '#', '?', '"', '<', '>', '`', '{', '}', '^', '|']) {
        return Err(wrong(
            "this character has no place in a path; encode it with `%`",
        ));
    }
    if !triplets_are_whole(path) {
        return Err(wrong("`%` is followed by two hexadecimal digits"));
    }
    for segment in path.split('/') {
        let plain = decoded(segment);
        if plain.iter().any(|byte| matches!(byte, b'/' | b'\\' | 0)) {
            return Err(wrong("an encoded slash, backslash or zero is not accepted"));
        }
        // Some servers cut a segment's parameters off before they resolve `..`.
        let name = plain.split(|&byte| byte == b';').next().unwrap_or_default();
        if name == b"." || name == b".." {
            return Err(wrong("a path must not climb with `.` or `..`"));
        }
    }
    Ok(canonical(path))
}

fn canonical(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut digits = 0;
    for c in path.chars() {
        match c {
            '*' => out.push_str("%2A"),
            c if digits > 0 => out.push(c.to_ascii_uppercase()),
            c => out.push(c),
        }
        digits = if c == '%' { 2 } else { digits.max(1) - 1 };
    }
    out
}

fn triplets_are_whole(path: &str) -> bool {
    path.split('%').skip(1).all(|rest| {
        rest.as_bytes()
            .get(..2)
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// The segment with its encoded characters decoded, again and again until none is left: a server behind a
/// proxy may see the result of the second decoding.
fn decoded(segment: &str) -> Cow<'_, [u8]> {
    let mut bytes = Cow::Borrowed(segment.as_bytes());
    while let Some(next) = decoded_once(&bytes) {
        bytes = Cow::Owned(next);
    }
    bytes
}

/// None where there is nothing to decode. Otherwise the result is shorter, so that repetition ends.
fn decoded_once(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    let mut changed = false;
    while let Some((&first, tail)) = rest.split_first() {
        let value = (first == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .and_then(hex);
        match (value, tail.get(2..)) {
            (Some(value), Some(after)) => {
                out.push(value);
                rest = after;
                changed = true;
            }
            _ => {
                out.push(first);
                rest = tail;
            }
        }
    }
    changed.then_some(out)
}

fn hex(digits: &[u8]) -> Option<u8> {
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
