//! Words that would command a terminal, close a tag, or begin a line of their own in a log.

use crate::ask;

/// A title, colours, a cleared screen, a forged line, markup, and text that runs backwards.
pub(crate) const TEXT: &str = "esc\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\r\n2026-01-01T00:00:00Z ERROR forged \
     <script>alert(1)</script><img src=x onerror=alert(1)> \u{202e}drawkcab\u{0}";

/// Markup alone, for names that may hold no control characters.
pub(crate) const MARKUP: &str = "<script>alert(1)</script><img src=x onerror=alert(1)>";

pub(crate) fn attack(which: &str) -> String {
    match which {
        "everywhere" => {
            ask::say(TEXT, TEXT);
            println!("{TEXT}");
            eprintln!("{TEXT}");
            ask::variable(TEXT);
            ask::connection(TEXT);
            ask::directory(TEXT);
            ask::pull(TEXT, TEXT, TEXT);
            ask::push(TEXT, "1");
            TEXT.to_owned()
        }
        other => format!("there is no escape `{other}`"),
    }
}
