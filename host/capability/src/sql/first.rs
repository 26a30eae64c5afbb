//! What a statement begins with.
//!
//! Only what a bundle needs comes through: rows and tables. What would change the session, end the transaction,
//! reach files or programs, or make code that does so later, does not. The database decides about the rest: it
//! takes one statement at a time, and its session enforces read-only.
//!
//! Databases read blanks and comments in different ways, and so each has its own reading here.

use airlock_grant::port::sql::{SqlError, Statement};

/// Whose language a statement is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Postgres,
    Sqlite,
}

/// What a statement may begin with.
const ALLOWED: &[&str] = &[
    "SELECT", "WITH", "VALUES", "TABLE", "INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE",
    "EXPLAIN", "SHOW", "CREATE", "ALTER", "DROP", "TRUNCATE", "ANALYZE", "REFRESH", "COMMENT",
];

/// What may be created, altered and dropped: what holds rows, and not what runs code or who may log in.
const OBJECTS: &[&str] = &[
    "TABLE", "VIEW", "INDEX", "SEQUENCE", "SCHEMA", "TYPE", "DOMAIN",
];

/// What may stand between `CREATE` and its object.
const ADJECTIVES: &[&str] = &[
    "OR",
    "REPLACE",
    "TEMP",
    "TEMPORARY",
    "GLOBAL",
    "LOCAL",
    "UNLOGGED",
    "UNIQUE",
    "RECURSIVE",
    "MATERIALIZED",
];

/// Looks whether a statement may come through.
pub(super) fn check(dialect: Dialect, statement: &Statement) -> Result<(), SqlError> {
    check_text(dialect, &statement.text, statement.parameters.len())
}

fn check_text(dialect: Dialect, text: &str, parameters: usize) -> Result<(), SqlError> {
    if text.contains('\0') {
        return Err(refused("a statement with a zero byte"));
    }
    let mut rest = Reader { dialect, text };
    rest.skip(true);
    let first = rest.word();
    if !ALLOWED.contains(&first.as_str()) {
        return Err(refuse(&first));
    }
    if matches!(first.as_str(), "CREATE" | "ALTER" | "DROP") {
        let object = loop {
            rest.skip(false);
            let word = rest.word();
            if !ADJECTIVES.contains(&word.as_str()) {
                break word;
            }
        };
        if !OBJECTS.contains(&object.as_str()) {
            return Err(refused(&format!(
                "{first} {object} does not come through, since it makes what is no table: tables, views, indexes, sequences, schemas and types can be made; leave the rest to who owns the database"
            )));
        }
    }
    match dialect {
        // The server takes one statement only, and wants as many parameters as there are.
        Dialect::Postgres => Ok(()),
        Dialect::Sqlite => one(text, parameters),
    }
}

fn refused(text: &str) -> SqlError {
    SqlError::Refused(text.to_owned())
}

fn refuse(first: &str) -> SqlError {
    let instead = match first {
        "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "SAVEPOINT" | "RELEASE" => {
            "use `begin`, and `commit` or `rollback` of what it gives"
        }
        "SET" | "RESET" | "DISCARD" | "PRAGMA" => {
            "the session is the host's, and its settings are the connection's"
        }
        "COPY" | "LOAD" => "insert rows with parameters, and read them with a query",
        "DO" | "CALL" | "EXECUTE" | "PREPARE" | "DEALLOCATE" | "DECLARE" | "FETCH" => {
            "say what is to be done as one plain statement"
        }
        "ATTACH" | "DETACH" => "have a connection for the other database",
        "LOCK" => "use SELECT … FOR UPDATE",
        "" => "a statement begins with a word such as SELECT",
        _ => "leave it to who owns the database",
    };
    let first = if first.is_empty() { "this" } else { first };
    SqlError::Refused(format!("{first} does not come through; {instead}"))
}

struct Reader<'a> {
    dialect: Dialect,
    text: &'a str,
}

