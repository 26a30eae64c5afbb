//! The commands that the guides and the help show: each is one that this program understands.

use std::{collections::BTreeSet, fs, path::Path};

use clap::{CommandFactory as _, error::ErrorKind};

use super::Cli;

/// The pages, from the top of the checkout.
const PAGES: [&str; 9] = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "bundles/rates/README.md",
    "bundles/weather/README.md",
    "docs/author.md",
    "docs/errors.md",
    "docs/operator.md",
    "docs/reviewer.md",
];

fn page(name: &str) -> String {
    let top = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    fs::read_to_string(top.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The words of each command of a shell's line that calls `airlock`.
fn calls(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::<String>::new()];
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars().chain(['\n']) {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() || ";|&".contains(c) => {
                if let Some(words) = commands.last_mut() {
                    words.extend(word.take());
                }
                if ";|&".contains(c) {
                    commands.push(Vec::new());
                }
            }
            (None, '#') if word.is_none() => break,
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    let is_assignment = |word: &String| {
        let name = word.split('=').next().unwrap_or_default();
        word.contains('=') && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
    };
    (commands.into_iter())
        .map(|words| {
            let words = words.into_iter().skip_while(is_assignment);
            words
                .take_while(|word| !["<", ">", "2>"].contains(&word.as_str()))
                .collect()
        })
        .filter(|words: &Vec<String>| words.first().is_some_and(|first| first == "airlock"))
        .collect()
}

/// The lines that a page's blocks show to be typed, with those that go on behind a `\`.
fn typed(page: &str) -> Vec<String> {
    let mut typed: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in page.lines() {
        let shown = match (goes_on, line.trim_start().strip_prefix("$ ")) {
            (true, _) => line,
            (false, Some(rest)) => {
                typed.push(String::new());
                rest
            }
            (false, None) => continue,
        };
        goes_on = shown.ends_with('\\');
        if let Some(last) = typed.last_mut() {
            last.push_str(shown.trim_end_matches('\\'));
        }
    }
    typed
}

/// Commands that stand between backticks in a sentence.
fn mentioned(page: &str) -> impl Iterator<Item = &str> {
    let sentences = page.split("```").step_by(2);
    sentences
        .flat_map(|text| text.split('`').skip(1).step_by(2))
        .filter(|code| code.starts_with("airlock "))
}

/// The last lines of each command's help that show how to call it.
fn examples(command: &clap::Command, found: &mut Vec<String>) {
    for help in [command.get_after_help(), command.get_after_long_help()] {
        let text = help.map(ToString::to_string).unwrap_or_default();
        let lines = text
            .lines()
            .filter_map(|line| line.strip_prefix("  airlock "));
        found.extend(lines.map(|line| match line.split_once("   ") {
            Some((call, _says)) => format!("airlock {call}"),
            None => format!("airlock {line}"),
        }));
    }
    command
        .get_subcommands()
        .for_each(|command| examples(command, found));
}

/// Why a call is not understood; `whole`: nothing that it needs may be left out.
fn mistake(words: &[String], whole: bool) -> Option<String> {
    let error = Cli::command().try_get_matches_from(words).err()?;
    let left_out = [
        ErrorKind::MissingRequiredArgument,
        ErrorKind::MissingSubcommand,
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
    ];
    let fine = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => true,
        kind => !whole && left_out.contains(&kind),
    };
    (!fine).then(|| format!("{}\n{error}", words.join(" ")))
}

#[test]
fn every_command_that_the_guides_and_the_help_show_is_understood() {
    let (mut shown, mut named) = (BTreeSet::new(), BTreeSet::new());
    for name in PAGES {
        let page = page(name);
        shown.extend(typed(&page).iter().flat_map(|line| calls(line)));
        named.extend(mentioned(&page).flat_map(calls));
    }
    let mut helps = Vec::new();
    examples(&Cli::command(), &mut helps);
    assert!(
        shown.len() > 20,
        "the guides' blocks are not read: {shown:?}"
    );
    assert!(
        named.len() > 10,
        "the guides' sentences are not read: {named:?}"
    );
    assert!(
        helps.len() > 20,
        "the help's examples are not read: {helps:?}"
    );
    shown.extend(helps.iter().flat_map(|line| calls(line)));
    let wrong = shown.iter().filter_map(|words| mistake(words, true));
    let wrong: Vec<_> = wrong
        .chain(named.iter().filter_map(|words| mistake(words, false)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_lines_calls_are_found_as_a_shell_finds_them() {
    let words = |line| {
        let calls = calls(line);
        calls
            .iter()
            .map(|words| words.join("|"))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        words("A_B=c airlock x 'y z' --p - < f && cd x; airlock z  # airlock no"),
        ["airlock|x|y z|--p|-", "airlock|z"]
    );
    assert_eq!(words("echo airlock"), Vec::<String>::new());
    assert!(mistake(&calls("airlock dags nothing")[0], false).is_some());
    assert!(mistake(&calls("airlock dags list --nothing")[0], false).is_some());
    assert!(mistake(&calls("airlock dags pause")[0], true).is_some());
    assert!(mistake(&calls("airlock dags pause")[0], false).is_none());
}
