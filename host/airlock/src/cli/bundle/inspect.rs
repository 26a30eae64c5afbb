//! `airlock bundle inspect`: the reviewer's page.

use std::{fmt::Write as _, fs, path::Path};

use airlock_bundle::{DEFAULT_MAX_BYTES, Inspection, inspect};
use airlock_grant::{Grant, Kind};
use airlock_model::id::TeamName;
use airlock_server::review::{CANNOT, Granted, Holding, Review};

use serde::Serialize;

use super::{
    approved::{Approved, Since},
    html,
    signature::Vouching,
};
use crate::{
    api_client::path,
    cli::Common,
    config::Config,
    error::CliError,
    output::{self, Format, line, print_json, size},
};

/// What the bytes of a file tell.
pub(super) fn read(file: &Path) -> Result<Inspection, CliError> {
    let metadata = fs::metadata(file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            CliError::NotFound(format!("there is no file `{}`", file.display()))
        }
        _ => CliError::file("the component", file, &error),
    })?;
    if !metadata.is_file() {
        return Err(CliError::Usage(format!(
            "`{}` is not a file",
            file.display()
        )));
    }
    if metadata.len() > DEFAULT_MAX_BYTES {
        return Err(CliError::room(airlock_bundle::InspectError::TooLarge {
            bytes: metadata.len(),
            limit: DEFAULT_MAX_BYTES,
        }));
    }
    let bytes = fs::read(file).map_err(|error| CliError::file("the component", file, &error))?;
    inspect(&bytes, DEFAULT_MAX_BYTES).map_err(CliError::room)
}

pub(super) async fn run(common: &Common, file: &Path, html: bool) -> Result<(), CliError> {
    let inspection = read(file)?;
    let config = common.config()?;
    let approved = Approved::of(common, &inspection).await;
    let since = approved
        .as_ref()
        .and_then(|approved| approved.since.as_ref());
    let review = match of_server(common, &config, &inspection).await {
        Some(review) => review,
        None => {
            let own = file.with_extension("");
            let name = &inspection.manifest.name;
            let granted = configured(&config, &inspection).and_then(|(_, grant)| grant.cloned());
            let granted = granted.or_else(|| approved.as_ref().map(|one| one.grant.clone()));
            let granted = granted.map(|grant| grant.as_shared(name, &config.shares));
            let holding = holding(&config, &inspection, &own, granted.as_ref());
            Review::new(&inspection, holding).map_err(CliError::room)?
        }
    };
    let vouching = Vouching::of(&config, &inspection, file);
    match common.output {
        _ if html => output::print(&html::page(&review, &vouching.line(), since)),
        Format::Json => print_json(&Inspected {
            review: &review,
            signature: &vouching,
            since_approved: since,
        }),
        Format::Table => output::print(&page(&review, &vouching.line(), since)),
    }
}

/// The page as JSON.
#[derive(Serialize)]
struct Inspected<'a> {
    #[serde(flatten)]
    review: &'a Review,
    signature: &'a Vouching,
    since_approved: Option<&'a Since>,
}

/// The page as the running server has it: where no configuration is at hand, and it serves these very bytes.
/// A server that is not there, or does not answer, is none.
async fn of_server(common: &Common, config: &Config, inspection: &Inspection) -> Option<Review> {
    if config.file.is_some() {
        return None;
    }
    let server = common.server().ok()?;
    let path = path(&["bundles", inspection.manifest.name.as_str(), "review"]);
    let review: Review = serde_json::from_value(server.get(&path, &[]).await.ok()?).ok()?;
    (review.hash == inspection.hash.to_string()).then_some(review)
}

/// What the configuration says of this bundle.
fn holding<'a>(
    config: &'a Config,
    inspection: &Inspection,
    own: &'a Path,
    granted: Option<&'a Grant>,
) -> Holding<'a> {
    if config.automatic.is_some() {
        return Holding::Automatic(own);
    }
    match configured(config, inspection) {
        None => Holding::Unknown,
        Some((team, configured)) => match granted {
            Some(grant) if configured.is_none() => Holding::Approved(team, grant),
            Some(grant) => Holding::Granted(team, grant),
            None => Holding::Undecided(team),
        },
    }
}

