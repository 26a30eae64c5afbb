//! What a server says back of the credential that it was sent: nothing of that reaches the bundle.
//!
//! Servers repeat requests in error pages, in redirects, in debugging aids. So whatever comes back is looked through for
//! what was sent, as it is and in the spellings that programs give it, also where it is cut in two on its way; it is
//! replaced by as many asterisks. A server that hands it out in a spelling of its own is not stopped by this.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use airlock_grant::port::EgressError;
use airlock_model::mask::MIN_MASKED_BYTES;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame};

use super::body::Incoming;

/// The spellings of what was sent, the longest first.
pub(super) struct Echo(Vec<Vec<u8>>);

impl Echo {
    /// Of these. Those that are too short to be told from other words are left alone, as everywhere.
    pub(super) fn new(secrets: &[String]) -> Self {
        let mut forms: Vec<Vec<u8>> = Vec::new();
        for secret in secrets.iter().filter(|one| one.len() >= MIN_MASKED_BYTES) {
            forms.extend(spellings(secret));
        }
        forms.sort_by(|a, b| (b.len(), b).cmp(&(a.len(), a)));
        forms.dedup();
        Self(forms)
    }

    /// Replaces what is there of it, in place; true where there was any.
    fn hush(&self, text: &mut [u8]) -> bool {
        let mut any = false;
        for form in &self.0 {
            let mut from = 0;
            while let Some(at) = text.get(from..).and_then(|rest| find(rest, form)) {
                let end = from + at + form.len();
                if let Some(found) = text.get_mut(from + at..end) {
                    found.fill(b'*');
                }
                (from, any) = (end, true);
            }
        }
        any
    }

    /// How many of the last bytes could be the beginning of it.
    fn begun(&self, text: &[u8]) -> usize {
        let longest = self.0.first().map_or(0, Vec::len);
        let most = longest.saturating_sub(1).min(text.len());
        let begins = |length: &usize| {
            let end = text.get(text.len() - length..).unwrap_or_default();
            self.0
                .iter()
                .any(|form| form.len() > *length && form.starts_with(end))
        };
        (1..=most).rev().find(begins).unwrap_or(0)
    }

    /// Takes it out of a response's headers.
    pub(super) fn hush_headers(&self, headers: &mut HeaderMap) {
        for value in headers.values_mut() {
            let mut bytes = value.as_bytes().to_vec();
            if self.hush(&mut bytes) {
                *value = HeaderValue::from_bytes(&bytes).unwrap_or(HeaderValue::from_static("***"));
            }
        }
    }
}

fn find(text: &[u8], form: &[u8]) -> Option<usize> {
    let first = form.first()?;
    let mut from = 0;
    loop {
        let rest = text.get(from..)?;
        let at = from + rest.iter().position(|byte| byte == first)?;
        match text.get(at..at + form.len()) {
            None => return None,
            Some(there) if there == form => return Some(at),
            Some(_) => from = at + 1,
        }
    }
}

/// A secret as it is, and as programs write it: in JSON, in URLs, in hexadecimal digits, in base64.
fn spellings(secret: &str) -> Vec<Vec<u8>> {
    let quoted = serde_json::to_string(secret).unwrap_or_default();
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut all = vec![
        secret.to_owned(),
        quoted.trim_matches('"').to_owned(),
        hex.to_uppercase(),
        hex,
    ];
    for kept in ["", "-._~", "-._~!$&'()*+,;=:@/"] {
        all.push(escaped(secret, |byte| format!("%{byte:02X}"), kept));
        all.push(escaped(secret, |byte| format!("%{byte:02x}"), kept));
    }
    all.push(escaped(secret, |byte| format!("%{byte:02X}"), "-._~*").replace("%20", "+"));
    // In a longer text it begins at any of three places of a group; the characters at its ends depend on its neighbours.
    for before in 0..3usize {
        let padded = [vec![0; before], secret.as_bytes().to_vec()].concat();
        let first = (before * 8).div_ceil(6);
        let last = padded.len() * 8 / 6;
        for encoded in [
            STANDARD_NO_PAD.encode(&padded),
            URL_SAFE_NO_PAD.encode(&padded),
        ] {
            all.extend(encoded.get(first..last).map(str::to_owned));
        }
    }
    let long = all
        .into_iter()
        .filter(|form| form.len() >= MIN_MASKED_BYTES);
    long.map(String::into_bytes).collect()
}

