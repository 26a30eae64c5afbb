//! `airlock audit`: listed through the server; exported and verified from the database itself, or a file.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
};

use airlock_model::{
    audit::{AuditCheck, AuditHead, AuditRow},
    port::AuditStore as _,
};
use airlock_server::AuditLine;
use airlock_store::Store;
use clap::Subcommand;
use serde_json::json;

use super::{Common, db};
use crate::{
    api_client::path,
    error::CliError,
    output::{self, Format, print, print_json, print_line, print_list},
};

/// Rows that are read at once.
const ROWS: u32 = 1_000;
/// The longest line of an exported file: no row is longer.
const LINE_BYTES: u64 = 64 * 1024;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List who did what and what was denied, newest first
    #[command(
        after_help = "Examples:\n  airlock audit list --limit 20\n  airlock audit list --team payments --action capability.denied"
    )]
    List {
        /// Of this team only
        #[arg(long)]
        team: Option<String>,
        /// Of this bundle only
        #[arg(long)]
        bundle: Option<String>,
        /// Of this kind only, such as `capability.denied`
        #[arg(long)]
        action: Option<String>,
        /// Of this time or later, such as 2012-01-15
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// So many at most
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: usize,
    },
    /// Write rows as JSON lines, oldest first, straight from the database, and tell where they end
    ///
    /// The rows go to standard output or the file; their end, `SEQUENCE:HASH`, goes to standard error. Keep it where
    /// those who can write the database cannot: `airlock audit verify` takes it as `--head`, and then notices
    /// also an end that was cut off, and an audit that was written anew.
    #[command(
        after_help = "Examples:\n  airlock audit export > audit.jsonl\n  airlock audit export --from 1001 --file part-2.jsonl"
    )]
    Export {
        /// From this row on
        #[arg(long, default_value_t = 1, value_name = "SEQUENCE")]
        from: u64,
        /// Into this file, which must not be there yet
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Check that no row was changed, removed, added or moved; exit code 1 names the first place that is not as it was
    #[command(
        after_help = "Examples:\n  airlock audit verify\n  airlock audit verify --head 1000:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n  airlock audit verify --file audit.jsonl"
    )]
    Verify {
        /// What was exported, in place of the database
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// An end that was noted earlier, and has to be in it; may be given several times
        #[arg(long, value_name = "SEQUENCE:HASH")]
        head: Vec<AuditHead>,
    },
}

pub(crate) async fn run(common: &Common, command: Command) -> Result<(), CliError> {
    match command {
        Command::List {
            team,
            bundle,
            action,
            since,
            limit,
        } => {
            let mut query = Vec::new();
            query.extend(team.map(|team| ("team", team)));
            query.extend(bundle.map(|bundle| ("bundle", bundle)));
            query.extend(action.map(|action| ("action", action)));
            query.extend(since.map(|since| ("since", since)));
            let address = path(&["audit"]);
            let server = common.server()?;
            let rows = server.list(&address, &query, "audit", Some(limit)).await?;
            if rows.is_empty() && common.output == Format::Table {
                return print_line("no audit rows");
            }
            print_list(
                common.output,
                &rows,
                [
                    ("row", "sequence"),
                    ("at", "at"),
                    ("who", "actor"),
                    ("what", "action"),
                    ("team", "team_name"),
                    ("bundle", "bundle_name"),
                    ("to", "subject"),
                    ("more", "detail"),
                ],
            )
        }
        Command::Export { from, file } => {
            let store = opened(common).await?;
            let head = match &file {
                None => export(&store, from, |line| print(&output::harmless(line))).await,
                Some(path) => to_file(&store, from, path).await,
            };
            store.close().await;
            eprintln!("head {}", head?);
            Ok(())
        }
        Command::Verify { file, head } => {
            let (first, head) = match file {
                Some(path) => verify_file(&path, head)?,
                None => {
                    let store = opened(common).await?;
                    let verified = verify(&store, head).await;
                    store.close().await;
                    (1, verified?)
                }
            };
            tell(common.output, first, head)
        }
    }
}

/// The database of this home, if it is there and of this version.
async fn opened(common: &Common) -> Result<Store, CliError> {
    let store = db::open(&common.config()?).await?;
    store.check().await.map_err(CliError::room)?;
    Ok(store)
}

