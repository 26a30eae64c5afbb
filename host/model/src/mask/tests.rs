//! What is left of a text that held a secret, in whatever way it was written.

use proptest::prelude::*;

use super::*;

fn mask(secrets: &[&str]) -> Mask {
    let mut mask = Mask::default();
    secrets.iter().for_each(|secret| mask.add(secret));
    mask
}

/// Written out bit by bit, as independent of the code under test as can be.
fn base64(bytes: &[u8], url: bool, padded: bool) -> String {
    let last = if url { "-_" } else { "+/" };
    let alphabet: Vec<char> = ('A'..='Z')
        .chain('a'..='z')
        .chain('0'..='9')
        .chain(last.chars())
        .collect();
    let bits: Vec<bool> = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1))
        .collect();
    let mut text: String = bits
        .chunks(6)
        .map(|six| {
            (0..6).fold(0, |value, at| {
                value << 1 | usize::from(*six.get(at).unwrap_or(&false))
            })
        })
        .map(|value| alphabet[value])
        .collect();
    while padded && !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

fn unbase64(text: &[u8]) -> Vec<u8> {
    let bits: Vec<bool> = text
        .iter()
        .filter_map(|&byte| {
            Some(match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' | b'-' => 62,
                b'/' | b'_' => 63,
                _ => return None,
            })
        })
        .flat_map(|six| (0..6).rev().map(move |bit| six >> bit & 1 == 1))
        .collect();
    let byte = |bits: &[bool]| {
        bits.iter()
            .fold(0, |value, bit| value << 1 | u8::from(*bit))
    };
    bits.chunks_exact(8).map(byte).collect()
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Encoding {
    Base64 { url: bool, padded: bool },
    Hex { upper: bool },
    Percent { all: bool, upper: bool, form: bool },
    Json { ascii: bool },
    Debug,
}

impl Encoding {
    fn write(self, text: &str) -> String {
        match self {
            Self::Base64 { url, padded } => base64(text.as_bytes(), url, padded),
            Self::Hex { upper } => (text.bytes())
                .map(|byte| match upper {
                    true => format!("{byte:02X}"),
                    false => format!("{byte:02x}"),
                })
                .collect(),
            Self::Percent { all, upper, form } => (text.bytes())
                .map(|byte| match byte {
                    b' ' if form => "+".to_owned(),
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' if !all => char::from(byte).to_string(),
                    _ if upper => format!("%{byte:02X}"),
                    _ => format!("%{byte:02x}"),
                })
                .collect(),
            Self::Json { ascii: false } => serde_json::to_string(text).unwrap(),
            Self::Json { ascii: true } => text
                .encode_utf16()
                .map(|unit| format!("\\u{unit:04x}"))
                .collect(),
            Self::Debug => format!("{text:?}"),
        }
    }

    /// All that can be read in a piece of such a text, from wherever one begins.
    fn read(self, text: &[u8]) -> Vec<Vec<u8>> {
        let from = |start: usize| text.get(start..).unwrap_or_default();
        match self {
            Self::Base64 { .. } => (0..4).map(|start| unbase64(from(start))).collect(),
            Self::Hex { .. } => (0..2)
                .map(|start| {
                    from(start)
                        .chunks_exact(2)
                        .filter_map(|pair| {
                            u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()
                        })
                        .collect()
                })
                .collect(),
            Self::Percent { .. } => vec![each(text, |rest| {
                let digits = rest.strip_prefix(b"%")?.get(..2)?;
                let byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
                Some((vec![byte], 3))
            })],
            Self::Json { .. } | Self::Debug => vec![each(text, |rest| {
                // The longest beginning that is a text by itself: `\ud83d` is none without what follows.
                [12, 6, 2].into_iter().find_map(|length| {
                    let escape = std::str::from_utf8(rest.get(..length)?).ok()?;
                    let one = escape.starts_with('\\').then(|| format!("\"{escape}\""))?;
                    let read: String = serde_json::from_str(&one).ok()?;
                    (read.chars().count() == 1).then(|| (read.into_bytes(), length))
                })
            })],
        }
    }
}

