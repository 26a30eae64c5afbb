//! All secrets of a mask, found in one pass over a text.
//!
//! The automaton knows only how each secret begins, so that it stays small whatever a secret's length; what
//! follows is compared. Somebody who knows a secret could write a text in which that takes for ever: it is done so
//! long, and then the rest of the text counts as secret.

use std::{collections::BTreeSet, ops::Range, sync::Arc};

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use super::Sensitive;

/// How much of a secret the automaton knows, in bytes. Longer than the part that tokens of one kind share.
const HEAD_BYTES: usize = 48;
/// Comparisons for each byte of a text, and so many besides.
const EFFORT: usize = 256;

/// How the secrets begin, and those that begin so.
pub(super) struct Index {
    /// None if there is more of it than can be built: then everything is secret.
    automaton: Option<AhoCorasick>,
    begin: Vec<Vec<Arc<Sensitive>>>,
}

fn bytes(secret: &Arc<Sensitive>) -> &[u8] {
    secret.reveal().as_bytes()
}

fn head(secret: &Arc<Sensitive>) -> &[u8] {
    let all = bytes(secret);
    all.get(..HEAD_BYTES).unwrap_or(all)
}

impl Index {
    pub(super) fn new(secrets: &BTreeSet<Arc<Sensitive>>) -> Self {
        let mut begin: Vec<Vec<Arc<Sensitive>>> = Vec::new();
        // In their order, those that begin alike stand together.
        for secret in secrets {
            match begin.last_mut() {
                Some(alike) if alike.first().map(head) == Some(head(secret)) => {
                    alike.push(Arc::clone(secret));
                }
                _ => begin.push(vec![Arc::clone(secret)]),
            }
        }
        let heads = begin.iter().filter_map(|alike| alike.first()).map(head);
        let automaton = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(heads)
            .ok();
        Self { automaton, begin }
    }

    /// Adds where secrets of at least so many bytes are, also where they overlap.
    pub(super) fn find(&self, text: &[u8], least: usize, found: &mut Vec<Range<usize>>) {
        let Some(automaton) = &self.automaton else {
            found.push(0..text.len());
            return;
        };
        // Almost never is there one, and to find that out is cheaper than to find all.
        if !automaton.is_match(text) {
            return;
        }
        let mut effort = EFFORT.saturating_mul(text.len() + EFFORT);
        for hit in automaton.find_overlapping_iter(text) {
            let here = text.get(hit.start()..).unwrap_or_default();
            let beginning = self.begin.get(hit.pattern().as_usize());
            for secret in beginning.into_iter().flatten() {
                let secret = bytes(secret);
                let alike = secret.iter().zip(here).take_while(|(a, b)| a == b).count();
                if alike == secret.len() && alike >= least {
                    found.push(hit.start()..hit.start() + alike);
                }
                let Some(left) = effort.checked_sub(alike) else {
                    found.push(hit.start()..text.len());
                    return;
                };
                effort = left;
            }
        }
    }

    /// Adds where, at the end of the text, secrets of at least so many bytes have begun and go on.
    pub(super) fn begun(&self, text: &[u8], least: usize, begun: &mut Vec<Range<usize>>) {
        let all = self.begin.iter().flatten().map(bytes);
        for secret in all.filter(|secret| secret.len() >= least) {
            let longest = text.len().min(secret.len().saturating_sub(1));
            let length = (1..=longest).rev().find(|&length| {
                secret
                    .get(..length)
                    .is_some_and(|head| text.ends_with(head))
            });
            begun.extend(length.map(|length| text.len() - length..text.len()));
        }
    }
}