/// The team that has this bundle, and what the configuration grants it, where it says so.
fn configured<'a>(
    config: &'a Config,
    inspection: &Inspection,
) -> Option<(&'a TeamName, Option<&'a Grant>)> {
    let name = &inspection.manifest.name;
    let mut bundles = config
        .teams
        .iter()
        .flat_map(|team| team.bundles.iter().map(move |bundle| (team, bundle)));
    let found = bundles.find(|(_, bundle)| bundle.name == *name);
    found.map(|(team, bundle)| (&team.name, bundle.grant.as_ref()))
}

/// Functions of one import that are named; of more, only how many there are. JSON has all.
const MOST_FUNCTIONS: usize = 4;

/// The functions of an import in parentheses, or of many how many there are.
pub(super) fn functions(of: &[String]) -> String {
    let functions: Vec<String> = of.iter().map(|name| line(name)).collect();
    match functions.len() {
        0 => String::new(),
        1..=MOST_FUNCTIONS => format!(" ({})", functions.join(", ")),
        many => format!(" ({many} functions)"),
    }
}

/// The page, for people. Everything that the bundle wrote is escaped.
fn page(review: &Review, vouching: &str, since: Option<&Since>) -> String {
    let mut page = String::new();
    let hash: String = review.hash.chars().take(8).collect();
    let mut head = vec![
        format!("{} {}", line(&review.name), line(&review.version)),
        format!("b3:{hash}…"),
        size(review.size),
    ];
    head.extend(review.made_with.iter().map(|tool| line(tool)));
    let _ = writeln!(page, "{}", head.join("   "));
    let grants = match (&review.team_name, review.automatic) {
        (Some(_), true) => {
            "granted what it asks for, since only the default team exists (set [[team]] to change that)".to_owned()
        }
        (Some(team), false) if review.undecided => format!(
            "team {}: what it is granted is decided with `airlock grants`, and the server that knows does not run here",
            line(team)
        ),
        (Some(team), false) => format!("team {}", line(team)),
        (None, _) => "no team's configuration names this bundle: nothing is granted".to_owned(),
    };
    let _ = writeln!(page, "{grants}\n{vouching}\n");
    let mut rows: Vec<[String; 4]> = Vec::new();
    for kind in [
        Kind::Http,
        Kind::Connection,
        Kind::Variable,
        Kind::Directory,
        Kind::Asset,
    ] {
        let asked: Vec<_> = review
            .rows
            .iter()
            .filter(|row| row.kind == kind.as_str())
            .collect();
        if asked.is_empty() {
            rows.push([kind.can(), "–", "–", "–"].map(str::to_owned));
        }
        for (i, row) in asked.into_iter().enumerate() {
            let can = if i == 0 { kind.can() } else { "" };
            let reason = row.reason.as_ref().map(|reason| format!("  ({reason})"));
            rows.push([
                can.to_owned(),
                format!("{}{}", row.asks_for, reason.unwrap_or_default()),
                granted(row.granted).to_owned(),
                if row.phases.is_empty() {
                    "–".to_owned()
                } else {
                    row.phases.join(", ")
                },
            ]);
        }
    }
    rows.push(
        [
            "tell time, random numbers",
            "always (frozen while parsing)",
            "–",
            "task, trigger, callback",
        ]
        .map(str::to_owned),
    );
    let table = output::table(["can, if granted", "asks for", "granted", "phases"], rows);
    for row in table.lines() {
        let _ = writeln!(page, "  {row}");
    }
    if !review.unasked.is_empty() {
        let unasked: Vec<String> = review.unasked.iter().map(|one| line(one)).collect();
        let _ = writeln!(
            page,
            "\n  granted, but not asked for: {}",
            unasked.join("; ")
        );
    }
    let _ = writeln!(page, "\n  cannot: {CANNOT}");
    if let Some(since) = since {
        let _ = writeln!(page, "\n  {}", since.head());
        for one in &since.beyond {
            let _ = writeln!(page, "    + {one}");
        }
    }
    let foreign: Vec<String> = review
        .imports
        .iter()
        .filter(|import| import.standing != "inert")
        .map(|import| {
            let meaning = import.meaning.as_deref().unwrap_or("unknown to this host");
            let functions = functions(&import.functions);
            format!("    {}  {meaning}{functions}\n", line(&import.name))
        })
        .collect();
    if !foreign.is_empty() {
        let _ = write!(
            page,
            "\n  imports, besides what every bundle may:\n{}",
            foreign.concat()
        );
    }
    if !review.refused.is_empty() {
        page.push_str("\n  does not load:\n");
        for reason in &review.refused {
            let reason = output::lines(reason).replace('\n', "\n    ");
            let _ = writeln!(page, "    {reason}");
        }
    }
    page
}

