//! `airlock bundle diff`: what a reviewer of a new version has to read.

use std::{fmt::Write as _, path::Path, process::ExitCode};

use airlock_server::review::{Change, Comparison, ImportChange, Surplus, Version};

use super::inspect::{functions, read};
use crate::{
    error::CliError,
    output::{self, Format, line, print_json, size},
};

pub(super) fn run(
    format: Format,
    old: &Path,
    new: &Path,
    tell_by_exit_code: bool,
) -> Result<ExitCode, CliError> {
    let comparison = Comparison::new(&read(old)?, &read(new)?).map_err(CliError::room)?;
    match format {
        Format::Json => print_json(&comparison)?,
        Format::Table => output::print(&page(&comparison))?,
    }
    Ok(match tell_by_exit_code && comparison.is_wider {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

/// The page, for people. Everything that the bundles wrote is escaped.
fn page(comparison: &Comparison) -> String {
    let (old, new) = (&comparison.old, &comparison.new);
    let mut page = String::new();
    let _ = writeln!(page, "- {}\n+ {}\n", head(old), head(new));
    if old.name != new.name {
        page.push_str("these are two bundles, not two versions of one\n");
    }
    page.push_str(match (comparison.is_wider, old.hash == new.hash) {
        (_, true) => "the same file twice\n",
        (true, _) => "asks for more: whoever approved the first has not approved this\n",
        (false, _) => "asks for nothing more\n",
    });
    let mut part = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            let _ = writeln!(page, "\n  {title}\n{}", lines.join("\n"));
        }
    };
    let (added, removed) = (&comparison.added, &comparison.removed);
    part("asks for", both(added, removed, |of| &of.asks_for, change));
    part("imports", both(added, removed, |of| &of.imports, import));
    part(
        "phases",
        both(added, removed, |of| &of.phases, |phase| line(phase)),
    );
    page
}

fn head(version: &Version) -> String {
    let hash: String = version.hash.chars().take(8).collect();
    let mut head = vec![
        format!("{} {}", line(&version.name), line(&version.version)),
        format!("b3:{hash}…"),
        size(version.size),
    ];
    head.extend(version.made_with.iter().map(|tool| line(tool)));
    head.join("   ")
}

/// What came and what went, a line each.
fn both<T>(
    added: &Surplus,
    removed: &Surplus,
    of: impl Fn(&Surplus) -> &Vec<T>,
    show: impl Fn(&T) -> String,
) -> Vec<String> {
    let lines = |sign: char, all: &Surplus| -> Vec<String> {
        let all = of(all).iter();
        all.map(|one| format!("    {sign} {}", show(one))).collect()
    };
    [lines('+', added), lines('-', removed)].concat()
}

fn change(change: &Change) -> String {
    let reason = change.reason.as_ref();
    let reason = reason.map(|reason| format!("  ({})", line(reason)));
    let phases = match change.phases.as_slice() {
        [] => String::new(),
        phases => format!("  in {}", phases.join(", ")),
    };
    format!(
        "{}{phases}{}",
        line(&change.asks_for),
        reason.unwrap_or_default()
    )
}

fn import(import: &ImportChange) -> String {
    let functions = functions(&import.functions);
    let meaning = import.meaning.as_deref().unwrap_or("unknown to this host");
    format!("{}  {meaning}{functions}", line(&import.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(version: &str, hash: char) -> Version {
        Version {
            name: "ledger".into(),
            version: version.into(),
            hash: hash.to_string().repeat(64),
            size: 2048,
            made_with: vec!["Rust 1.95".into()],
        }
    }

    #[test]
    fn the_page_says_first_whether_it_asks_for_more_and_nothing_controls_the_terminal() {
        let comparison = Comparison {
            old: version("1.0.0", 'a'),
            new: version("1.1.0\u{1b}[2J", 'b'),
            is_wider: true,
            added: Surplus {
                asks_for: vec![Change {
                    kind: "http".into(),
                    asks_for: "POST https://bank.example/refunds".into(),
                    phases: vec!["task".into()],
                    reason: Some("\u{202e}refunds".into()),
                }],
                imports: vec![ImportChange {
                    name: "wasi:http/outgoing-handler@0.2.12".into(),
                    functions: vec!["handle".into()],
                    meaning: Some("calls granted URLs".into()),
                }],
                phases: vec!["callback".into()],
            },
            removed: Surplus {
                asks_for: vec![Change {
                    kind: "variable".into(),
                    asks_for: "variable `old`".into(),
                    phases: vec!["parse".into(), "task".into()],
                    reason: None,
                }],
                ..Surplus::default()
            },
        };
        let expected = "\
- ledger 1.0.0   b3:aaaaaaaa…   2.0 KiB   Rust 1.95
+ ledger 1.1.0\\u{1b}[2J   b3:bbbbbbbb…   2.0 KiB   Rust 1.95

asks for more: whoever approved the first has not approved this

  asks for
    + POST https://bank.example/refunds  in task  (\\u{202e}refunds)
    - variable `old`  in parse, task

  imports
    + wasi:http/outgoing-handler@0.2.12  calls granted URLs (handle)

  phases
    + callback
";
        assert_eq!(page(&comparison), expected);
        let same = Comparison {
            is_wider: false,
            new: version("1.0.0", 'a'),
            added: Surplus::default(),
            removed: Surplus::default(),
            ..comparison
        };
        assert!(
            page(&same).ends_with("\n\nthe same file twice\n"),
            "{}",
            page(&same)
        );
    }
}
