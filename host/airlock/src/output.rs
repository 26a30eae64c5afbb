//! What goes to the terminal: tables for people, JSON for programs, and never a control character of anybody
//! else's.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Write as _},
    time::Duration,
};

use clap::ValueEnum;
use comfy_table::{Table, presets};
use serde::Serialize;
use serde_json::Value;

use crate::error::CliError;

/// For whom a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs: field names stay as they are from version to version.
    Json,
}

/// A text on one line, with everything shown that would control a terminal or hide in the text: control
/// characters, line breaks, and characters that reorder or vanish.
pub(crate) fn line(text: &str) -> String {
    escape(text, false)
}

/// The same, with line breaks left in.
pub(crate) fn lines(text: &str) -> String {
    escape(text, true)
}

fn escape(text: &str, keep_breaks: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' if keep_breaks => out.push('\n'),
            '\n' | '\r' | '\t' => out.extend(c.escape_default()),
            c if c.is_control() || is_invisible(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// Characters without an own look that change how others look (Unicode's `Cf`, the line and paragraph
/// separators, and the tags).
const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{600}'..='\u{605}'
            | '\u{61c}'
            | '\u{6dd}'
            | '\u{70f}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// Whether to colour what goes to standard output.
pub(crate) fn colours() -> bool {
    io::stdout().is_terminal() && wanted()
}

/// Whether to colour what goes to standard error.
pub(crate) fn error_colours() -> bool {
    io::stderr().is_terminal() && wanted()
}

fn wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A state in its colour.
pub(crate) fn state(state: &str, width: usize) -> String {
    let colour = match state {
        "success" | "yes" => "32",
        "failed" | "upstream_failed" | "no" => "31",
        "running" | "up_for_retry" | "partly" => "33",
        _ => "2",
    };
    if colours() {
        format!("\u{1b}[{colour}m{state:width$}\u{1b}[0m")
    } else {
        format!("{state:width$}")
    }
}

/// Writes to standard output. A reader that has seen enough (`| head`) is no failure.
pub(crate) fn print(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::Failed(format!(
            "AL-0826: standard output: {error}"
        ))),
        _ => Ok(()),
    }
}

/// Writes a line to standard output.
pub(crate) fn print_line(text: &str) -> Result<(), CliError> {
    print(&format!("{text}\n"))
}

/// Writes a value as JSON.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), CliError> {
    print_line(&json(value)?)
}

/// Writes a value as JSON on one line.
pub(crate) fn print_json_line(value: &Value) -> Result<(), CliError> {
    print_line(&harmless(&value.to_string()))
}

/// A value as JSON over several lines.
fn json(value: &impl Serialize) -> Result<String, CliError> {
    let text = serde_json::to_string_pretty(value).map_err(CliError::room)?;
    Ok(harmless(&text))
}

/// JSON that means the same to a program and does nothing to a terminal: JSON itself leaves some control
/// characters and all invisible ones as they are.
pub(crate) fn harmless(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && (c.is_control() || is_invisible(c)) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// Rows under headings, each cell escaped.
pub(crate) fn table<const N: usize>(
    headings: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(headings.map(str::to_uppercase));
    for row in rows {
        table.add_row(row.map(|cell| line(&cell)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = table.trim_fmt();
    text.push('\n');
    text
}

/// A value of the server's answer as a cell.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// A field of the server's answer; null where it has none.
pub(crate) fn field<'a>(item: &'a Value, name: &str) -> &'a Value {
    item.get(name).unwrap_or(&Value::Null)
}

/// A field of the server's answer as a cell.
pub(crate) fn text(item: &Value, name: &str) -> String {
    cell(field(item, name))
}

/// Leaves a text's first line: in a table it says enough.
pub(crate) fn shorten(item: &mut Value, name: &str) {
    if let Some(Value::String(text)) = item.get_mut(name)
        && let Some(end) = text.find('\n')
    {
        text.truncate(end);
        text.push_str(" …");
    }
}

/// Prints a list of the server's: as JSON whole, as a table the named fields.
pub(crate) fn print_list<const N: usize>(
    format: Format,
    items: &[Value],
    columns: [(&str, &str); N],
) -> Result<(), CliError> {
    if format == Format::Json {
        return print_json(&items);
    }
    let rows = items
        .iter()
        .map(|item| columns.map(|(_, name)| text(item, name)));
    print(&table(columns.map(|(heading, _)| heading), rows))
}

/// Prints one thing of the server's: as JSON whole, for people the named fields one below the other.
pub(crate) fn print_fields<const N: usize>(
    format: Format,
    item: &Value,
    fields: [(&str, &str); N],
) -> Result<(), CliError> {
    if format == Format::Json {
        return print_json(item);
    }
    let width = fields
        .iter()
        .map(|(label, _)| label.len())
        .max()
        .unwrap_or(0);
    let mut out = String::new();
    for (label, field) in fields {
        let _ = writeln!(out, "{label:width$}  {}", line(&text(item, field)));
    }
    print(&out)
}

/// A duration as people say it: `0.4 ms`, `1.2 s`, `3 min 5 s`.
pub(crate) fn duration(duration: Duration) -> String {
    let millis = duration.as_secs_f64() * 1e3;
    let seconds = duration.as_secs();
    match seconds {
        0 if millis < 10.0 => format!("{millis:.1} ms"),
        0 => format!("{millis:.0} ms"),
        1..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A number of bytes as people say it: `1.4 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let of = |unit: u64| bytes as f64 / unit as f64;
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", of(1 << 10)),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", of(1 << 20)),
        _ => format!("{:.1} GiB", of(1 << 30)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_anybody_elses_controls_the_terminal() {
        for (hostile, shown) in [
            ("a\u{1b}[2Jb", "a\\u{1b}[2Jb"),
            ("a\rb\tc\nd", "a\\rb\\tc\\nd"),
            ("\u{202e}evil\u{2066}", "\\u{202e}evil\\u{2066}"),
            ("a\u{200b}b\u{feff}", "a\\u{200b}b\\u{feff}"),
            ("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}"),
            (
                "Grüße, 5.3 °C \"quoted\" \\ ☂",
                "Grüße, 5.3 °C \"quoted\" \\ ☂",
            ),
        ] {
            assert_eq!(line(hostile), shown);
        }
        assert_eq!(lines("a\nb\u{7}"), "a\nb\\u{7}");
        let text = table(["name"], [["x\u{1b}]0;title\u{7}\ny".to_owned()]]);
        assert!(
            !text.contains('\u{1b}') && text.lines().count() == 2,
            "{text}"
        );
    }

    #[test]
    fn json_stays_json_and_controls_no_terminal() {
        let value = serde_json::json!({"a": "\u{9b}31m\u{202e}\u{e0041}\u{1b}"});
        let text = json(&value).unwrap();
        assert!(text.is_ascii(), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn columns_stand_below_their_headings() {
        let text = table(
            ["name", "slots"],
            [["a".into(), "1".into()], ["long name".into(), "20".into()]],
        );
        assert_eq!(text, "NAME       SLOTS\na          1\nlong name  20\n");
    }

    #[test]
    fn durations_and_sizes_read_as_people_say_them() {
        for (millis, text) in [
            (0.4, "0.4 ms"),
            (12.3, "12 ms"),
            (1234.0, "1.2 s"),
            (185_000.0, "3 min 5 s"),
            (7_500_000.0, "2 h 5 min"),
        ] {
            assert_eq!(duration(Duration::from_secs_f64(millis / 1e3)), text);
        }
        assert_eq!(
            (size(500), size(1_468_006)),
            ("500 B".to_owned(), "1.4 MiB".to_owned())
        );
    }
}