pub(super) const fn granted(granted: Granted) -> &'static str {
    match granted {
        Granted::Yes => "yes",
        Granted::Partly => "partly",
        Granted::No => "no",
        Granted::Unknown => "–",
    }
}

#[cfg(test)]
mod tests {
    use airlock_server::review::{ReviewImport, ReviewRow};

    use super::*;

    #[test]
    fn the_page_says_what_is_asked_for_and_granted_and_nothing_controls_the_terminal() {
        let review = Review {
            name: "ledger".into(),
            version: "2.3.0".into(),
            hash: "51ac09ff".repeat(8),
            size: 1_468_006,
            made_with: vec!["Rust 1.95\u{1b}[2J".into()],
            phases: vec!["parse".into(), "task".into()],
            team_name: Some("payments".into()),
            automatic: false,
            undecided: false,
            rows: vec![
                ReviewRow {
                    kind: "http".into(),
                    can: "call HTTP".into(),
                    asks_for: "POST https://api.bank.example/v1/*".into(),
                    reason: Some("to \u{202e}pay".into()),
                    granted: Granted::Yes,
                    phases: vec!["task".into()],
                },
                ReviewRow {
                    kind: "variable".into(),
                    can: "read variables".into(),
                    asks_for: "ledger.*".into(),
                    reason: None,
                    granted: Granted::No,
                    phases: Vec::new(),
                },
            ],
            imports: vec![ReviewImport {
                name: "evil:x/y@1.0.0\n".into(),
                functions: vec!["f".into()],
                standing: "unknown".into(),
                meaning: None,
                risk: None,
            }],
            unasked: vec!["connection `old`, read".into()],
            refused: vec!["AL-0414: no\nsecond line".into()],
        };
        let since = Since {
            revision: 3,
            beyond: vec!["variable `ledger.*`  in task".into()],
        };
        let page = page(&review, "signed by release", Some(&since));
        for part in [
            "ledger 2.3.0   b3:51ac09ff…   1.4 MiB   Rust 1.95\\u{1b}[2J\n",
            "team payments\nsigned by release\n",
            "  CAN, IF GRANTED",
            "  call HTTP",
            "POST https://api.bank.example/v1/*  (to \\u{202e}pay)",
            "  granted, but not asked for: connection `old`, read\n",
            "  cannot: open sockets",
            "\n  since revision 3 of its grant was approved it asks for more:\n    + variable `ledger.*`  in task\n",
            "evil:x/y@1.0.0\\n  unknown to this host (f)\n",
            "    AL-0414: no\n    second line\n",
        ] {
            assert!(page.contains(part), "{part:?}\nis not in\n{page}");
        }
        let row = |what: &str| {
            page.lines()
                .find(|line| line.contains(what))
                .unwrap()
                .to_owned()
        };
        assert!(row("ledger.*").contains(" no "), "{page}");
        assert!(row("read and write files").contains('–'), "{page}");
        assert!(!page.contains('\u{1b}'));
    }
}
