//! The reviewer's page as HTML: one file that needs nothing else, to be mailed and kept beside an approval.
//!
//! It shows what strangers wrote, so everything is escaped twice over: what could control a terminal or turn text
//! around is spelled out, and what could be markup is not. It has no scripts, and forbids them and every request.

use std::fmt::Write as _;

use airlock_server::review::{CANNOT, Review, ReviewImport};

use super::approved::Since;
use super::inspect::granted;
use crate::output::{line, lines, size};

const HEAD: &str = r#"<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width">
<style>
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; }
code, pre { font-family: ui-monospace, monospace; font-size: 0.875em; overflow-wrap: anywhere; }
pre { white-space: pre-wrap; padding: 0.75rem; border: 1px solid GrayText; }
table { border-collapse: collapse; width: 100%; margin: 0.5rem 0 1.5rem; }
th, td { text-align: left; vertical-align: top; padding: 0.3rem 0.75rem 0.3rem 0; border-bottom: 1px solid GrayText; }
.no { font-weight: bold; }
.risk { opacity: 0.8; }
</style>
"#;

/// The page.
pub(super) fn page(review: &Review, vouching: &str, since: Option<&Since>) -> String {
    let name = format!("{} {}", text(&review.name), text(&review.version));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<title>{name}</title>\n{HEAD}</head>\n<body>\n<h1>{name}</h1>\n"
    );
    let made: Vec<String> = review.made_with.iter().map(|tool| text(tool)).collect();
    let _ = writeln!(
        page,
        "<p>BLAKE3 <code>{}</code>, {}{}{}</p>",
        text(&review.hash),
        size(review.size),
        if made.is_empty() {
            ""
        } else {
            ", says it was made with "
        },
        made.join(", ")
    );
    let _ = writeln!(page, "<p>{}</p>", holding(review));
    let _ = writeln!(page, "<p>Signature: {}.</p>", text(vouching));
    let _ = writeln!(
        page,
        "<p>It has code for: {}.</p>",
        match review.phases.is_empty() {
            true => "no phase".to_owned(),
            false => review.phases.join(", "),
        }
    );
    if !review.refused.is_empty() {
        page.push_str("<h2>It does not load</h2>\n");
        for reason in &review.refused {
            let _ = writeln!(page, "<pre>{}</pre>", markup(&lines(reason)));
        }
    }
    page.push_str("<h2>What it asks for</h2>\n");
    requests(&mut page, review);
    if let Some(since) = since {
        let _ = writeln!(page, "<p>{}</p>\n<ul>", text(&since.head()));
        for one in &since.beyond {
            let _ = writeln!(page, "<li>{}</li>", text(one));
        }
        page.push_str("</ul>\n");
    }
    if !review.unasked.is_empty() {
        let unasked: Vec<String> = review.unasked.iter().map(|one| text(one)).collect();
        let _ = writeln!(
            page,
            "<p>Granted and not asked for, so that it has none of it: {}.</p>",
            unasked.join("; ")
        );
    }
    let _ = writeln!(page, "<p>Whatever it is granted, it cannot: {CANNOT}.</p>");
    page.push_str("<h2>What it imports</h2>\n");
    imports(&mut page, &review.imports);
    page.push_str("</body>\n</html>\n");
    page
}

fn holding(review: &Review) -> String {
    match (&review.team_name, review.automatic) {
        (Some(_), true) => {
            "It is granted what it asks for, since only the default team exists.".to_owned()
        }
        (Some(team), false) if review.undecided => format!(
            "It is a bundle of the team <b>{}</b>. What it is granted is decided by people, and the server that knows does not run here.",
            text(team)
        ),
        (Some(team), false) => format!("It is a bundle of the team <b>{}</b>.", text(team)),
        (None, _) => {
            "No team's configuration names it: whether anything is granted is not known.".to_owned()
        }
    }
}

fn requests(page: &mut String, review: &Review) {
    if review.rows.is_empty() {
        page.push_str("<p>Nothing.</p>\n");
        return;
    }
    page.push_str(
        "<table>\n<tr><th>can, if granted</th><th>asks for</th><th>because, it says</th><th>granted</th><th>phases</th></tr>\n",
    );
    for row in &review.rows {
        let word = granted(row.granted);
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td><code>{}</code></td><td>{}</td><td class=\"{word}\">{word}</td><td>{}</td></tr>",
            text(&row.can),
            text(&row.asks_for),
            row.reason.as_deref().map(text).unwrap_or_default(),
            text(&row.phases.join(", ")),
        );
    }
    page.push_str("</table>\n");
}

fn imports(page: &mut String, imports: &[ReviewImport]) {
    if imports.is_empty() {
        page.push_str("<p>Nothing.</p>\n");
        return;
    }
    page.push_str("<table>\n<tr><th>interface</th><th>what it is for, and what can go wrong</th><th>functions that it may call</th></tr>\n");
    for import in imports {
        let functions: Vec<String> = import.functions.iter().map(|name| text(name)).collect();
        let meaning = import.meaning.as_deref().unwrap_or("unknown to this host");
        let _ = writeln!(
            page,
            "<tr><td><code>{}</code><br>{}</td><td>{}<br><span class=\"risk\">{}</span></td><td><code>{}</code></td></tr>",
            text(&import.name),
            standing(&import.standing),
            text(meaning),
            import.risk.as_deref().map(text).unwrap_or_default(),
            functions.join(", "),
        );
    }
    page.push_str("</table>\n");
}

fn standing(standing: &str) -> &'static str {
    match standing {
        "inert" => "every bundle has it",
        "capability" => "needs a grant",
        "never" => "no bundle gets it",
        _ => "this host does not have it",
    }
}

/// One line of somebody's text.
fn text(of: &str) -> String {
    markup(&line(of))
}

fn markup(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use airlock_server::review::{Granted, ReviewRow};

    use super::*;

    #[test]
    fn nothing_that_a_bundle_wrote_is_markup_or_turns_text_around() {
        let hostile = "\"><script>alert('x')</script>\u{202e}&\u{1b}[2J";
        let text = || hostile.to_owned();
        let review = Review {
            name: text(),
            version: text(),
            hash: "ab".repeat(32),
            size: 1,
            made_with: vec![text()],
            phases: vec!["task".into()],
            team_name: Some("payments".into()),
            automatic: false,
            undecided: false,
            rows: vec![ReviewRow {
                kind: "http".into(),
                can: "call HTTP".into(),
                asks_for: text(),
                reason: Some(text()),
                granted: Granted::No,
                phases: vec![],
            }],
            imports: vec![ReviewImport {
                name: text(),
                functions: vec![text()],
                standing: "unknown".into(),
                meaning: None,
                risk: None,
            }],
            unasked: vec![text()],
            refused: vec![text()],
        };
        let page = page(&review, hostile, None);
        assert!(!page.contains("<script"), "{page}");
        assert!(!page.contains(['\u{202e}', '\u{1b}']), "{page}");
        let escaped = "&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;";
        assert_eq!(page.matches(escaped).count(), 12, "{page}");
        assert!(page.contains("default-src 'none'"));
        assert!(page.contains("<td class=\"no\">no</td>"));
    }
}
