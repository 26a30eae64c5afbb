//! Which files of a directory somebody waits for.
//!
//! A pattern is looked at part by part, as a path is: it cannot say anything that leads out of its directory, and
//! what it is held against is one name at a time.

/// The longest pattern, in bytes.
const MAX_BYTES: usize = 1000;
/// The most parts that a pattern may have: each is a directory to look through.
const MAX_PARTS: usize = 16;
/// What is shown of a text that is no pattern, in characters.
const SHOWN: usize = 80;

/// A text that names no files.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "AL-0435: `{}` names no files: {why}; write a path in the directory, such as `*.csv` or `2012/*/in.csv`",
    text.escape_debug()
)]
pub struct PatternError {
    text: String,
    why: &'static str,
}

/// A path in a directory, in which `*` stands for any text without a slash and `?` for one such character. Every
/// other character is itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePattern(Vec<PatternPart>);

/// What stands between two slashes of a pattern: neither empty nor `.` nor `..`, and without a slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatternPart {
    /// This name.
    Name(String),
    /// Names that look like this.
    Like(String),
}

impl FilePattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// A [`PatternError`] that says what is wrong: it is empty or has more than 1,000 bytes or 16 parts, one of its
    /// parts is empty, `.` or `..`, or there is a character in it that no name has.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let wrong = |why| PatternError {
            text: text.chars().take(SHOWN).collect(),
            why,
        };
        if text.len() > MAX_BYTES {
            return Err(wrong("it has more than 1000 bytes"));
        }
        if text.starts_with('/') {
            return Err(wrong("it begins with a slash"));
        }
        if text.contains('\0') {
            return Err(wrong("it has a character that no name has"));
        }
        if text.split('/').count() > MAX_PARTS {
            return Err(wrong("it has more than 16 parts"));
        }
        let part = |part: &str| match part {
            "" => Err(wrong("it is empty, or one of its parts is")),
            "." | ".." => Err(wrong("it has `.` or `..` as a part")),
            part if part.contains(['*', '?']) => Ok(PatternPart::Like(part.to_owned())),
            part => Ok(PatternPart::Name(part.to_owned())),
        };
        let parts = text.split('/').map(part).collect::<Result<_, _>>()?;
        Ok(Self(parts))
    }

    /// Its parts, from the directory inwards; at least one.
    #[must_use]
    pub fn parts(&self) -> &[PatternPart] {
        &self.0
    }

    /// Whether this path, with slashes, is one that it names.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let mut names = path.split('/');
        self.0
            .iter()
            .all(|part| names.next().is_some_and(|name| part.matches(name)))
            && names.next().is_none()
    }
}

impl PatternPart {
    /// Whether this name, of one entry of a directory, is one that it means.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        if matches!(name, "" | "." | "..") || name.contains('/') {
            return false;
        }
        match self {
            Self::Name(own) => own == name,
            Self::Like(pattern) => like(pattern, name),
        }
    }
}

/// Walks through both at once. When they part, the last star takes one character more: so it needs no more steps
/// than the lengths of both multiplied.
fn like(pattern: &str, name: &str) -> bool {
    let (mut wanted, mut rest) = (pattern.chars(), name.chars());
    // What comes after the last star, and what of the name is left if that star stands for nothing more.
    let mut star = None;
    loop {
        let mut next = wanted.clone();
        let sign = next.next();
        if sign == Some('*') {
            wanted = next;
            star = Some((wanted.clone(), rest.clone()));
            continue;
        }
        let mut after = rest.clone();
        match (sign, after.next()) {
            (None, None) => return true,
            (Some(sign), Some(found)) if sign == '?' || sign == found => {
                (wanted, rest) = (next, after);
            }
            _ => {
                let Some((behind, mut left)) = star else {
                    return false;
                };
                if left.next().is_none() {
                    return false;
                }
                (wanted, rest) = (behind.clone(), left.clone());
                star = Some((behind, left));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stars_stand_for_any_text_and_question_marks_for_a_character_but_not_for_slashes() {
        for (pattern, path, matches) in [
            ("a.csv", "a.csv", true),
            ("a.csv", "a.csv.part", false),
            ("*.csv", "a.csv", true),
            ("*.csv", ".csv", true),
            ("*.csv", "a.csv/b.csv", false),
            ("*", "a/b", false),
            ("*/*.csv", "in/a.csv", true),
            ("*/*.csv", "a.csv", false),
            ("2012-??-*.csv", "2012-01-x.csv", true),
            ("2012-??-*.csv", "2012-1-x.csv", false),
            ("?", "ä", true),
            ("??", "ä", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("*a*", "bab", true),
            ("**", "anything", true),
            ("??", "..", false),
            ("*", ".", false),
            ("*", "", false),
            ("[ab]", "a", false),
            (r"\*", r"\x", true),
        ] {
            let read = FilePattern::new(pattern).unwrap();
            assert_eq!(read.matches(path), matches, "{pattern} {path}");
        }
    }

    #[test]
    fn what_leads_elsewhere_or_nowhere_is_no_pattern() {
        let (long, deep) = ("x".repeat(1001), vec!["a"; 17].join("/"));
        for (text, part) in [
            ("", "empty"),
            ("/etc/passwd", "begins with a slash"),
            ("../*", "`..`"),
            ("a/../b", "`..`"),
            ("./a", "`.`"),
            ("a//b", "empty"),
            ("a/", "empty"),
            ("a\0b", "no name has"),
            (long.as_str(), "1000 bytes"),
            (deep.as_str(), "16 parts"),
        ] {
            let error = FilePattern::new(text).unwrap_err().to_string();
            assert!(error.contains("AL-0435"), "{error}");
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    /// Every way to let each star stand for something, for comparison.
    fn slowly(pattern: &[char], name: &[char]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, left) => left.is_none(),
            (Some(('*', rest)), _) => (0..=name.len()).any(|taken| slowly(rest, &name[taken..])),
            (Some((sign, rest)), Some((found, left))) => {
                (*sign == '?' || sign == found) && slowly(rest, left)
            }
            (Some(_), None) => false,
        }
    }

    proptest! {
        #[test]
        fn a_pattern_means_what_its_stars_can_stand_for(
            pattern in "[ab*?]{1,8}",
            name in "[ab]{1,10}",
        ) {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let expected = slowly(&chars(&pattern), &chars(&name));
            prop_assert_eq!(FilePattern::new(&pattern).unwrap().matches(&name), expected);
        }

        #[test]
        fn no_pattern_names_a_path_that_leads_out(pattern in "[a./*?\\\\]{1,12}", path in "[a./]{1,12}") {
            let leads_out = path.starts_with('/') || path.split('/').any(|part| matches!(part, "" | "." | ".."));
            if let Ok(pattern) = FilePattern::new(&pattern) {
                prop_assert!(!leads_out || !pattern.matches(&path));
            }
        }
    }
}
