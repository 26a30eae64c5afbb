//! The ways in which a text may encode another: escapes of JSON and of programming languages, percent signs,
//! base64 and hexadecimal. Each reading knows where in the text its bytes come from.

use std::ops::Range;

use super::{MIN_ENCODED_BYTES, MIN_MASKED_BYTES};

/// Digits of base64 that the shortest secret takes.
const BASE64_RUN: usize = (MIN_ENCODED_BYTES * 4).div_ceil(3);
/// Digits of hexadecimal that the shortest secret takes.
const HEX_RUN: usize = 2 * MIN_ENCODED_BYTES;

/// What a text, or a part of it, encodes.
pub(super) struct Reading {
    bytes: Vec<u8>,
    origin: Origin,
}

enum Origin {
    /// Piece by piece, in order: escapes, and what stands between them for itself.
    Escapes(Vec<Piece>),
    /// Three bytes are four digits. As if `missing` stood before `start`; padding may stand at `end`.
    Base64 {
        missing: usize,
        start: usize,
        end: usize,
        padding: usize,
    },
    /// A byte is two digits, from here.
    Hex(usize),
}

struct Piece {
    /// Where it begins in the reading.
    at: usize,
    /// Where it begins in the text.
    from: usize,
    /// How long it is there if it is one escape; none if it stands for itself.
    escape: Option<usize>,
}

impl Reading {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The shortest secret that is looked for in it.
    pub(super) const fn least(&self) -> usize {
        match self.origin {
            Origin::Escapes(_) => MIN_MASKED_BYTES,
            Origin::Base64 { .. } | Origin::Hex(_) => MIN_ENCODED_BYTES,
        }
    }

    /// Where in the text a range of the reading, which is not empty, comes from: every character that has part in it.
    pub(super) fn origin(&self, range: Range<usize>) -> Range<usize> {
        let last = range.end.saturating_sub(1);
        match &self.origin {
            Origin::Escapes(pieces) => {
                let place = |at: usize| {
                    let index = pieces.partition_point(|piece| piece.at <= at);
                    let piece = index.checked_sub(1).and_then(|index| pieces.get(index));
                    piece.map_or(at..at + 1, |piece| match piece.escape {
                        Some(length) => piece.from..piece.from + length,
                        None => piece.from + (at - piece.at)..piece.from + (at - piece.at) + 1,
                    })
                };
                place(range.start).start..place(last).end
            }
            Origin::Base64 {
                missing,
                start,
                end,
                padding,
            } => {
                let digit =
                    |byte: usize| start + (byte / 3 * 4 + byte % 3).saturating_sub(*missing);
                let after = start + (last / 3 * 4 + last % 3 + 2).saturating_sub(*missing);
                let after = if after >= *end { end + padding } else { after };
                digit(range.start)..after
            }
            Origin::Hex(start) => start + 2 * range.start..start + 2 * range.end,
        }
    }
}

/// Every reading of the text that may hold a secret.
pub(super) fn readings(text: &[u8], see: &mut dyn FnMut(&Reading)) {
    for reading in [
        unescaped(text, b'\\', backslash),
        unescaped(text, b'%', percent),
    ] {
        reading.iter().for_each(&mut *see);
    }
    for run in runs(text, BASE64_RUN, |byte| base64_digit(byte).is_some()) {
        let digits = text.get(run.clone()).unwrap_or_default();
        let after = text.get(run.end..).unwrap_or_default();
        let padding = after
            .iter()
            .take(2)
            .take_while(|&&byte| byte == b'=')
            .count();
        // What stands before it may be digits too, and its own beginning may be cut off.
        for missing in 0..4 {
            see(&Reading {
                bytes: base64(missing, digits),
                origin: Origin::Base64 {
                    missing,
                    start: run.start,
                    end: run.end,
                    padding,
                },
            });
        }
        for part in runs(digits, HEX_RUN, |byte| byte.is_ascii_hexdigit()) {
            let start = run.start + part.start;
            let digits = digits.get(part).unwrap_or_default();
            for skipped in 0..2 {
                see(&Reading {
                    bytes: hex(digits.get(skipped..).unwrap_or_default()),
                    origin: Origin::Hex(start + skipped),
                });
            }
        }
    }
}

/// The longest parts of the text, of at least so many bytes, that are all digits.
fn runs(
    text: &[u8],
    least: usize,
    is_digit: impl Fn(u8) -> bool,
) -> impl Iterator<Item = Range<usize>> {
    let mut end = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = text.get(end..)?;
            let start = end + rest.iter().position(|&byte| is_digit(byte))?;
            let run = text.get(start..)?;
            let length = run.iter().position(|&byte| !is_digit(byte));
            end = start + length.unwrap_or(run.len());
            if end - start >= least {
                return Some(start..end);
            }
        }
    })
}