/// Hands each row's line to `write`, and tells where they end.
async fn export(
    store: &Store,
    mut from: u64,
    mut write: impl FnMut(&str) -> Result<(), CliError>,
) -> Result<AuditHead, CliError> {
    let mut head = AuditHead::EMPTY;
    loop {
        let rows = store.audit_from(from, ROWS).await;
        let rows = rows.map_err(CliError::room)?;
        let Some(last) = rows.last() else {
            return Ok(head);
        };
        head = last.head();
        from = head.sequence.saturating_add(1);
        for row in rows {
            let line = serde_json::to_string(&AuditLine::from(row)).map_err(CliError::room)?;
            write(&(line + "\n"))?;
        }
    }
}

async fn to_file(store: &Store, from: u64, path: &Path) -> Result<AuditHead, CliError> {
    let failed = |error: std::io::Error| CliError::file("the file", path, &error);
    let mut file = File::create_new(path).map_err(failed)?;
    let head = export(store, from, |line| {
        file.write_all(line.as_bytes()).map_err(failed)
    })
    .await?;
    file.sync_all().map_err(failed)?;
    Ok(head)
}

/// Follows the database's chain, also through the end that is noted in it.
async fn verify(store: &Store, mut noted: Vec<AuditHead>) -> Result<AuditHead, CliError> {
    // Noted before the rows are read: a server may add some meanwhile.
    noted.push(store.audit_head().await.map_err(CliError::room)?);
    let mut check = AuditCheck::new(AuditHead::EMPTY, noted).map_err(CliError::room)?;
    // From zero on, where no row should be.
    let mut from = 0;
    loop {
        let rows = store.audit_from(from, ROWS).await;
        let rows = rows.map_err(CliError::room)?;
        let Some(last) = rows.last() else {
            return check.end().map_err(CliError::room);
        };
        from = last.sequence.saturating_add(1);
        for row in &rows {
            check.follow(row).map_err(CliError::room)?;
        }
    }
}

/// Follows an exported file's chain; gives its first row's place and its end.
fn verify_file(path: &Path, noted: Vec<AuditHead>) -> Result<(u64, AuditHead), CliError> {
    let failed = |error: std::io::Error| CliError::file("the file", path, &error);
    let mut file = BufReader::new(File::open(path).map_err(failed)?);
    let mut check: Option<(u64, AuditCheck)> = None;
    let mut number = 0_u64;
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut file).take(LINE_BYTES);
        bounded.read_until(b'\n', &mut line).map_err(failed)?;
        if line.is_empty() {
            break;
        }
        number += 1;
        let row = row(&line).map_err(|why| {
            CliError::Failed(format!(
                "AL-0638: line {number} of `{}` is no row of an audit: {why}",
                path.display()
            ))
        })?;
        let (_, check) = match &mut check {
            Some(check) => check,
            none => {
                // What came before the file's first row is not in it, and taken as it says.
                let start = AuditHead {
                    sequence: row.sequence.saturating_sub(1),
                    hash: row.previous,
                };
                let start = if row.sequence == 1 {
                    AuditHead::EMPTY
                } else {
                    start
                };
                let new = AuditCheck::new(start, noted.clone()).map_err(CliError::room)?;
                none.insert((row.sequence, new))
            }
        };
        check.follow(&row).map_err(CliError::room)?;
    }
    let (first, check) = match check {
        Some(check) => check,
        None => (
            1,
            AuditCheck::new(AuditHead::EMPTY, noted).map_err(CliError::room)?,
        ),
    };
    Ok((first, check.end().map_err(CliError::room)?))
}

fn row(line: &[u8]) -> Result<AuditRow, String> {
    let line: AuditLine = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    line.try_into()
}

fn tell(format: Format, first: u64, head: AuditHead) -> Result<(), CliError> {
    match format {
        Format::Json => print_json(&json!({
            "first": first,
            "last": head.sequence,
            "head": head.to_string(),
        })),
        Format::Table if head == AuditHead::EMPTY => print_line("the audit is empty"),
        Format::Table => print_line(&format!(
            "the audit is whole from row {first} to row {}\nhead {head}",
            head.sequence
        )),
    }
}