/// As a URL writes it, where letters, digits and `kept` stay as they are.
fn escaped(secret: &str, write: impl Fn(u8) -> String, kept: &str) -> String {
    let stays = |byte: u8| byte.is_ascii_alphanumeric() || kept.as_bytes().contains(&byte);
    let one = |byte: u8| match stays(byte) {
        true => char::from(byte).to_string(),
        false => write(byte),
    };
    secret.bytes().map(one).collect()
}

/// A response's body without echoes. What may be the beginning of one waits for what comes after it.
pub(super) struct Hushed {
    body: Incoming,
    echo: std::sync::Arc<Echo>,
    held: Vec<u8>,
    ended: bool,
}

impl Hushed {
    pub(super) const fn new(body: Incoming, echo: std::sync::Arc<Echo>) -> Self {
        Self {
            body,
            echo,
            held: Vec::new(),
            ended: false,
        }
    }
}

impl Body for Hushed {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        let this = &mut *self;
        while !this.ended {
            match Pin::new(&mut this.body).poll_frame(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Err(error))) => {
                    this.ended = true;
                    this.held.clear();
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(None) => this.ended = true,
                // Trailers have no other place where they would be looked through.
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    this.held.extend_from_slice(&data);
                }
            }
            this.echo.hush(&mut this.held);
            let wait = match this.ended {
                true => 0,
                false => this.echo.begun(&this.held),
            };
            let rest = this.held.split_off(this.held.len() - wait);
            let ready = std::mem::replace(&mut this.held, rest);
            if !ready.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(ready.into()))));
            }
        }
        Poll::Ready(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "s3Cr3t/\"key+é";

    fn hushed(text: &[u8]) -> Vec<u8> {
        let mut text = text.to_vec();
        Echo::new(&[SECRET.to_owned()]).hush(&mut text);
        text
    }

    #[test]
    fn an_echo_is_replaced_in_each_spelling_by_as_many_asterisks() {
        let hex: String = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
        for form in [
            SECRET.to_owned(),
            "s3Cr3t/\\\"key+é".to_owned(),
            "s3Cr3t%2F%22key%2B%C3%A9".to_owned(),
            "s3Cr3t%2f%22key%2b%c3%a9".to_owned(),
            hex.to_uppercase(),
            hex,
        ] {
            let text = hushed(format!("<{form}>").as_bytes());
            let expected = format!("<{}>", "*".repeat(form.len()));
            assert_eq!(String::from_utf8(text).unwrap(), expected, "{form}");
        }
        assert_eq!(hushed(b"s3Cr3t"), b"s3Cr3t");
        assert_eq!(
            hushed(SECRET.repeat(2).as_bytes()),
            b"*".repeat(2 * SECRET.len())
        );
        let nothing = Echo::new(&["abcd".to_owned()]);
        assert!(nothing.0.is_empty());
    }

    proptest! {
        #[test]
        fn wherever_a_secret_stands_in_what_is_encoded_nothing_of_it_can_be_read(
            before in proptest::collection::vec(any::<u8>(), 0..9),
            after in proptest::collection::vec(any::<u8>(), 0..9),
            url_safe in any::<bool>(),
        ) {
            let whole = [&before, SECRET.as_bytes(), &after].concat();
            let engine = if url_safe { URL_SAFE_NO_PAD } else { STANDARD_NO_PAD };
            let text = hushed(engine.encode(&whole).as_bytes());
            prop_assert!(text.contains(&b'*'));
            let left: Vec<u8> = text.iter().map(|b| if *b == b'*' { b'A' } else { *b }).collect();
            let read = engine.decode(left).unwrap();
            for part in SECRET.as_bytes().windows(3) {
                prop_assert!(!read[before.len()..before.len() + SECRET.len()].windows(3).any(|w| w == part));
            }
        }

        #[test]
        fn what_is_cut_anywhere_is_hushed_as_a_whole_and_all_else_comes_through(
            cuts in proptest::collection::btree_set(0usize..60, 0..8),
        ) {
            let text = format!("begin s3 {SECRET} s3Cr {SECRET}{SECRET} s3Cr3t/\"key+ end s3");
            let echo = Echo::new(&[SECRET.to_owned()]);
            let (mut held, mut out, mut from) = (Vec::new(), Vec::new(), 0);
            let ends = cuts.into_iter().filter(|cut| *cut < text.len()).chain([text.len()]);
            for end in ends {
                held.extend_from_slice(&text.as_bytes()[from..end]);
                from = end;
                echo.hush(&mut held);
                let wait = echo.begun(&held);
                let rest = held.split_off(held.len() - wait);
                out.extend(std::mem::replace(&mut held, rest));
            }
            out.extend(held);
            prop_assert_eq!(out, hushed(text.as_bytes()));
        }
    }
}