/// Six bits, in the standard alphabet or the one for URLs.
const fn base64_digit(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

/// Reads digits as if so many zeros stood before them.
fn base64(zeros: usize, digits: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity((zeros + digits.len()) * 3 / 4);
    bytes.resize(zeros * 6 / 8, 0);
    let (mut bits, mut unread) = (0u32, zeros * 6 % 8);
    for &digit in digits {
        bits = bits << 6 | u32::from(base64_digit(digit).unwrap_or(0));
        unread += 6;
        if let Some(rest) = unread.checked_sub(8) {
            bytes.extend((bits >> rest).to_le_bytes().first());
            unread = rest;
        }
    }
    bytes
}

fn hex_digit(byte: u8) -> Option<u32> {
    char::from(byte).to_digit(16)
}

fn hex(digits: &[u8]) -> Vec<u8> {
    let pairs = digits.chunks_exact(2);
    pairs
        .filter_map(|pair| u8::try_from(number(pair)?).ok())
        .collect()
}

/// The value of up to eight hexadecimal digits.
fn number(digits: &[u8]) -> Option<u32> {
    let digits = (1..=8).contains(&digits.len()).then_some(digits)?;
    digits
        .iter()
        .try_fold(0, |value: u32, &digit| Some(value << 4 | hex_digit(digit)?))
}

/// What one escape stands for.
enum Meaning {
    Byte(u8),
    Character(char),
}

/// The text with every escape that begins with this byte replaced by what it stands for; none if there is none.
/// `read` is given what follows the sign, and says how much of that belongs to the escape.
fn unescaped(
    text: &[u8],
    sign: u8,
    read: fn(&[u8]) -> Option<(Meaning, usize)>,
) -> Option<Reading> {
    let mut bytes = Vec::new();
    let mut pieces = Vec::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(rest) = text.get(at..) {
        let Some(found) = rest.iter().position(|&byte| byte == sign) else {
            break;
        };
        let from = at + found;
        at = from + 1;
        let Some((meaning, length)) = text.get(at..).and_then(read) else {
            continue;
        };
        at += length;
        pieces.push(Piece {
            at: bytes.len(),
            from: copied,
            escape: None,
        });
        bytes.extend_from_slice(text.get(copied..from).unwrap_or_default());
        pieces.push(Piece {
            at: bytes.len(),
            from,
            escape: Some(at - from),
        });
        match meaning {
            Meaning::Byte(byte) => bytes.push(byte),
            Meaning::Character(character) => {
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        copied = at;
    }
    if pieces.is_empty() {
        return None;
    }
    pieces.push(Piece {
        at: bytes.len(),
        from: copied,
        escape: None,
    });
    bytes.extend_from_slice(text.get(copied..).unwrap_or_default());
    Some(Reading {
        bytes,
        origin: Origin::Escapes(pieces),
    })
}

/// What follows a percent sign.
fn percent(after: &[u8]) -> Option<(Meaning, usize)> {
    let byte = u8::try_from(number(after.get(..2)?)?).ok()?;
    Some((Meaning::Byte(byte), 2))
}

/// What follows a backslash: an escape of JSON, or of a programming language's debug output.
fn backslash(after: &[u8]) -> Option<(Meaning, usize)> {
    let byte = match after.first()? {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'b' => 8,
        b'f' => 12,
        b'0' => 0,
        b'x' => {
            let byte = u8::try_from(number(after.get(1..3)?)?).ok()?;
            return Some((Meaning::Byte(byte), 3));
        }
        b'u' => {
            let (character, length) = unicode(after)?;
            return Some((Meaning::Character(character), length));
        }
        &same @ (b'"' | b'\'' | b'\\' | b'/') => same,
        _ => return None,
    };
    Some((Meaning::Byte(byte), 1))
}

/// `uXXXX`, two of them for a character beyond 16 bits, or `u{X…}`.
fn unicode(after: &[u8]) -> Option<(char, usize)> {
    if after.get(1) == Some(&b'{') {
        let end = after.iter().take(9).position(|&byte| byte == b'}')?;
        let character = char::from_u32(number(after.get(2..end)?)?)?;
        return Some((character, end + 1));
    }
    let first = number(after.get(1..5)?)?;
    if let Some(character) = char::from_u32(first) {
        return Some((character, 5));
    }
    let low = after.get(5..7)? == b"\\u";
    let second = number(after.get(7..11)?).filter(|_| low)?;
    let pair = [u16::try_from(first).ok()?, u16::try_from(second).ok()?];
    let character = char::decode_utf16(pair).next()?.ok()?;
    Some((character, 11))
}