impl Reader<'_> {
    fn advance(&mut self, bytes: usize) {
        self.text = self.text.get(bytes..).unwrap_or_default();
    }

    /// Passes over blanks and comments; at the begin of a statement also what may stand before it.
    fn skip(&mut self, at_begin: bool) {
        loop {
            let before = self.text.len();
            let blank = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c');
            let begin = |c: char| at_begin && matches!(c, ';' | '(');
            self.text = self.text.trim_start_matches(|c| blank(c) || begin(c));
            if let Some(bytes) = comment(self.dialect, self.text) {
                self.advance(bytes);
            }
            if self.text.len() == before {
                return;
            }
        }
    }

    /// The word that stands here, in capital letters; empty where none does.
    fn word(&mut self) -> String {
        let of_a_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii();
        let end = self.text.find(|c| !of_a_word(c));
        let word = self.text.get(..end.unwrap_or(self.text.len()));
        let word = word.unwrap_or_default().to_ascii_uppercase();
        self.advance(word.len());
        // A name of another kind is not shown: it may be as long as the statement.
        let known = word.len() <= 20 && word.chars().all(|c| c.is_ascii_alphabetic());
        if known { word } else { String::new() }
    }
}

/// How long the comment is that stands at the start, if one does.
fn comment(dialect: Dialect, text: &str) -> Option<usize> {
    if text.starts_with("--") {
        let end = match dialect {
            Dialect::Postgres => text.find(['\n', '\r']),
            Dialect::Sqlite => text.find('\n'),
        };
        return Some(end.unwrap_or(text.len()));
    }
    let inner = text.strip_prefix("/*")?;
    if dialect == Dialect::Sqlite {
        let end = inner.find("*/");
        return Some(end.map_or(text.len(), |end| end + 4));
    }
    let (mut at, mut depth) = (2, 1_usize);
    while depth > 0 {
        let rest = text.get(at..)?;
        let (open, close) = (rest.find("/*"), rest.find("*/"));
        match (open, close) {
            (Some(open), Some(close)) if open < close => (at, depth) = (at + open + 2, depth + 1),
            (_, Some(close)) => (at, depth) = (at + close + 2, depth - 1),
            // It never ends, and so there is no statement.
            (_, None) => return Some(text.len()),
        }
    }
    Some(at)
}

