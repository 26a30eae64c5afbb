//! Masking: what a try was told in confidence must not come out in its log, its XComs or its errors.
//!
//! The mask holds the secrets that were revealed to one try and replaces each occurrence by `***`, also where it
//! overlaps another, and also where the text is encoded. It does not look for what a secret would look like when
//! encoded: it decodes the text in every way that `encoding` knows, at every alignment, up to two ways
//! in one another, looks for the secret itself in what comes out, and masks what it came from. So it does not
//! matter what stands before a secret in a longer encoding (`user:password`, say), nor which of its characters an
//! encoder thought worth escaping.
//!
//! Values shorter than [`MIN_MASKED_BYTES`] are left alone, as Airflow does: masking `1` would only garble the
//! text. This is a guard against accidents. Code that wants to tell a secret can turn it around, split it, or
//! encode it in a way of its own.

mod encoding;
mod index;

use std::{
    borrow::Cow,
    collections::BTreeSet,
    fmt,
    ops::Range,
    sync::{Arc, OnceLock},
};

use zeroize::Zeroize as _;

use self::index::Index;

/// Shorter values are not masked (Airflow 3.3.2, `min_length_to_mask` of its secrets masker).
pub const MIN_MASKED_BYTES: usize = 5;
/// Shorter values are not looked for in base64 and hexadecimal. Both readings are tried on words that are
/// neither, and what comes out is arbitrary bytes: 64 bits of them are a secret by no accident, 40 might be.
pub const MIN_ENCODED_BYTES: usize = 8;
/// How many encodings may be in one another: base64 in a JSON text in a JSON text, or percent signs in it.
const DEPTH: usize = 2;
/// So many bytes at the end of an unfinished text may begin a secret of which nothing can be read yet: the digits of
/// hexadecimal that are too few, each written as `\u00ff`.
const UNREADABLE_BYTES: usize = 12 * MIN_ENCODED_BYTES;
/// What may be broken off at its end: an escape.
const ESCAPE_BYTES: usize = 16;
/// How many bytes a byte may become: `\u00ff`, with each of these characters written as `%ff`.
const EXPANSION: usize = 18;
/// What stands for a secret.
const MASKED: &str = "***";

/// A value that must not be shown: it has no `Display`, its `Debug` is `***`, and it is wiped when it is dropped.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sensitive(String);

impl Sensitive {
    /// Takes the value into custody.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value. Whoever calls this answers for where it goes.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Sensitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASKED)
    }
}

impl Drop for Sensitive {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The secrets revealed to one try.
#[derive(Clone, Default)]
pub struct Mask {
    secrets: BTreeSet<Arc<Sensitive>>,
    /// Made when it is first asked for after a change.
    index: OnceLock<Arc<Index>>,
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mask({} values)", self.secrets.len())
    }
}

impl Mask {
    /// From now on this value is masked.
    pub fn add(&mut self, secret: &str) {
        if secret.len() < MIN_MASKED_BYTES {
            return;
        }
        let mut changed = self.secrets.insert(Arc::new(Sensitive::new(secret)));
        if secret.contains(' ') {
            // As a form writes it; the rest of its encoding is percent signs.
            let form = Sensitive::new(secret.replace(' ', "+"));
            changed |= self.secrets.insert(Arc::new(form));
        }
        if changed {
            self.index = OnceLock::new();
        }
    }

    /// Whether exactly this value is masked.
    #[must_use]
    pub fn holds(&self, value: &str) -> bool {
        self.secrets.contains(&Sensitive::new(value))
    }

    /// The text with every secret replaced; borrowed when there is none in it.
    #[must_use]
    pub fn apply<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let found = self.found(text.as_bytes());
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut masked = String::with_capacity(text.len());
        let mut end = 0;
        for range in found {
            let start = text.floor_char_boundary(range.start).max(end);
            masked.push_str(text.get(end..start).unwrap_or_default());
            masked.push_str(MASKED);
            end = text.ceil_char_boundary(range.end);
        }
        masked.push_str(text.get(end..).unwrap_or_default());
        Cow::Owned(masked)
    }

    /// How many bytes at the end of a text that goes on must be kept back: they may be the beginning of a secret,
    /// or the end of one.
    #[must_use]
    pub fn unsure(&self, text: &[u8]) -> usize {
        let Some(longest) = self.secrets.iter().map(|one| one.reveal().len()).max() else {
            return 0;
        };
        let unreadable = text.len().saturating_sub(UNREADABLE_BYTES);
        let from = text
            .len()
            .saturating_sub(longest.saturating_mul(EXPANSION) + UNREADABLE_BYTES);
        let mut cut = unreadable;
        // The text may end within an escape, which cannot be read and is in the way of what stands before it.
        for end in text.len().saturating_sub(ESCAPE_BYTES)..=text.len() {
            let mut begun = Vec::new();
            let tail = text.get(from..end).unwrap_or_default();
            self.read(tail, MIN_MASKED_BYTES, 0, &mut begun, Index::begun);
            // Where a reading ends before the text does, what follows is not part of it.
            let begun = begun.iter().filter(|range| from + range.end >= unreadable);
            cut = begun.map(|range| from + range.start).fold(cut, usize::min);
        }
        for whole in self.found(text).iter().rev() {
            if whole.contains(&cut) {
                cut = whole.start;
            }
        }
        text.len() - cut
    }

    /// Where there are secrets, in order; ranges that overlap are one.
    fn found(&self, text: &[u8]) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        self.read(text, MIN_MASKED_BYTES, 0, &mut found, Index::find);
        found.sort_unstable_by_key(|range| (range.start, range.end));
        found.dedup_by(|next, last| {
            let one = next.start < last.end;
            if one {
                last.end = last.end.max(next.end);
            }
            one
        });
        found
    }

    /// Looks at the text, and at whatever it may encode. `look` is told the shortest secret that counts there.
    fn read(
        &self,
        text: &[u8],
        least: usize,
        depth: usize,
        found: &mut Vec<Range<usize>>,
        look: fn(&Index, &[u8], usize, &mut Vec<Range<usize>>),
    ) {
        if self.secrets.is_empty() || text.len() < MIN_MASKED_BYTES {
            return;
        }
        let index = self
            .index
            .get_or_init(|| Arc::new(Index::new(&self.secrets)));
        look(index, text, least, found);
        if depth == DEPTH {
            return;
        }
        encoding::readings(text, &mut |reading| {
            let mut inside = Vec::new();
            let least = least.max(reading.least());
            self.read(reading.bytes(), least, depth + 1, &mut inside, look);
            found.extend(inside.into_iter().map(|range| reading.origin(range)));
        });
    }
}

#[cfg(test)]
mod tests;