fn each(text: &[u8], read: impl Fn(&[u8]) -> Option<(Vec<u8>, usize)>) -> Vec<u8> {
    let (mut out, mut at) = (Vec::new(), 0);
    while at < text.len() {
        let (bytes, length) = read(&text[at..]).unwrap_or_else(|| (vec![text[at]], 1));
        out.extend(bytes);
        at += length;
    }
    out
}

fn pieces(text: &str) -> Vec<Vec<u8>> {
    text.split(MASKED)
        .map(|piece| piece.as_bytes().to_vec())
        .collect()
}

/// The longest part of the secret that stands in one of the texts, in bytes.
fn left(secret: &str, texts: &[Vec<u8>]) -> usize {
    let secret = secret.as_bytes();
    let stands = |part: &[u8]| {
        texts
            .iter()
            .any(|text| text.windows(part.len()).any(|w| w == part))
    };
    (1..=secret.len())
        .take_while(|&length| secret.windows(length).any(stands))
        .last()
        .unwrap_or(0)
}

fn encoding() -> impl Strategy<Value = Encoding> {
    prop_oneof![
        any::<(bool, bool)>().prop_map(|(url, padded)| Encoding::Base64 { url, padded }),
        any::<bool>().prop_map(|upper| Encoding::Hex { upper }),
        any::<(bool, bool, bool)>().prop_map(|(all, upper, form)| Encoding::Percent {
            all,
            upper,
            form
        }),
        any::<bool>().prop_map(|ascii| Encoding::Json { ascii }),
        Just(Encoding::Debug),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn nothing_of_a_secret_can_be_read_wherever_it_stands_in_what_was_encoded(
        secret in "[A-M0-9\"/%+& äß€😀\n'=]{8,40}",
        before in "[n-z:;,.]{0,20}",
        after in "[n-z:;,.]{0,20}",
        encoding in encoding(),
        around in "[ :=(\"]{0,2}",
    ) {
        let mask = mask(&[&secret]);
        let text = format!("{around}{}", encoding.write(&format!("{before}{secret}{after}")));
        let masked = mask.apply(&text);
        let readable: Vec<_> = pieces(&masked).iter().flat_map(|piece| encoding.read(piece)).collect();
        prop_assert!(masked.contains(MASKED), "{text} became {masked}");
        prop_assert!(left(&secret, &readable) < 6, "{text} became {masked}");
        prop_assert!(left(&secret, &pieces(&masked)) < 6, "{text} became {masked}");
    }

    #[test]
    fn nothing_of_a_secret_can_be_read_that_was_encoded_twice(
        secret in "[A-M0-9\"/%+& äß€]{8,40}",
        before in "[n-z:;,.]{0,20}",
        after in "[n-z:;,.]{0,20}",
        inner in encoding(),
        outer in encoding(),
    ) {
        let mask = mask(&[&secret]);
        let text = outer.write(&inner.write(&format!("{before}{secret}{after}")));
        let masked = mask.apply(&text);
        let readable: Vec<_> = pieces(&masked)
            .iter()
            .flat_map(|piece| outer.read(piece))
            .flat_map(|piece| inner.read(&piece))
            .collect();
        prop_assert!(left(&secret, &readable) < 6, "{text} became {masked}");
    }

    #[test]
    fn a_text_that_comes_in_pieces_tells_no_more_than_one_that_comes_whole(
        secret in "[A-M0-9\"/%+& äß€]{8,40}",
        before in "[n-z:;,.]{0,60}",
        after in "[n-z:;,.]{0,60}",
        encoding in encoding(),
        cut in 0usize..500,
    ) {
        let mask = mask(&[&secret]);
        let text = encoding.write(&format!("{before}{secret}{after}"));
        let whole = text.as_bytes();
        let first = &whole[..cut.min(whole.len())];
        let sure = first.len() - mask.unsure(first);
        let told: Vec<_> = [&whole[..sure], &whole[sure..]]
            .iter()
            .flat_map(|part| pieces(&mask.apply(&String::from_utf8_lossy(part))))
            .flat_map(|piece| encoding.read(&piece))
            .collect();
        prop_assert!(left(&secret, &told) < 6, "{text} cut at {sure}: {told:?}");
    }

    #[test]
    fn what_holds_no_secret_stays_as_it_is(text in "(?s).{0,200}") {
        let mask = mask(&["correct horse", "battery/staple+9"]);
        prop_assert_eq!(mask.apply(&text), text.as_str());
    }
}

#[test]
fn secrets_vanish_from_text_also_when_json_escaped_or_nested() {
    let mut mask = mask(&["hunter2!", "long \"hunter2!\" secret"]);
    assert_eq!(mask.apply("pw=hunter2!, all"), "pw=***, all");
    assert_eq!(
        mask.apply(r#"{"x":"long \"hunter2!\" secret"}"#),
        r#"{"x":"***"}"#
    );
    assert_eq!(mask.apply("nothing"), "nothing");
    mask.add("1");
    assert_eq!(mask.apply("11"), "11");
    assert_eq!(format!("{:?}", Sensitive::new("x")), "***");
}

#[test]
fn secrets_that_overlap_leave_nothing_of_either() {
    let mask = mask(&["abcdefgh", "efghijklmno", "efghi"]);
    assert_eq!(mask.apply("<abcdefghijklmno>"), "<***>");
    assert_eq!(mask.apply("abcdefghabcdefgh"), "******");
}

#[test]
fn what_basic_authentication_sends_is_masked_with_its_padding() {
    let mask = mask(&["correct horse"]);
    // "me:correct horse"
    assert_eq!(
        mask.apply("Authorization: Basic bWU6Y29ycmVjdCBob3JzZQ=="),
        "Authorization: Basic bWU6***"
    );
    assert_eq!(mask.apply("q=correct+horse&x=1"), "q=***&x=1");
    assert_eq!(mask.apply("636F727265637420686F727365."), "***.");
}

#[test]
fn a_short_secret_is_masked_where_it_can_be_read_and_not_in_what_may_be_a_word() {
    let mask = mask(&["hello"]);
    let encoded = base64(b"hello", false, true);
    assert_eq!(mask.apply(&encoded), encoded);
    assert_eq!(mask.apply("hello %68ello hell\\u006f"), "*** *** ***");
}

#[test]
fn a_long_secret_is_compared_to_its_end() {
    let long: String = (0..100_000).map(|number| format!("{number},")).collect();
    let mask = mask(&[&long]);
    assert_eq!(mask.apply(&format!("<{long}>")), "<***>");
    let almost = long.replace("99999,", "99999!");
    assert_eq!(mask.apply(&almost), almost);
}

#[test]
fn whoever_makes_the_comparison_dear_is_shown_less() {
    let secret = format!("{}!", "secret-".repeat(100_000));
    let almost = secret.replace('!', "?");
    let masked = mask(&[&secret]).apply(&almost).into_owned();
    assert!(masked.len() < almost.len() / 10, "{}", masked.len());
}

#[test]
fn the_beginning_of_a_secret_at_the_end_of_a_piece_is_held_back() {
    let secret = "a secret of many bytes ".repeat(20);
    let mask = mask(&[&secret]);
    let text = format!("{}<{}", ".".repeat(1000), &secret[..300]);
    assert_eq!(mask.unsure(text.as_bytes()), 300);
    let text = format!("{}<{secret}>", ".".repeat(1000));
    assert_eq!(mask.unsure(text.as_bytes()), secret.len() + 1);
    assert_eq!(mask.unsure(&[b'.'; 1000]), UNREADABLE_BYTES);
    assert_eq!(mask.unsure(b"short"), 5);
    assert_eq!(Mask::default().unsure(b"anything"), 0);
}

#[test]
fn a_mask_tells_what_it_holds_to_nobody_but_by_name() {
    let mask = mask(&["hunter2!"]);
    assert!(mask.holds("hunter2!") && !mask.holds("hunter2"));
    assert_eq!(format!("{mask:?}"), "Mask(1 values)");
}
