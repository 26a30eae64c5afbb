//! The audit: rows that are only added, and what shows that somebody touched them.

use std::{collections::BTreeSet, sync::Arc};

use airlock_model::{
    audit::{Actor, AuditAction, AuditEntry, AuditHead, BrokenChain},
    port::*,
};
use airlock_store::Store;
use sqlx::{AssertSqlSafe, Connection};

use crate::{concurrency::poll_times, fixture::*, on_both};

on_both! {
    what_was_done_is_read_as_it_was_written_newest_first,
    rows_of_a_team_a_bundle_a_kind_and_a_time_are_found,
    writers_on_two_hosts_make_one_chain,
    a_row_that_somebody_changed_removed_or_moved_is_found,
    the_database_itself_refuses_to_change_or_delete_a_row,
    a_caller_that_goes_away_tears_no_hole,
}

fn entry(number: i64) -> AuditEntry {
    let action = AuditAction::ALL[number as usize % 4];
    let subject = format!("thing {number} \u{1b}[31m\0");
    AuditEntry::new(at(number), Actor::person("ada"), action, &subject)
        .of_team(Some(team(["a", "b"][number as usize % 2])))
        .of_bundle((number % 3 == 0).then(|| bundle("etl")))
        .with(&serde_json::json!({ "number": number, "text": "\0 \u{1b}" }))
}

/// Reads it all, in small parts, and follows the chain.
async fn verify(store: &Store) -> Result<AuditHead, BrokenChain> {
    let mut head = AuditHead::EMPTY;
    // From zero on, as someone may have put a row before the first.
    let mut from = 0;
    loop {
        let rows = store.audit_from(from, 7).await.unwrap();
        let Some(last) = rows.last() else {
            return Ok(head);
        };
        from = last.sequence + 1;
        head = rows.iter().try_fold(head, |head, row| head.follow(row))?;
    }
}

async fn what_was_done_is_read_as_it_was_written_newest_first(fresh: Fresh) {
    let store = &fresh.store;
    assert_eq!(store.audit_head().await.unwrap(), AuditHead::EMPTY);
    assert!(store.append_audit(&[]).await.unwrap().is_empty());
    let entries: Vec<_> = (0..20).map(entry).collect();
    let mut written = store.append_audit(&entries[..3]).await.unwrap();
    written.extend(store.append_audit(&entries[3..]).await.unwrap());
    let told: Vec<_> = written.iter().map(|row| row.entry.clone()).collect();
    assert_eq!(told, entries);

    assert_eq!(store.audit_from(1, 100).await.unwrap(), written);
    assert_eq!(store.audit_from(19, 100).await.unwrap(), written[18..]);
    assert_eq!(store.audit_from(1, 2).await.unwrap(), written[..2]);
    let head = store.audit_head().await.unwrap();
    assert_eq!(verify(store).await.unwrap(), head);
    assert_eq!(head.sequence, 20);

    let page = Page {
        offset: 1,
        limit: 2,
    };
    let found = store.audit(&AuditFilter::default(), page).await.unwrap();
    assert_eq!(found.total, 20);
    assert_eq!(found.items, [written[18].clone(), written[17].clone()]);
}

async fn rows_of_a_team_a_bundle_a_kind_and_a_time_are_found(fresh: Fresh) {
    let store = &fresh.store;
    let entries: Vec<_> = (0..24).map(entry).collect();
    store.append_audit(&entries).await.unwrap();
    let count = async |filter: AuditFilter| {
        let found = store.audit(&filter, Page::ALL).await.unwrap();
        assert_eq!(found.total, found.items.len() as u64);
        found.total
    };
    let all = AuditFilter::default();
    let of_a = AuditFilter {
        team: Some(team("a")),
        ..all.clone()
    };
    assert_eq!(count(of_a.clone()).await, 12);
    let etl = Some(bundle("etl"));
    assert_eq!(
        count(AuditFilter {
            bundle: etl.clone(),
            ..all.clone()
        })
        .await,
        8
    );
    let action = Some(AuditAction::ALL[1]);
    assert_eq!(
        count(AuditFilter {
            action,
            ..all.clone()
        })
        .await,
        6
    );
    assert_eq!(
        count(AuditFilter {
            action,
            ..of_a.clone()
        })
        .await,
        0
    );
    let since = Some(at(20));
    assert_eq!(count(AuditFilter { since, ..all }).await, 4);
    assert_eq!(
        count(AuditFilter {
            bundle: etl,
            since,
            ..of_a
        })
        .await,
        0
    );
}

