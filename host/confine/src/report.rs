//! What a process got of what it asked for, in one sentence for each layer.

use std::fmt;

use crate::Gap;

/// A layer of the wall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// Programs that are started get no rights that this process has not.
    Privileges,
    /// Landlock: files, signals and abstract sockets.
    Files,
    /// Filters of system calls.
    Calls,
}

impl Layer {
    const ALL: [Self; 3] = [Self::Privileges, Self::Files, Self::Calls];
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Privileges => "no new privileges",
            Self::Files => "Landlock",
            Self::Calls => "system call filter",
        })
    }
}

/// How a layer stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// All that was asked for holds.
    Whole,
    /// It holds, but for what the text says.
    Partial(String),
    /// It does not hold, for the reason that the text says.
    Missing(String),
}

/// How much of the wall there has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Required {
    /// What the kernel gives.
    None,
    /// Each layer, if only in part.
    Partial,
    /// Each layer as a whole, without gaps.
    Full,
}

impl fmt::Display for Required {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Partial => "partial",
            Self::Full => "full",
        })
    }
}

/// The wall is lower than it has to be.
#[derive(Debug, thiserror::Error)]
#[error(
    "AL-0120: `require_hardening` of [security] is \"{required}\", and this host cannot restrict itself so far: {lacking}; run it where the kernel allows it (Linux 6.12 or later with `landlock` among its security modules, and no container profile that takes it away), or require less"
)]
pub struct TooSoft {
    required: Required,
    /// One clause for each layer.
    lacking: String,
}

/// What a process got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    layers: [Standing; 3],
    gaps: Vec<Gap>,
}

impl Report {
    /// Of the layers in their order.
    pub(crate) const fn new(layers: [Standing; 3], gaps: Vec<Gap>) -> Self {
        Self { layers, gaps }
    }

    /// No layer holds.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn nothing(reason: &str) -> Self {
        let missing = || Standing::Missing(reason.to_owned());
        Self::new([missing(), missing(), missing()], Vec::new())
    }

    /// Each layer, and how it stands.
    pub fn layers(&self) -> impl Iterator<Item = (Layer, &Standing)> {
        Layer::ALL.into_iter().zip(&self.layers)
    }

    /// Places that were not there to be named when the wall was built.
    #[must_use]
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// The layers that hold, for one line of a log.
    #[must_use]
    pub fn holding(&self) -> String {
        let words = self
            .layers()
            .filter_map(|(layer, standing)| match standing {
                Standing::Whole => Some(layer.to_string()),
                Standing::Partial(_) => Some(format!("{layer} (in part)")),
                Standing::Missing(_) => None,
            });
        let words: Vec<String> = words.collect();
        match words.as_slice() {
            [] => "nothing".to_owned(),
            words => words.join(", "),
        }
    }

    /// A sentence for each layer that does not hold as a whole.
    pub fn lacking(&self) -> impl Iterator<Item = String> {
        self.layers()
            .filter_map(|(layer, standing)| match standing {
                Standing::Whole => None,
                Standing::Partial(but) => Some(format!("{layer}: in part: {but}")),
                Standing::Missing(why) => Some(format!("{layer}: not there: {why}")),
            })
    }

    /// Whether there is as much as there has to be.
    ///
    /// # Errors
    /// [`TooSoft`], which names what is missing.
    pub fn require(&self, required: Required) -> Result<(), TooSoft> {
        let is_missing = |standing: &Standing| matches!(standing, Standing::Missing(_));
        let enough = match required {
            Required::None => true,
            Required::Partial => !self.layers.iter().any(is_missing),
            Required::Full => {
                self.layers.iter().all(|layer| *layer == Standing::Whole)
                    && self.gaps.iter().all(|gap| gap.opened.is_none())
            }
        };
        if enough {
            return Ok(());
        }
        let gaps = self.gaps.iter().map(ToString::to_string);
        let lacking: Vec<String> = match required {
            Required::Full => self.lacking().chain(gaps).collect(),
            _ => self.lacking().collect(),
        };
        Err(TooSoft {
            required,
            lacking: lacking.join("; "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(files: Standing, gaps: Vec<Gap>) -> Report {
        Report::new([Standing::Whole, files, Standing::Whole], gaps)
    }

    #[test]
    fn what_is_required_and_not_there_is_refused_with_its_reason() {
        let whole = report(Standing::Whole, vec![]);
        let old = report(Standing::Partial("an old kernel".into()), vec![]);
        let none = report(Standing::Missing("no Landlock".into()), vec![]);
        for required in [Required::None, Required::Partial, Required::Full] {
            assert!(whole.require(required).is_ok());
            assert_eq!(old.require(required).is_ok(), required != Required::Full);
            assert_eq!(none.require(required).is_ok(), required == Required::None);
        }
        let refusal = none.require(Required::Full).unwrap_err().to_string();
        assert!(refusal.starts_with("AL-0120: "), "{refusal}");
        assert!(
            refusal.contains("Landlock: not there: no Landlock"),
            "{refusal}"
        );
        assert!(!refusal.contains("system call filter"), "{refusal}");
        assert_eq!(none.holding(), "no new privileges, system call filter");
    }

    #[test]
    fn a_gap_is_no_full_wall_and_a_place_out_of_reach_is() {
        let gap = |opened: Option<&str>| Gap {
            path: "/srv/data/later".into(),
            opened: opened.map(Into::into),
        };
        let open = report(Standing::Whole, vec![gap(Some("/srv/data"))]);
        assert!(open.require(Required::Partial).is_ok());
        let refusal = open.require(Required::Full).unwrap_err().to_string();
        assert!(refusal.contains("/srv/data/later"), "{refusal}");
        let closed = report(Standing::Whole, vec![gap(None)]);
        assert!(closed.require(Required::Full).is_ok());
    }
}