/// Whether this is one statement of SQLite with so many parameters: the driver would execute what follows it too,
/// and take what is missing for null.
fn one(text: &str, parameters: usize) -> Result<(), SqlError> {
    let mut rest = Reader {
        dialect: Dialect::Sqlite,
        text,
    };
    let (mut begun, mut ended, mut anonymous, mut most) = (false, false, 0_usize, 0_usize);
    loop {
        rest.skip(false);
        let Some(first) = rest.text.chars().next() else {
            break;
        };
        if first == ';' {
            ended = begun;
            rest.advance(1);
            continue;
        }
        if ended {
            return Err(refused("only one statement can be executed at a time"));
        }
        begun = true;
        let close = match first {
            '\'' | '"' | '`' => Some(first),
            '[' => Some(']'),
            _ => None,
        };
        if let Some(close) = close {
            // A doubled quote ends one text here and begins the next, which comes to the same.
            let inner = rest.text.get(1..).unwrap_or_default();
            let end = inner.find(close).map_or(rest.text.len(), |end| end + 2);
            rest.advance(end);
            continue;
        }
        rest.advance(first.len_utf8());
        if matches!(first, '$' | '?' | ':' | '@' | '#') {
            let digits = rest.text.find(|c: char| !c.is_ascii_digit());
            let digits = digits.unwrap_or(rest.text.len());
            let number = rest.text.get(..digits).unwrap_or_default();
            rest.advance(digits);
            match (first, number) {
                ('?', "") => anonymous += 1,
                ('$' | '?', number) => match number.parse::<usize>() {
                    Ok(number) if number > 0 => most = most.max(number),
                    _ => return Err(refused("parameters are written as $1, $2, …")),
                },
                _ => return Err(refused("parameters are written as $1, $2, …")),
            }
        } else if first.is_alphanumeric() || first == '_' || !first.is_ascii() {
            let of_a_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii();
            rest.text = rest.text.trim_start_matches(of_a_word);
        }
    }
    if anonymous > 0 && most > 0 {
        return Err(refused(
            "parameters are written either as ? or as $1, $2, …",
        ));
    }
    let wanted = anonymous.max(most);
    if wanted != parameters {
        return Err(SqlError::Parameter {
            at: wanted.min(parameters) + 1,
            problem: format!("the statement has {wanted} of them, and {parameters} were given"),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(dialect: Dialect, text: &str) -> bool {
        check_text(dialect, text, 0).is_ok()
    }

    #[test]
    fn what_reads_and_writes_rows_and_makes_tables_comes_through() {
        for text in [
            "select 1",
            "  ;; ( select 1)",
            "/* why */ -- so\n With x as (select 1) select * from x",
            "create temp table t (a int)",
            "CREATE OR REPLACE VIEW v AS SELECT 1",
            "create unique index i on t (a)",
            "drop materialized view if exists v",
            "alter table t add column b int;",
            "explain select 1",
        ] {
            assert!(passes(Dialect::Postgres, text), "{text}");
            assert!(passes(Dialect::Sqlite, text), "{text}");
        }
        assert!(passes(Dialect::Postgres, "/* a /* b */ c */ select 1"));
        assert!(passes(Dialect::Postgres, "-- a\rselect 1"));
    }

    #[test]
    fn what_would_change_the_session_or_reach_beyond_tables_does_not() {
        for text in [
            "begin",
            "COMMIT",
            "end",
            "rollback",
            "abort",
            "savepoint a",
            "set a = 1",
            "reset all",
            "discard all",
            "copy t to program 'x'",
            "do $$ begin end $$",
            "call f()",
            "load 'x'",
            "attach 'x' as y",
            "detach y",
            "pragma query_only = 0",
            "vacuum into 'x'",
            "listen x",
            "notify x",
            "prepare a as select 1",
            "execute a",
            "lock t",
            "grant all on t to u",
            "revoke all on t from u",
            "declare c cursor for select 1",
            "fetch c",
            "import foreign",
            "security label",
            "reassign owned by a to b",
            "checkpoint",
            "reindex table t",
            ";commit",
            "(commit",
            "/**/commit",
            "--\ncommit",
            "",
            ";",
            "\u{feff}select 1",
            "\u{a0}select 1",
            "sel/**/ect 1",
            "select\0",
            "SELECTx",
            "sélect",
            "1",
            "$$",
            "\\!",
            "alter role airlock password 'x'",
            "alter user u superuser",
            "alter system set a = 1",
            "alter database d set a = 1",
            "create role r",
            "create user u",
            "create function f()",
            "create or replace procedure p()",
            "create extension e",
            "create server s",
            "create /* table */ function f()",
            "create trigger t",
            "create virtual table t",
            "create database d",
            "create event trigger e",
            "create rule r",
            "create policy p",
            "drop owned by u",
            "drop database d",
            "drop role r",
            "alter default privileges",
            "create \"table\"",
            "create",
        ] {
            assert!(!passes(Dialect::Postgres, text), "{text}");
            assert!(!passes(Dialect::Sqlite, text), "{text}");
        }
        // What one database takes for the end of a comment is inside of it for the other.
        assert!(!passes(Dialect::Postgres, "--\rcommit --\nselect 1"));
        assert!(!passes(Dialect::Sqlite, "--\rselect 1"));
        assert!(!passes(Dialect::Postgres, "/* /* */ select 1 */ commit"));
        assert!(!passes(
            Dialect::Sqlite,
            "/* /* */ commit /* */ */ select 1"
        ));
        assert!(!passes(Dialect::Postgres, "/* select 1"));
    }

    #[test]
    fn sqlite_is_handed_one_statement_with_all_its_parameters() {
        for (text, parameters) in [
            ("select 1;", 0),
            ("select 1; -- more\n /* ; */ ;", 0),
            ("select ';', \"a;b\", `;`, [;], 'it''s; $1' where 1 = $1", 1),
            ("select $2, $1", 2),
            ("select ?, ?", 2),
            ("select a$1 from t where b = ?1", 1),
        ] {
            let checked = check_text(Dialect::Sqlite, text, parameters);
            assert!(checked.is_ok(), "{text}: {checked:?}");
        }
        for text in [
            "select 1; attach 'x' as y",
            "select 1;select 2",
            "select ''; pragma a",
            "select '\\'; attach 'x' as y; --'",
            "select [a]; attach 'x' as y --]",
            "select $0",
            "select $a",
            "select :a",
            "select @a",
            "select $1",
            "select $99999999999999999999999",
            "select ?, $1",
        ] {
            assert!(check_text(Dialect::Sqlite, text, 0).is_err(), "{text}");
        }
        assert!(check_text(Dialect::Sqlite, "select $1", 2).is_err());
    }
}