async fn writers_on_two_hosts_make_one_chain(fresh: Fresh) {
    let hosts = [Arc::clone(&fresh.store), Arc::new(fresh.another().await)];
    let writers: Vec<_> = (0..8_i64)
        .map(|writer| {
            let host = Arc::clone(&hosts[writer as usize % 2]);
            tokio::spawn(async move {
                for i in 0..10 {
                    let number = writer * 100 + i * 2;
                    let entries = [entry(number), entry(number + 1)];
                    host.append_audit(&entries).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let head = verify(&fresh.store).await.unwrap();
    assert_eq!(head, fresh.store.audit_head().await.unwrap());
    assert_eq!(head.sequence, 160);
    let rows = fresh.store.audit_from(1, 1_000).await.unwrap();
    let whole: BTreeSet<_> = rows.iter().map(|row| row.entry.at).collect();
    assert_eq!(whole.len(), 160);
    // What was written together stands together.
    for pair in rows.chunks(2) {
        assert_eq!(pair[0].entry.at.micros() + 1, pair[1].entry.at.micros());
    }
}

/// What somebody does who owns the database.
async fn tamper(url: &str, statements: &str) {
    let statements = AssertSqlSafe(if url.starts_with("sqlite") {
        format!(
            "DROP TRIGGER IF EXISTS audit_is_not_changed; DROP TRIGGER IF EXISTS audit_is_not_deleted; {statements}"
        )
    } else {
        format!("DROP TRIGGER IF EXISTS audit_is_not_changed ON audit; {statements}")
    });
    execute(url, statements).await.unwrap();
}

async fn execute(url: &str, statements: AssertSqlSafe<String>) -> Result<(), sqlx::Error> {
    if url.starts_with("sqlite") {
        let mut db = sqlx::SqliteConnection::connect(url).await?;
        sqlx::raw_sql(statements).execute(&mut db).await?;
    } else {
        let mut db = sqlx::PgConnection::connect(url).await?;
        sqlx::raw_sql(statements).execute(&mut db).await?;
    }
    Ok(())
}

async fn a_row_that_somebody_changed_removed_or_moved_is_found(fresh: Fresh) {
    let store = &fresh.store;
    let entries: Vec<_> = (0..20).map(entry).collect();
    let rows = store.append_audit(&entries).await.unwrap();
    let head = rows[19].head();
    assert_eq!(verify(store).await, Ok(head));
    let gap = |expected, sequence| Err(BrokenChain::Gap { expected, sequence });
    let moved =
        |from: u32, to: u32| format!("UPDATE audit SET sequence = {to} WHERE sequence = {from};");
    let same = |column: &str, value: &str| {
        (
            format!("UPDATE audit SET {column} = {value} WHERE sequence = 5"),
            format!(
                "UPDATE audit SET {column} = (SELECT {column} FROM kept WHERE sequence = 5) WHERE sequence = 5"
            ),
        )
    };
    tamper(&fresh.url, "CREATE TABLE kept AS SELECT * FROM audit").await;
    let changed = Err(BrokenChain::Hash { sequence: 5 });
    for (column, value) in [
        ("at", "7"),
        ("actor", "'host'"),
        ("action", "'grant.deny'"),
        ("team", "NULL"),
        ("bundle", "'other'"),
        ("subject", "'another'"),
        ("detail", "'{}'"),
        ("hash", "previous"),
    ] {
        let (change, undo) = same(column, value);
        tamper(&fresh.url, &change).await;
        assert_eq!(verify(store).await, changed, "{column}");
        tamper(&fresh.url, &undo).await;
    }
    let (change, undo) = same("previous", "hash");
    tamper(&fresh.url, &change).await;
    assert_eq!(
        verify(store).await,
        Err(BrokenChain::Previous { sequence: 5 })
    );
    tamper(&fresh.url, &undo).await;
    assert_eq!(verify(store).await, Ok(head));

    let restore = "DELETE FROM audit; INSERT INTO audit SELECT * FROM kept";
    for (change, found) in [
        ("DELETE FROM audit WHERE sequence = 5".to_owned(), gap(5, 6)),
        (
            "DELETE FROM audit WHERE sequence BETWEEN 5 AND 9".to_owned(),
            gap(5, 10),
        ),
        ("DELETE FROM audit WHERE sequence = 1".to_owned(), gap(1, 2)),
        (
            [moved(5, 99), moved(6, 5), moved(99, 6)].concat(),
            Err(BrokenChain::Previous { sequence: 5 }),
        ),
        (moved(20, 0), gap(1, 0)),
    ] {
        tamper(&fresh.url, &change).await;
        assert_eq!(verify(store).await, found, "{change}");
        tamper(&fresh.url, restore).await;
    }

    // The end that was cut off is missed where the head is: in the database, or wherever somebody noted it.
    tamper(&fresh.url, "DELETE FROM audit WHERE sequence > 18").await;
    assert_eq!(verify(store).await, Ok(rows[17].head()));
    assert_eq!(store.audit_head().await.unwrap(), head);
}

async fn the_database_itself_refuses_to_change_or_delete_a_row(fresh: Fresh) {
    let rows = fresh
        .store
        .append_audit(&[entry(1), entry(2)])
        .await
        .unwrap();
    for statement in ["UPDATE audit SET actor = 'host'", "DELETE FROM audit"] {
        let refused = execute(&fresh.url, AssertSqlSafe(statement.to_owned())).await;
        let why = refused.unwrap_err().to_string();
        assert!(why.contains("audit rows are never"), "{why}");
    }
    assert_eq!(fresh.store.audit_from(1, 9).await.unwrap(), rows);
}

async fn a_caller_that_goes_away_tears_no_hole(fresh: Fresh) {
    for number in 0..60 {
        let entries = [entry(number), entry(number)];
        let written = poll_times(fresh.store.append_audit(&entries), number % 6).await;
        if let Some(done) = written {
            done.unwrap();
        }
        fresh.store.append_audit(&[entry(number)]).await.unwrap();
    }
    let head = fresh.store.audit_head().await.unwrap();
    assert_eq!(verify(&fresh.store).await, Ok(head));
}
